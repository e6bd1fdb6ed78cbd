"""How many frames a second go through, beside bare zenoh in the same rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.route.process import Processes
from benchmarks.route.runs import Run, flood
from benchmarks.route.scene import Route, Routes, routes

SIZES = (64, 1_000, 50_000, 1_000_000)
SHARED_MEMORY_SIZES = (50_000, 1_000_000)
RUN_S = 0.4


@dataclass(frozen=True, slots=True)
class Throughput:
    """One route at one size of payload.

    Attributes:
        frames_per_s: of the median round.
        best_frames_per_s: of the round that others on the machine disturbed least.
        to_bare: frames a second as part of those of bare zenoh over the same links, the median of the rounds' ratios;
            None for bare zenoh itself.
        cpu_to_bare: CPU time for each frame in all processes, in the same way. Busy neighbours disturb it less.
        lost: frames that did not arrive, of all that were sent.
        cpu_us: CPU time for each frame by process, in microseconds, of the median round.
    """

    route: str
    size: int
    frames_per_s: float
    best_frames_per_s: float
    mb_per_s: float
    to_bare: float | None
    cpu_to_bare: float | None
    lost: float
    cpu_us: dict[str, float]
    shared_memory: bool = False


def measure(over: Routes, sizes: Sequence[int], rounds: int, say: Callable[[str], None]) -> list[Throughput]:
    """Flood the routes in turns, after a round to warm up."""
    found: list[Throughput] = []
    for size in sizes:
        say(f"throughput, {size:,} B")
        found += _beside(over.bare, [over.direct], size, rounds)
        found += _beside(over.relayed, [over.dispatched], size, rounds)
    return found


def with_shared_memory(folder: Path, rounds: int, say: Callable[[str], None]) -> list[Throughput]:
    """The same with processes of their own that may use zenoh's shared memory."""
    say("the same with shared memory")
    with Processes() as processes:
        found = measure(routes(processes, folder, shm=True), SHARED_MEMORY_SIZES, rounds, lambda _: None)
    return [replace(entry, shared_memory=True) for entry in found]


def _beside(bare: Route, ours: Sequence[Route], size: int, rounds: int) -> list[Throughput]:
    by_round = [[flood(route, size, RUN_S) for route in (bare, *ours)] for _ in range(rounds + 1)][1:]
    bare_runs, *our_runs = zip(*by_round, strict=True)
    found = [_summed_up(bare, size, bare_runs, None, None)]
    for route, runs in zip(ours, our_runs, strict=True):
        pairs = list(zip(runs, bare_runs, strict=True))
        rate = statistics.median(our.frames_per_s / its.frames_per_s for our, its in pairs)
        cpu = statistics.median(sum(our.cpu_us.values()) / sum(its.cpu_us.values()) for our, its in pairs)
        found.append(_summed_up(route, size, runs, rate, cpu))
    return found


def _summed_up(
    route: Route, size: int, runs: Sequence[Run], to_bare: float | None, cpu_to_bare: float | None
) -> Throughput:
    rates = [run.frames_per_s for run in runs]
    rate = statistics.median(rates)
    sent = sum(run.sent for run in runs)
    return Throughput(
        route=route.name,
        size=size,
        frames_per_s=round(rate, 1),
        best_frames_per_s=round(max(rates), 1),
        mb_per_s=round(rate * size / 1e6, 3),
        to_bare=None if to_bare is None else round(to_bare, 3),
        cpu_to_bare=None if cpu_to_bare is None else round(cpu_to_bare, 3),
        lost=round(1 - sum(run.arrived for run in runs) / sent, 5),
        cpu_us={name: statistics.median(run.cpu_us[name] for run in runs) for name in runs[0].cpu_us},
    )
