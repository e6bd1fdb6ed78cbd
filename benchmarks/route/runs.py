"""One run: a source sends over a route, and what arrived is looked at."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from benchmarks.route import cpu
from benchmarks.route.process import Process, ProcessFailed
from benchmarks.route.scene import Route

# From telling a source to send until it does.
LEAD_NS = 20_000_000
QUIET_S = 0.2
DRAIN_S = 20.0

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run.

    Attributes:
        taken_s: from the first frame's sending to the last arrival.
        ages_ns: (moment of the stamp, age on arrival) for each frame; only of paced runs.
        cpu_us: CPU time for each frame that arrived, in microseconds, by what the process is.
    """

    sent: int
    arrived: int
    taken_s: float
    ages_ns: list[tuple[int, int]]
    cpu_us: dict[str, float]

    @property
    def frames_per_s(self) -> float:
        return self.arrived / self.taken_s


def flood(route: Route, size: int, seconds: float) -> Run:
    """Send as fast as the source can, for a time, and wait until all arrived."""
    return _run(route, "flood", seconds, size=size)


def pace(route: Route, size: int, rate: float, seconds: float) -> Run:
    """Send at a rate."""
    return _run(route, "pace", seconds, size=size, rate=rate)


def _run(route: Route, how: str, seconds: float, **parameters: Any) -> Run:
    number = next(_numbers)
    route.sink.call("expect", run=number)
    before = _cpu_seconds(route)
    start_ns = time.monotonic_ns() + LEAD_NS
    span = {"start_ns": start_ns, "until_ns": start_ns + int(seconds * 1e9)}
    sent = route.source.call(how, seconds + DRAIN_S, run=number, **span, **route.parameters, **parameters)
    arrived = drain(route.sink, sent)
    used = _cpu_seconds(route)
    used.subtract(before)
    if not arrived:
        raise ProcessFailed(f"{route.name}: none of {sent} frames arrived")
    return Run(
        sent=sent,
        arrived=arrived,
        taken_s=(route.sink.call("last_ns") - start_ns) / 1e9,
        ages_ns=route.sink.call("ages") if how == "pace" else [],
        cpu_us={name: round(seconds / arrived * 1e6, 1) for name, seconds in used.items()},
    )


def drain(sink: Process, sent: int) -> int:
    """Wait until all arrived, or nothing more does. Returns how many did."""
    give_up_at = time.monotonic() + DRAIN_S
    arrived: int = sink.call("total")
    before = -1
    while arrived < sent and arrived != before and time.monotonic() < give_up_at:
        time.sleep(QUIET_S)
        arrived, before = sink.call("total"), arrived
    return arrived


def _cpu_seconds(route: Route) -> Counter[str]:
    return Counter({name: cpu.seconds(process.pid) for name, process in route.processes.items()})
