"""Processes that are killed or stand still while frames flow: nothing is lost, and the ledger adds up."""

from __future__ import annotations

import os
import signal
import textwrap
from pathlib import Path

import pytest

from nearfield import Source
from tests.processes import BELT, UPPERCASE, Commands, Node, children_of, poll

FUNCTION = "work"
FRAMES = 150

# Answers with its process id, after 5 ms of work.
APP = """
    import os, time
    from nearfield import StreamFunction

    work = StreamFunction("work")

    @work
    def handle(context):
        time.sleep(0.005)
        context.emit(0x11, str(os.getpid()))
"""


@pytest.fixture(scope="module")
def app(module_commands: Commands) -> Path:
    """A slow function."""
    path = module_commands.folder / "app.py"
    path.write_text(textwrap.dedent(APP))
    return path


def node_with_two_instances(commands: Commands, app: Path) -> tuple[Node, list[int]]:
    """A zipper that never loses a frame, and the process ids of its two instances."""
    node = commands.node(
        [{"name": FUNCTION, "observe": ["0x10"], "run": str(app), "instances": 2, "delivery": {"mode": "complete"}}]
    )
    node.until_instances(FUNCTION, 2)
    return node, children_of(node.serve.pid)


def test_a_killed_instance_loses_nothing(commands: Commands, app: Path) -> None:
    node, (victim, other) = node_with_two_instances(commands, app)
    watch = node.watch("--tag", "0x11")
    send = node.send(BELT, "--tag", "0x10", "--every", "3", "--fps", "100")
    watch.until(lambda: any(line["json"] == victim for line in watch.frames), "a result of the victim")
    os.kill(victim, signal.SIGKILL)
    assert send.finish() == 0
    assert send.event("ended")["sent"] == send.event("ended")["confirmed"] == FRAMES
    group = node.until_settled(FUNCTION, FRAMES)
    assert (group["received"], group["completed"], group["failed"], group["dropped"]) == (FRAMES, FRAMES, {}, {})
    watch.until(lambda: set(watch.sequences()) == set(range(FRAMES)), "a result for every frame")
    assert {line["json"] for line in watch.frames} >= {victim, other}


def test_an_instance_that_stands_still_loses_nothing_and_works_again_when_it_goes_on(
    commands: Commands, app: Path
) -> None:
    node, (victim, other) = node_with_two_instances(commands, app)
    watch = node.watch("--tag", "0x11")
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        for _ in range(20):
            source.send(b"before")
        watch.until(lambda: any(line["json"] == victim for line in watch.frames), "a result of the victim")
        os.kill(victim, signal.SIGSTOP)
        for _ in range(80):
            source.send(b"meanwhile")
        # What it held goes to the other one; nothing waits for it to go on.
        assert source.flush(timeout_s=30.0)
        node.until_instances(FUNCTION, 1)
        group = node.until_settled(FUNCTION, 100)
        assert (group["received"], group["completed"], group["failed"], group["dropped"]) == (100, 100, {}, {})
        watch.until(lambda: set(watch.sequences()) == set(range(100)), "a result for every frame")

        os.kill(victim, signal.SIGCONT)
        node.until_instances(FUNCTION, 2)
        seen = len(watch.frames)
        sent = 100

        def works_again() -> bool:
            nonlocal sent
            for _ in range(10):  # more than the other has credit for
                source.send(b"after")
            sent += 10
            return any(line["json"] == victim for line in watch.frames[seen:] if line["sequence"] >= 100)

        poll(works_again, "a result of the instance that stood still")
        assert source.flush(timeout_s=30.0)
        group = node.until_settled(FUNCTION, sent)
        assert (group["received"], group["completed"], group["failed"], group["dropped"]) == (sent, sent, {}, {})
        watch.until(lambda: set(watch.sequences()) == set(range(sent)), "a result for every frame")
    assert children_of(node.serve.pid) == [victim, other]
    assert "Traceback" not in node.serve.stderr


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with one sandboxed instance."""
    node = module_commands.node([{"name": FUNCTION, "observe": ["0x10"], "delivery": {"mode": "complete"}}])
    node.run(UPPERCASE, "--name", FUNCTION)
    return node


def test_a_killed_source_leaves_what_arrived_finished_and_its_successor_is_heard(node: Node) -> None:
    watch = node.watch("--tag", "0x11")
    before = node.group(FUNCTION)
    send = node.send(BELT, "--tag", "0x10", "--fps", "100", "--name", "camera")
    watch.until(lambda: len(watch.frames) > 30, "results")
    os.kill(send.pid, signal.SIGKILL)
    assert send.finish() == -signal.SIGKILL
    group = node.until_settled(FUNCTION, before["received"] + 30)
    assert group["failed"] == group["dropped"] == {}
    arrived = group["completed"] - before["completed"]
    watch.until(lambda: len(watch.frames) == arrived, "a result for every frame that arrived")

    # The same name, counting from 0 again: its frames are not taken for repetitions.
    again = node.send(BELT, "--tag", "0x10", "--every", "50", "--fps", "max", "--name", "camera")
    assert again.finish() == 0
    assert again.event("ended")["confirmed"] == 9
    watch.until(lambda: len(watch.frames) == arrived + 9, "results of the second source")
    assert watch.sequences()[-9:] == list(range(9))


def test_a_killed_sink_disturbs_nobody(node: Node) -> None:
    victim, other = node.watch("--tag", "0x11"), node.watch("--tag", "0x11")
    before = node.group(FUNCTION)
    send = node.send(BELT, "--tag", "0x10", "--every", "3", "--fps", "60")
    victim.until(lambda: len(victim.frames) > 20, "results")
    os.kill(victim.pid, signal.SIGKILL)
    assert send.finish() == 0
    assert send.event("ended")["confirmed"] == FRAMES
    group = node.until_settled(FUNCTION, before["received"] + FRAMES)
    assert group["completed"] - before["completed"] == FRAMES
    other.until(lambda: len(other.frames) == FRAMES, "every result at the other sink")
    assert other.sequences() == list(range(FRAMES))


def test_a_sink_that_stands_still_does_not_slow_another_and_receives_again_when_it_goes_on(node: Node) -> None:
    frozen, other = node.watch("--tag", "0x11"), node.watch("--tag", "0x11")
    before = node.group(FUNCTION)
    frozen.send_signal(signal.SIGSTOP)
    # 6 MB: far more than what lies in buffers on the way to a sink that does not read.
    send = node.send(BELT, "--tag", "0x10", "--fps", "60", "--quality", "95")
    assert send.finish(timeout_s=60.0) == 0
    sent = send.event("ended")["sent"]
    assert send.event("ended")["confirmed"] == sent
    group = node.until_settled(FUNCTION, before["received"] + sent)
    assert group["completed"] - before["completed"] == sent
    other.until(lambda: len(other.frames) == sent, "every result at the other sink")
    assert frozen.frames == []

    frozen.send_signal(signal.SIGCONT)
    with Source("after", node.address, tag=0x10, mode="complete") as source:

        def is_heard() -> bool:
            source.send(b"hello again")
            return any(line["origin"] == "after" for line in frozen.frames)

        poll(is_heard, "a new result at the sink that stood still")
    assert node.serve.status is None
