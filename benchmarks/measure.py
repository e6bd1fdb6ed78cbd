"""Timing on a machine that others use too: many short rounds, all candidates in each, medians."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for one call, over rounds: the median round, and the best one, which others disturbed least.

    Attributes:
        rounds_s: all rounds in order; empty for a difference.
        cpu_rounds_s: processor time of this process for one call, likewise; empty where it was not measured.
    """

    median_s: float
    best_s: float
    rounds_s: tuple[float, ...] = ()
    cpu_rounds_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, rounds_s: Sequence[float], cpu_rounds_s: Sequence[float] = ()) -> Timing:
        """From what one call took in each round."""
        return cls(statistics.median(rounds_s), min(rounds_s), tuple(rounds_s), tuple(cpu_rounds_s))

    def minus(self, other: Timing) -> Timing:
        """What is beyond `other`."""
        return Timing(self.median_s - other.median_s, self.best_s - other.best_s)

    def speed_against(self, other: Timing) -> float:
        """Speed as a multiple of the speed of `other`, which was measured in the same rounds.

        The median over rounds: what disturbs a whole round disturbs both sides of its ratio.
        """
        return _median_ratio(other.rounds_s, self.rounds_s)

    def thrift_against(self, other: Timing) -> float | None:
        """As `speed_against`, by processor time: on a busy machine the better measure. None where it is not known."""
        if not self.cpu_rounds_s or not other.cpu_rounds_s:
            return None
        return _median_ratio(other.cpu_rounds_s, self.cpu_rounds_s)


def _median_ratio(of: Sequence[float], to: Sequence[float]) -> float:
    return statistics.median(above / below for above, below in zip(of, to, strict=True))


@dataclass(frozen=True, slots=True)
class Work:
    """Something to time.

    Attributes:
        run: called `calls` times in each round; its own result, if it is a number, is what it took in seconds instead
            of the time around it.
    """

    run: Callable[[], object]
    calls: int = 200


def measure(works: Mapping[str, Work], rounds: int) -> dict[str, Timing]:
    """Time each work in every round, so that a busy moment hits all of them alike. The first round is a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    cpu: dict[str, list[float]] = {name: [] for name in works}
    gc.disable()
    try:
        for number in range(rounds + 1):
            for name, work in works.items():
                cpu_before_s = time.process_time()
                taken = _time(work)
                if number:
                    seconds[name].append(taken)
                    cpu[name].append((time.process_time() - cpu_before_s) / work.calls)
    finally:
        gc.enable()
    return {name: Timing.of(taken, cpu[name]) for name, taken in seconds.items()}


def _time(work: Work) -> float:
    own = 0.0
    is_own = False
    started = time.perf_counter()
    for _ in range(work.calls):
        result = work.run()
        if isinstance(result, float):
            own += result
            is_own = True
    taken = time.perf_counter() - started
    return (own if is_own else taken) / work.calls


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def describe_machine() -> dict[str, object]:
    """Where this was measured, and how busy it was."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load_average_1min": round(os.getloadavg()[0], 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d %H:%M:%S %z"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"
