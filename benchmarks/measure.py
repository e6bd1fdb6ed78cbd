"""Timing on a machine that others use too: many short rounds, all candidates in each, medians."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds for one call, over rounds: the median round, and the best one, which others disturbed least."""

    median_s: float
    best_s: float

    def minus(self, other: Timing) -> Timing:
        """What is beyond `other`."""
        return Timing(self.median_s - other.median_s, self.best_s - other.best_s)


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
    gc.disable()
    try:
        for number in range(rounds + 1):
            for name, work in works.items():
                taken = _time(work)
                if number:
                    seconds[name].append(taken)
    finally:
        gc.enable()
    return {name: Timing(statistics.median(taken), min(taken)) for name, taken in seconds.items()}


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
