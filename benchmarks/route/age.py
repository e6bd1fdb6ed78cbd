"""The age of results while a live function is offered three times what it can do."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.route.latency import quantile
from benchmarks.route.process import Processes, ready
from benchmarks.route.runs import pace
from benchmarks.route.scene import LIVE, Route, function, serve
from nearfield.frame import keys
from nearfield.transport import dial

HANDLER_S = 0.010
OVERLOAD = 3
SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Second:
    """Results that arrived in one second. Ages are from sending to the arrival of the result, in milliseconds."""

    second: int
    results: int
    p50_ms: float
    most_ms: float


@dataclass(frozen=True, slots=True)
class Age:
    """What came of the overload.

    Attributes:
        offered_per_s: frames that the program sent.
        sources: how many sources share them.
        ledger: of the group, at the end.
        source_replaced: frames that the source replaced by newer ones before they were sent.
        drift_ms: p50 of the last quarter less that of the first.
    """

    offered_per_s: float
    handler_ms: float
    sources: int
    offered: int
    results: int
    p50_ms: float
    p99_ms: float
    drift_ms: float
    ledger: dict[str, Any]
    curve: list[Second]


def measure(folder: Path, seconds: float, say: Callable[[str], None]) -> Age:
    """Offer a function that takes 10 ms for each frame 300 frames a second."""
    rate = OVERLOAD / HANDLER_S
    say(f"age under {OVERLOAD}x overload, {seconds:g} s")
    with Processes() as processes:
        zipper, address = serve(processes, folder, [function("live", LIVE, "live")])
        source = processes.play("source", zipper=address, windows={"live": ("live", None)})
        functions = processes.play("functions", zipper=address)
        sink = processes.play("sink", zipper=address, tags=[LIVE[1]])
        ready(source, functions, sink)
        functions.call("join", name="live", emit=LIVE[1], sleep_s=HANDLER_S)
        members = {"source": source, "node": zipper, "function": functions, "sink": sink}
        route = Route("live", 2, source, sink, members, {"window": "live", "tag": LIVE[0]})
        run = pace(route, SIZE, rate, seconds)
        ledger = _ledger(address)
    curve = by_second(run.ages_ns)
    ages_ms = sorted(age / 1e6 for _, age in run.ages_ns)
    quarter = max(1, len(curve) // 4)
    return Age(
        offered_per_s=rate,
        handler_ms=HANDLER_S * 1e3,
        sources=1,
        offered=run.sent,
        results=run.arrived,
        p50_ms=round(quantile(ages_ms, 0.5), 2),
        p99_ms=round(quantile(ages_ms, 0.99), 2),
        drift_ms=round(_typical(curve[-quarter:]) - _typical(curve[:quarter]), 2),
        ledger=ledger,
        curve=curve,
    )


def by_second(ages_ns: Sequence[tuple[int, int]]) -> list[Second]:
    """The results of each whole second since the first arrival; one that is not over is left out."""
    arrivals = sorted((stamped + age, age / 1e6) for stamped, age in ages_ns)
    seconds: dict[int, list[float]] = {}
    for arrived_ns, age_ms in arrivals:
        seconds.setdefault((arrived_ns - arrivals[0][0]) // 1_000_000_000, []).append(age_ms)
    return [
        Second(second, len(ages), round(statistics.median(ages), 2), round(max(ages), 2))
        for second, ages in seconds.items()
        if second < max(seconds)
    ]


def _typical(curve: Sequence[Second]) -> float:
    return statistics.median(second.p50_ms for second in curve)


def _ledger(address: str) -> dict[str, Any]:
    connection = dial(address)
    try:
        answer = connection.session.ask(keys.ledger(connection.namespace, connection.zipper))
    finally:
        connection.close()
    group: dict[str, Any] = msgspec.json.decode(answer or b"{}")["groups"]["live"]
    return group
