"""A line slower than its camera: what arrives is fresh, `send` never waits, and every frame is accounted for."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator

import pytest

from nearfield import Sink, Source
from nearfield.source.pacing import Pacer
from tests.fault.relay import Line, Relay
from tests.processes import Commands, Node, poll

OBSERVED, UNOBSERVED = 0x10, 0x20
FUNCTION = "work"
# 50 Mbit/s carry 30 of these pictures a second; the camera makes half as many again.
PICTURE = bytes(200_000)
UPLINK = Line(rate_bits=50e6)
FPS, SECONDS = 45, 2.5


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with a function that takes everything at once."""
    node = module_commands.node([{"name": FUNCTION, "observe": [hex(OBSERVED)], "delivery": {"queue": 64}}])
    app = module_commands.folder / "app.py"
    app.write_text(
        "from nearfield import StreamFunction\nwork = StreamFunction('work', handler=lambda context: None)\n"
    )
    node.run(app)
    return node


@pytest.fixture
def relay(node: Node) -> Iterator[Relay]:
    with Relay(int(node.address.rpartition(":")[2]), UPLINK, Line()) as relay:
        yield relay


class Ages:
    """Ages of the frames that reach a sink at the zipper, in seconds, gathered until it is closed."""

    def __init__(self, node: Node, tag: int) -> None:
        self.seconds: list[float] = []
        self.sink = Sink(node.address, [tag])
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()

    def _gather(self) -> None:
        for frame in self.sink:
            self.seconds.append(self.sink.latency_ns(frame) / 1e9)

    def close(self) -> None:
        self.sink.close()
        self._thread.join(10)


def film(source: Source, seconds: float = SECONDS) -> None:
    """Send pictures at the camera's pace."""
    pacer = Pacer(1 / FPS)
    for _ in range(round(seconds * FPS)):
        time.sleep(pacer.wait_s(time.monotonic()))
        source.send(PICTURE)


def median_age(node: Node, relay: Relay, tag: int, window: int | None) -> float:
    """The median age, in seconds, at a sink. Every frame of the source must be accounted for."""
    before = node.group(FUNCTION)["received"]
    ages = Ages(node, tag)
    try:
        with Source(f"camera-{window}", relay.address, tag=tag, window=window) as source:
            film(source)
            poll(lambda: source.in_flight == 0, "all frames confirmed or given up")
            counts = source.statistics()
        assert counts.offered == round(SECONDS * FPS) == counts.sent + counts.replaced
        if tag == OBSERVED:
            assert counts.sent == counts.released + counts.unacknowledged
            node.until_group(FUNCTION, lambda group: group["queued"] == group["in_flight"] == 0, "settled")
            received = node.group(FUNCTION)["received"] - before
            # What was given up may have arrived nevertheless, after its second was over.
            assert counts.released <= received <= counts.sent
            poll(lambda: len(ages.seconds) >= counts.released, "what was confirmed reached the sink")
    finally:
        ages.close()
    assert ages.seconds
    return statistics.median(ages.seconds)


def test_live_frames_are_less_than_half_as_old_as_with_a_large_window(node: Node, relay: Relay) -> None:
    own, large = (median_age(node, relay, OBSERVED, window) for window in (None, 64))
    assert own < large / 2, f"{own * 1e3:.0f} ms with one or two frames on their way, {large * 1e3:.0f} ms with 64"


def test_live_frames_that_only_sinks_receive_are_as_fresh(node: Node, relay: Relay) -> None:
    own, unlimited = (median_age(node, relay, UNOBSERVED, window) for window in (None, 64))
    assert own < unlimited / 2, f"{own * 1e3:.0f} ms, {unlimited * 1e3:.0f} ms without our own credit"


@pytest.mark.parametrize("tag", [OBSERVED, UNOBSERVED])
def test_live_source_does_not_wait_for_a_line_that_is_cut_and_sends_the_newest_when_it_is_mended(
    node: Node, relay: Relay, tag: int
) -> None:
    received: list[int] = []
    sink = Sink(node.address, [tag])
    threading.Thread(target=lambda: received.extend(frame.sequence for frame in sink), daemon=True).start()
    try:
        with Source("camera", relay.address, tag=tag) as source:
            source.send(PICTURE)
            poll(lambda: received, "a frame")
            relay.cut()
            film(source, 1.0)
            # Frames that waited for the line in `send` would count as sent.
            assert source.statistics().replaced > FPS / 2
            newest = source.statistics().offered - 1
            relay.mend()
            poll(lambda: newest in received, "the newest frame")
            poll(lambda: source.in_flight == 0, "nothing waits")
            counts = source.statistics()
            assert counts.offered == counts.sent + counts.replaced
    finally:
        sink.close()


def test_a_sink_on_a_slow_line_counts_what_it_missed_and_makes_no_frames_late_for_others(node: Node) -> None:
    modem = Line(rate_bits=2e6, delay_s=0.02, queue_bytes=64 * 1024)  # a twelfth of what the camera sends
    with Relay(int(node.address.rpartition(":")[2]), Line(), modem) as relay, Sink(relay.address, [UNOBSERVED]) as slow:
        ages = Ages(node, UNOBSERVED)
        try:
            pacer = Pacer(1 / 60)
            with Source("camera", node.address, tag=UNOBSERVED, window=64) as source:
                for _ in range(240):
                    time.sleep(pacer.wait_s(time.monotonic()))
                    source.send(bytes(50_000))
                in_time = list(ages.seconds)

                def all_accounted_for() -> bool:
                    source.send(b"is anything missing before this?")
                    time.sleep(0.1)
                    return slow.statistics().arrived + slow.missed == source.statistics().sent

                poll(all_accounted_for, "every frame has arrived or is missed", timeout_s=20)
                assert slow.missed > 100
                assert ages.sink.missed <= 10
        finally:
            ages.close()
    assert len(in_time) >= 230
    assert statistics.median(in_time) < 0.15
    assert sorted(in_time)[-10] < 0.5
