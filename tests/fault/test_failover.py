"""A zipper that is killed: sources, functions and sinks that know another address go on there, and nothing is lost."""

from __future__ import annotations

import signal
import textwrap
import threading
from pathlib import Path

import pytest

from nearfield import Sink, Source, StreamFunction
from nearfield.frame import Frame
from tests.processes import Commands, Node, poll

FUNCTION = "work"
TAG, RESULT = 0x10, 0x11
# A lease of 2 s, then 1.5 s for the address that does not answer any more, on a machine that is busy.
FAILOVER_S = 60.0

APP = """
    from nearfield import StreamFunction

    work = StreamFunction("work")

    @work
    def handle(context):
        context.emit(0x11, context.payload.upper())
"""


def two_nodes(commands: Commands) -> tuple[Node, Node, str]:
    """Two zippers that know nothing of each other, and the addresses of both."""
    functions = [{"name": FUNCTION, "observe": [hex(TAG)], "delivery": {"mode": "complete"}}]
    first, second = (commands.node(functions, name=name) for name in ("north", "south"))
    return first, second, f"{first.address},{second.address}"


class Reader:
    """Takes what a sink receives, on a thread of its own, until the sink is closed."""

    def __init__(self, sink: Sink) -> None:
        self.frames: list[Frame] = []
        self._thread = threading.Thread(target=lambda: self.frames.extend(sink), daemon=True)
        self._thread.start()

    def sequences(self) -> set[int]:
        return {frame.sequence for frame in list(self.frames)}


@pytest.mark.timeout(180)
def test_everything_moves_to_another_zipper_and_a_complete_source_loses_nothing(commands: Commands) -> None:
    first, second, both = two_nodes(commands)
    gate = threading.Event()
    gate.set()

    def handle(context: object) -> None:
        gate.wait(60)
        context.emit(RESULT, context.payload.upper())  # type: ignore[attr-defined]

    with (
        Sink(both, [RESULT]) as sink,
        StreamFunction(FUNCTION, both, handler=handle, credits=2) as function,
        Source("files", both, tag=TAG, mode="complete") as source,
    ):
        reader = Reader(sink)
        for number in range(10):
            source.send(b"%d" % number)
        assert source.flush(30)
        poll(lambda: reader.sequences() == set(range(10)), "results from the first zipper")

        gate.clear()
        for number in range(10, 20):  # on their way when the zipper goes
            source.send(b"%d" % number)
        first.until_group(FUNCTION, lambda group: group["in_flight"] == 2, "the function holds two frames")
        first.serve.send_signal(signal.SIGKILL)
        assert first.serve.finish() == -signal.SIGKILL
        for client in (source, sink):
            poll(
                lambda client=client: client.connection.zipper == "south",  # type: ignore[misc]
                "moved",
                timeout_s=FAILOVER_S,
            )
        gate.set()
        for number in range(20, 30):
            source.send(b"%d" % number, timeout_s=FAILOVER_S)
        assert source.flush(FAILOVER_S)
        poll(lambda: reader.sequences() == set(range(30)), "a result of every frame")
        group = second.until_settled(FUNCTION, 20)
        assert (group["received"], group["completed"], group["failed"], group["dropped"]) == (20, 20, {}, {})
        assert group["instances"] == 1
        statistics = source.statistics()
        assert statistics.released == statistics.offered == statistics.sent == 30
        assert statistics.resent >= 10
        assert function.statistics().completed >= 30


@pytest.mark.timeout(180)
def test_a_live_source_goes_on_at_another_zipper_and_says_what_it_gave_up(commands: Commands, tmp_path: Path) -> None:
    first, second, both = two_nodes(commands)
    app = tmp_path / "app.py"
    app.write_text(textwrap.dedent(APP))
    commands.start("run", app, "--zipper", both).ready()
    with Source("camera", both, tag=TAG) as source:
        source.send(b"before")
        first.until_settled(FUNCTION, 1)
        first.serve.send_signal(signal.SIGKILL)

        def arrives() -> bool:
            source.send(b"after")
            return source.connection.zipper == "south" and second.group(FUNCTION)["completed"] > 0

        poll(arrives, "a frame handled at the second zipper", timeout_s=FAILOVER_S)
        assert source.flush(FAILOVER_S)
        statistics = source.statistics()
        # Every frame is told of: it was taken over, replaced, or given up.
        assert statistics.offered == statistics.sent + statistics.replaced
        assert statistics.sent == statistics.released + statistics.unacknowledged
        assert statistics.replaced > 0
        group = second.group(FUNCTION)
        assert group["dropped"] == group["failed"] == {}


@pytest.mark.timeout(180)
def test_watching_goes_on_at_another_zipper(commands: Commands) -> None:
    first, second, both = two_nodes(commands)
    watch = commands.start("watch", "--tag", hex(TAG), "--zipper", both).ready()
    with Source("before", first.address, tag=TAG, mode="complete") as source:
        source.send(b"north", tag=0x20)
        source.send(b"north")
        watch.until(lambda: any(line["origin"] == "before" for line in watch.frames), "a frame of the first zipper")
        first.serve.send_signal(signal.SIGKILL)
        source.close()
    with Source("after", second.address, tag=TAG) as source:

        def is_seen() -> bool:
            source.send(b"south")
            return any(line["origin"] == "after" for line in watch.frames)

        poll(is_seen, "a frame of the second zipper", timeout_s=FAILOVER_S)
