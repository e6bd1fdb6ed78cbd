"""A line that loses 2 % of its packets, 80 ms there and back: small frames of one priority, large ones of another."""

from __future__ import annotations

import statistics
import threading
import time
from dataclasses import dataclass, field

import pytest

from nearfield import Sink, Source
from nearfield.frame import Priority
from nearfield.source.pacing import Pacer
from nearfield.transport import Address, StateDirectory, connect, ensure_local_identity
from tests.fault.relay import Line, Relay
from tests.processes import Commands, Node, poll

LARGE, SMALL = 0x20, 0x21
LINE = Line(delay_s=0.04, loss=0.02)
# 1 MB/s, several times what QUIC carries over such a line.
PICTURE = bytes(100_000)
READINGS, READINGS_PER_PICTURE, INTERVAL_S = 200, 5, 0.02


class SingleStream(Address):
    """Everything in one QUIC stream, as zenoh had it before 1.9."""

    @property
    def quic(self) -> str:
        return super().quic + "?multistream=0"


@dataclass
class Arrivals:
    """What a sink behind a bad line received.

    Attributes:
        ages: in seconds, by tag and sequence number.
        interruptions: how often the connection ended.
    """

    sink: Sink
    ages: dict[int, dict[int, float]] = field(default_factory=lambda: {SMALL: {}, LARGE: {}})
    interruptions: int = 0

    def gather(self) -> None:
        self.sink.connection.session.watch_routers(self._on_router)
        for frame in self.sink:
            self.ages[frame.tag][frame.sequence] = self.sink.latency_ns(frame) / 1e9

    def _on_router(self, router: str, is_connected: bool) -> None:
        self.interruptions += not is_connected


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    return module_commands.node([{"name": "work", "observe": ["0x10"]}])


def readings(node: Node, kind: type[Address], priority: Priority, *, until: int) -> list[float]:
    """Pictures and readings from two sources at the zipper to one sink behind the line. Returns the readings' ages.

    Args:
        until: wait for so many readings.
    """
    with Relay(int(node.address.rpartition(":")[2]), LINE) as relay:
        identity = ensure_local_identity(StateDirectory.from_environment())
        sink = Sink(connect([kind("127.0.0.1", relay.port)], identity, timeout_s=20), [LARGE, SMALL], queue=10_000)
        arrivals = Arrivals(sink)
        gatherer = threading.Thread(target=arrivals.gather, daemon=True)
        gatherer.start()
        with (
            Source("camera", node.address, tag=LARGE, window=64) as camera,
            Source("gauge", node.address, tag=SMALL, window=64, priority=priority) as gauge,
        ):
            poll(lambda: gauge.send(b"begin") > -1 and arrivals.ages[SMALL], "the sink is heard of")
            first = gauge.send(b"begin") + 1
            pacer = Pacer(INTERVAL_S)
            for number in range(READINGS):
                time.sleep(pacer.wait_s(time.monotonic()))
                gauge.send(b"23.5")
                if number % READINGS_PER_PICTURE == 0:
                    camera.send(PICTURE)

            def ages() -> list[float]:
                return [age for sequence, age in list(arrivals.ages[SMALL].items()) if sequence >= first]

            poll(lambda: arrivals.ages[LARGE] and len(ages()) >= until, lambda: f"{until} readings; got {len(ages())}")
        sink.close()
        gatherer.join(10)
    assert sink.statistics().dropped == {}
    assert arrivals.interruptions == 0
    return ages()


def test_small_frames_of_high_priority_are_not_held_up_behind_large_ones_and_none_is_lost(node: Node) -> None:
    own_stream = readings(node, Address, "high", until=READINGS)
    one_stream = readings(node, SingleStream, "high", until=READINGS // 20)
    same_priority = readings(node, Address, "normal", until=READINGS // 20)
    for others, what in ((one_stream, "in one stream for all"), (same_priority, "of the same priority as the large")):
        assert statistics.median(own_stream) < statistics.median(others) / 2, (
            f"{statistics.median(own_stream) * 1e3:.0f} ms, {what} {statistics.median(others) * 1e3:.0f} ms"
        )
    assert len(own_stream) == READINGS
