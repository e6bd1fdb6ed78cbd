"""Many sources: two hundred at once, and five hundred that come and go. Nothing of them is left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from tests.processes import Commands, Node, environment_with

TAG = 0x10
FUNCTION = "work"
SOURCES, ROUNDS = 200, 500

# In a process of its own, whose threads and memory are no one else's.
CHURN = """
    import gc, json, os, sys
    from nearfield import Source
    from tests.fault.test_churn import descriptors_and_threads, resident_bytes

    address, rounds = sys.argv[1], int(sys.argv[2])

    def come_and_go(name):
        with Source(name, address, tag=0x10, mode="complete") as source:
            source.send(b"hello")
            assert source.flush(30)

    def state():
        gc.collect()
        return [*descriptors_and_threads(os.getpid()), resident_bytes(os.getpid())]

    for number in range(rounds // 10):  # what is made once: engines, pools, caches
        come_and_go(f"first-{number}")
    before = state()
    for number in range(rounds):
        come_and_go(f"visitor-{number % 50}")
    print(json.dumps([before, state()]))
"""

CROWD = """
    import json, os, sys, time
    from contextlib import ExitStack
    from nearfield import Source
    from tests.fault.test_churn import descriptors_and_threads, resident_bytes

    address, count = sys.argv[1], int(sys.argv[2])
    before = [*descriptors_and_threads(os.getpid()), resident_bytes(os.getpid())]
    with ExitStack() as stack:
        sources = [stack.enter_context(Source(f"s{n}", address, tag=0x10, mode="complete")) for n in range(count)]
        for round in range(5):
            for source in sources:
                source.send(b"%d" % round)
        assert all(source.flush(60) for source in sources)
        released = sum(source.statistics().released for source in sources)
        during = [*descriptors_and_threads(os.getpid()), resident_bytes(os.getpid())]
    print(json.dumps([before, during, released]))
"""


def descriptors_and_threads(pid: int) -> tuple[int, int]:
    """Open files and kernel threads of a process."""
    process = Path("/proc") / str(pid)
    return len(os.listdir(process / "fd")), len(os.listdir(process / "task"))  # noqa: PTH208


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    pages = int((Path("/proc") / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper that never loses a frame, with one quick function."""
    node = module_commands.node([{"name": FUNCTION, "observe": [hex(TAG)], "delivery": {"mode": "complete"}}])
    app = module_commands.folder / "app.py"
    app.write_text(
        "from nearfield import StreamFunction\nwork = StreamFunction('work', handler=lambda context: None)\n"
    )
    node.run(app, "--credits", "32")
    return node


def run(program: str, address: str, count: int, folder: Path) -> list[list[int]]:
    path = folder / "program.py"
    path.write_text(textwrap.dedent(program))
    done = subprocess.run(
        [sys.executable, path, address, str(count)],
        capture_output=True,
        text=True,
        timeout=150,
        env=environment_with({"PYTHONPATH": str(Path.cwd())}),
    )
    assert done.returncode == 0, done.stderr
    result: list[list[int]] = msgspec.json.decode(done.stdout)
    return result


@pytest.mark.timeout(180)
def test_sources_that_come_and_go_leave_nothing_behind(node: Node, tmp_path: Path) -> None:
    zipper = node.serve.pid
    run(CHURN, node.address, 20, tmp_path)  # the zipper, too, has things it makes once
    gc.collect()
    before = node.group(FUNCTION)["completed"], *descriptors_and_threads(zipper), resident_bytes(zipper)
    (files, threads, memory), (files_after, threads_after, memory_after) = run(CHURN, node.address, ROUNDS, tmp_path)
    # A thread or socket on its way out may still be there; one for each visitor would be hundreds.
    assert files_after <= files + 5
    assert threads_after <= threads + 5
    assert memory_after < memory + 32 * 1024 * 1024
    visitors = ROUNDS // 10 + ROUNDS
    completed = node.until_settled(FUNCTION, before[0] + visitors)["completed"]
    assert completed == before[0] + visitors
    files_after, threads_after = descriptors_and_threads(zipper)
    assert files_after <= before[1] + 5
    assert threads_after <= before[2] + 5
    assert resident_bytes(zipper) < before[3] + 32 * 1024 * 1024


@pytest.mark.timeout(180)
def test_two_hundred_sources_of_one_process_are_all_served(node: Node, tmp_path: Path) -> None:
    before = node.group(FUNCTION)["completed"]
    alone, crowd, released = run(CROWD, node.address, SOURCES, tmp_path)
    assert released == 5 * SOURCES  # type: ignore[comparison-overlap]
    group = node.until_settled(FUNCTION, before + 5 * SOURCES)
    assert (group["completed"] - before, group["failed"], group["dropped"]) == (5 * SOURCES, {}, {})
    # A keeper, and one thread for each of three subscriptions; a few for the engine.
    assert crowd[1] - alone[1] <= 5 * SOURCES
