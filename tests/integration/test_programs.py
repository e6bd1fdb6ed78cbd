"""`nearfield run app.py`: stream functions in Python."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfield import Source
from tests.processes import Commands, Node, nearfield

APP = """
    from nearfield import StreamFunction

    upper = StreamFunction("upper", observe=[0x10])
    lower = StreamFunction("lower", observe=[0x20])
    seldom = StreamFunction("seldom", observe=[0x30])

    @upper
    def make_upper(context):
        context.emit(0x11, context.payload.upper())
        context.emit("0x12", f"{context.origin}/{context.sequence} {context.tag:#x}")

    @lower
    async def make_lower(context):
        import asyncio
        await asyncio.sleep(0)
        context.emit(0x21, context.payload.lower())

    @seldom
    def fail_one_in_ten(context):
        context.emit(0x31, context.payload)
        if context.sequence % 10 == 3:
            raise ValueError("a three\\nand a second line")
"""


@pytest.fixture(scope="module")
def app(module_commands: Commands) -> Path:
    """A program with three functions."""
    path = module_commands.folder / "app.py"
    path.write_text(textwrap.dedent(APP))
    return path


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper whose functions connect by themselves."""
    names = ("upper", "lower", "seldom", "alone")
    return module_commands.node([{"name": name, "delivery": {"mode": "complete"}} for name in names])


@pytest.fixture
def source(node: Node) -> Iterator[Source]:
    with Source("texts", node.address, mode="complete") as source:
        yield source


def test_a_synchronous_handler_gets_the_frame_and_emits_with_any_tag(node: Node, app: Path, source: Source) -> None:
    run = node.run(f"{app}:upper")
    assert run.lines[0]["abi"] == "python"
    assert run.lines[0]["observe"] == ["0x10"]
    watch = node.watch("--tag", "0x11", "--tag", "0x12")
    for text in ("one", "two", "three"):
        source.send(text.encode(), tag=0x10)
    watch.until(lambda: len(watch.frames) == 6, "two results for each frame")
    # In order for each tag; the two tags are two subscriptions.
    assert [line["text"] for line in watch.frames if line["tag"] == "0x11"] == ["ONE", "TWO", "THREE"]
    assert [line["text"] for line in watch.frames if line["tag"] == "0x12"] == [f"texts/{n} 0x10" for n in range(3)]
    assert {line["origin"] for line in watch.frames} == {"texts"}
    assert all(line["latency_ms"] > 0 for line in watch.frames)
    assert run.stop() == 0


def test_an_asynchronous_handler_works_the_same(node: Node, app: Path, source: Source) -> None:
    run = node.run(f"{app}:lower")
    watch = node.watch("--tag", "0x21", "--count", "2")
    source.send(b"ONE", tag=0x20)
    source.send(b"TWO", tag="0x20")
    assert watch.finish() == 0
    assert [line["text"] for line in watch.frames] == ["one", "two"]
    assert run.stop() == 0


def test_a_handler_that_raises_on_one_frame_in_ten_loses_that_frame_only(node: Node, app: Path, source: Source) -> None:
    run = node.run(f"{app}:seldom")
    watch = node.watch("--tag", "0x31")
    for number in range(50):
        source.send(str(number).encode(), tag=0x30)
    group = node.until_settled("seldom", 50)
    assert (group["received"], group["completed"], group["failed"]) == (50, 45, {"handler": 5})
    watch.until(lambda: len(watch.frames) == 45, "45 results")
    assert [line["json"] for line in watch.frames] == [n for n in range(50) if n % 10 != 3]

    failed = [line for line in run.frames if line["error"] is not None]
    assert [line["sequence"] for line in failed] == [3, 13, 23, 33, 43]
    assert "handler raised ValueError: a three at app.py:" in failed[0]["error"]
    assert "function `seldom`: handler raised ValueError: a three at app.py:" in run.stderr
    assert "frame texts/3, tag 0x30" in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stop() == 0


def test_a_program_with_several_functions_needs_a_choice(node: Node, app: Path) -> None:
    done = nearfield("run", app, "--zipper", node.address)
    assert done.status == 2
    assert done.error == f"{app}: found 3 StreamFunctions (upper, lower, seldom), expected 1; choose with FILE:NAME"
    done = nearfield("run", f"{app}:middle", "--zipper", node.address)
    assert done.status == 2
    assert done.error == f"{app}: no StreamFunction `middle`; found: upper, lower, seldom"


def test_a_program_may_import_what_lies_beside_it(node: Node, tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("ANSWER = b'from beside'\n")
    app = tmp_path / "app.py"
    app.write_text(
        "import nearfield, beside\n"
        "alone = nearfield.StreamFunction('alone', observe=[0x40], "
        "handler=lambda context: context.emit(0x41, beside.ANSWER))\n"
    )
    run = node.run(app)
    watch = node.watch("--tag", "0x41", "--count", "1")
    with Source("texts", node.address, tag=0x40) as source:
        source.send(b"")
        assert watch.finish() == 0
    assert watch.frames[0]["text"] == "from beside"
    assert run.stop() == 0


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("answer = 42\n", "found 0 StreamFunctions (none), expected 1"),
        ("import nearfield\nf = nearfield.StreamFunction('f')\n", "function `f` has no handler; decorate one with it"),
        ("import nearfield\nf = nearfield.StreamFunction('a/b')\n", "function name: got 'a/b'"),
        ("import nowhere\n", "cannot be run: ModuleNotFoundError: No module named 'nowhere' at app.py:1"),
        ("def handle(:\n", "cannot be run: SyntaxError: invalid syntax at app.py:1"),
        ("1 / 0\n", "cannot be run: ZeroDivisionError: division by zero at app.py:1"),
        ("import sys\nsys.exit(7)\n", "cannot be run: SystemExit: 7 at app.py:2"),
    ],
)
def test_a_program_that_cannot_work_is_named_with_the_reason(tmp_path: Path, program: str, reason: str) -> None:
    app = tmp_path / "app.py"
    app.write_text(program)
    done = nearfield("run", app)
    assert done.status == 2
    assert reason in done.error
