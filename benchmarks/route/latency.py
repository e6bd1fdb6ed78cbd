"""How long a frame takes from its sending to its arrival, at fixed rates, beside an echo of datagrams."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.route.datagrams import MAX_BYTES
from benchmarks.route.process import Processes, free_port, ready
from benchmarks.route.runs import pace
from benchmarks.route.scene import Route, Routes

RUN_S = 1.0
FLOOR = "UDP echo between two processes"


@dataclass(frozen=True, slots=True)
class Load:
    """Payload in bytes, and frames a second."""

    size: int
    rate: float


# A sensor, a busy one, a camera's pictures.
LOADS = (Load(64, 100), Load(1_000, 500), Load(50_000, 100))


@dataclass(frozen=True, slots=True)
class Latency:
    """One route under one load.

    Attributes:
        hop_pairs: how often a frame goes to the node and comes back from it; 1 for the echo.
        p50_ms, p99_ms, p999_ms: of all rounds together. Of fewer than 1,000 frames, p999 is the slowest.
        to_floor: p50 for each pair of hops, in round trips of the echo (p50) at the same load.
    """

    route: str
    size: int
    rate: float
    hop_pairs: int
    frames: int
    lost: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    to_floor: float


def measure(over: Routes, loads: Sequence[Load], rounds: int, say: Callable[[str], None]) -> list[Latency]:
    """Pace each route in each round, so that a busy moment hits all of them alike."""
    found: list[Latency] = []
    with Processes() as processes:
        floor = echo(processes)
        ways = [floor, over.bare, over.direct_live, over.relayed, over.dispatched_live, over.dispatched]
        for load in loads:
            assert load.size <= MAX_BYTES
            say(f"latency, {load.size:,} B at {load.rate:g} a second")
            runs = [[pace(way, load.size, load.rate, RUN_S) for way in ways] for _ in range(rounds)]
            floor_ms = 0.0
            for way, of_way in zip(ways, zip(*runs, strict=True), strict=True):
                ages_ms = sorted(age / 1e6 for run in of_way for _, age in run.ages_ns)
                p50_ms = quantile(ages_ms, 0.5)
                floor_ms = floor_ms or p50_ms
                found.append(
                    Latency(
                        route=way.name,
                        size=load.size,
                        rate=load.rate,
                        hop_pairs=way.hop_pairs,
                        frames=len(ages_ms),
                        lost=sum(run.sent - run.arrived for run in of_way),
                        p50_ms=round(p50_ms, 3),
                        p99_ms=round(quantile(ages_ms, 0.99), 3),
                        p999_ms=round(quantile(ages_ms, 0.999), 3),
                        to_floor=round(p50_ms / way.hop_pairs / floor_ms, 2),
                    )
                )
    return found


def echo(processes: Processes) -> Route:
    """The echo as a route: the sender is told of the arrivals itself."""
    port = free_port()
    answering = processes.play("UDP echo", port=port)
    ready(answering)
    pinger = processes.play("UDP source", port=port)
    ready(pinger)
    return Route(FLOOR, 1, pinger, pinger, {"source": pinger, "node": answering}, {})


def quantile(ascending: Sequence[float], part: float) -> float:
    """The smallest value that at least `part` of all do not exceed."""
    return ascending[max(0, math.ceil(part * len(ascending)) - 1)]
