"""Frames that a line loses between a zipper and a sink: `complete` gets them from their sender, `live` counts them."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

import pytest

from nearfield import Sink, Source
from nearfield.frame import Frame
from nearfield.sink import SinkStatistics
from nearfield.source.pacing import Pacer
from tests.fault.relay import Line, Relay
from tests.processes import Commands, Node, poll

# What lies on the way to a sink when its line is cut is full after a few of these.
PICTURE = bytes(60_000)
FPS = 100
UNOBSERVED = 0x30
KEPT, ORDERED, LIVE = (0x10, 0x11), (0x12, 0x13), (0x14, 0x15)

APP = """
    from nearfield import StreamFunction

    function = StreamFunction({name!r}, handler=lambda context: context.emit({result}, context.payload))
"""


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with functions that answer each frame with itself, in three ways."""
    functions: dict[str, tuple[tuple[int, int], dict[str, str]]] = {
        "kept": (KEPT, {"mode": "complete"}),
        "ordered": (ORDERED, {"mode": "complete", "order": "source"}),
        "live": (LIVE, {"mode": "live"}),
    }
    node = module_commands.node(
        [
            {"name": name, "observe": [tag], "emit": [result], "delivery": delivery}
            for name, ((tag, result), delivery) in functions.items()
        ]
    )
    for name, ((_, result), _) in functions.items():
        app = module_commands.folder / f"{name}.py"
        app.write_text(textwrap.dedent(APP.format(name=name, result=result)))
        node.run(app)
    return node


class FarSink:
    """A sink behind a line of its own, read all the time.

    Attributes:
        frames: what it received, in order.
    """

    def __init__(self, node: Node, tag: int) -> None:
        self.frames: list[Frame] = []
        self.line = Relay(int(node.address.rpartition(":")[2]), Line(), Line())
        self._sink = Sink(self.line.address, [tag], queue=100_000)
        self._thread = threading.Thread(target=lambda: self.frames.extend(self._sink), daemon=True)
        self._thread.start()

    @property
    def sequences(self) -> list[int]:
        return [frame.sequence for frame in self.frames]

    def statistics(self) -> SinkStatistics:
        return self._sink.statistics()

    def lose(self, seconds: float) -> None:
        """The line carries nothing for a while."""
        self.line.cut()
        time.sleep(seconds)
        self.line.mend()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        poll(condition, lambda: f"{what}; {self.statistics()}; {len(self.frames)} frames")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.close()
        self._thread.join(10)
        self.line.close()


class Film:
    """A source that sends pictures at a steady pace until it is told to stop."""

    def __init__(self, node: Node, tag: int, mode: Literal["live", "complete"]) -> None:
        self.source = Source(f"camera-{tag}", node.address, tag=tag, mode=mode)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self) -> None:
        pacer = Pacer(1 / FPS)
        while not self._stopping.wait(pacer.wait_s(time.monotonic())):
            self.source.send(PICTURE)

    def stop(self) -> int:
        """Returns how many there were."""
        self._stopping.set()
        self._thread.join(10)
        assert self.source.flush(30)
        return self.source.statistics().offered

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(10)
        self.source.close()


@pytest.mark.parametrize(("sent", "received"), [KEPT, (UNOBSERVED, UNOBSERVED)], ids=["results", "frames of a source"])
@pytest.mark.parametrize("cut_s", [0.7, 2.5], ids=["for a moment", "until the connection is given up"])
def test_everything_in_complete_reaches_a_sink_whose_line_was_cut(
    node: Node, sent: int, received: int, cut_s: float
) -> None:
    with FarSink(node, received) as sink, Film(node, sent, "complete") as film:
        sink.until(lambda: len(sink.frames) > 20, "frames")
        sink.lose(cut_s)
        count = film.stop()
        sink.until(lambda: set(sink.sequences) == set(range(count)), f"all of {count}")
        assert sorted(sink.sequences) == list(range(count))
        counts = sink.statistics()
        assert counts.missed == 0
        assert counts.recovered > 0


def test_the_latest_frames_reach_a_sink_though_none_follows_that_would_show_the_gap(node: Node) -> None:
    with FarSink(node, KEPT[1]) as sink, Film(node, KEPT[0], "complete") as film:
        sink.until(lambda: len(sink.frames) > 20, "frames")
        sink.line.cut()
        time.sleep(2.5)
        count = film.stop()
        sink.line.mend()
        sink.until(lambda: sorted(sink.sequences) == list(range(count)), f"all of {count}")
        assert sink.statistics().recovered > 0


def test_order_of_a_source_is_kept_when_frames_are_asked_for(node: Node) -> None:
    with FarSink(node, ORDERED[1]) as sink, Film(node, ORDERED[0], "complete") as film:
        sink.until(lambda: len(sink.frames) > 20, "frames")
        sink.lose(0.7)
        count = film.stop()
        sink.until(lambda: len(sink.frames) >= count, f"all of {count}")
        assert sink.sequences == list(range(count))
        assert sink.statistics().recovered > 0


@pytest.mark.parametrize("comes_back", [True, False], ids=["in between", "at the end"])
def test_what_is_lost_in_live_is_counted_and_not_asked_for(node: Node, comes_back: bool) -> None:
    before = node.group("live")["completed"]
    with FarSink(node, LIVE[1]) as sink, Film(node, LIVE[0], "live") as film:
        sink.until(lambda: len(sink.frames) > 20, "frames")
        sink.line.cut()
        time.sleep(2.5)
        if comes_back:
            sink.line.mend()
            seen = len(sink.frames)
            sink.until(lambda: len(sink.frames) > seen + 20, "frames again")
        film.stop()
        sink.line.mend()
        completed = node.until_settled("live", before + 30)["completed"] - before
        sink.until(lambda: len(sink.frames) + sink.statistics().missed == completed, f"all of {completed}")
        counts = sink.statistics()
        assert counts.missed > 0
        assert counts.recovered == 0
