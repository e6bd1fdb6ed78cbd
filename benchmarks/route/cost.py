"""What one frame costs the zipper, against how many sources, groups and instances it has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.route import cpu
from benchmarks.route.process import Process, Processes, ready
from benchmarks.route.scene import Function, function, serve

SIZE, RATE = 1_000, 400.0
RUN_S = 0.6
GROUPS = 50
SOURCES_TRIED = (1, 10, 50, 200)
GROUPS_TRIED = (1, 10, 50)
INSTANCES_TRIED = (1, 2, 4, 8)
# New sessions settle for a moment.
SETTLE_S = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time of the zipper's process.

    Attributes:
        varied: sources, groups or instances; of the others there is one.
        frame_us: for each frame, in microseconds, beyond what it uses when no frame comes; median of the rounds.
        python_us: the part of it in threads that run Python.
        idle: CPU seconds a second while no frame comes.
        resident_mb: memory of the process.
    """

    varied: str
    count: int
    frame_us: float
    python_us: float
    idle: float
    resident_mb: float


def measure(folder: Path, rounds: int, say: Callable[[str], None], *, most: int = 200) -> list[Cost]:
    """Measure at the same rate in all.

    Args:
        most: sources at most.
    """
    return [
        *_against_groups(folder, rounds, say),
        *_against_instances(folder, rounds, say),
        *_against_sources(folder, rounds, say, [count for count in SOURCES_TRIED if count <= most]),
    ]


def _against_sources(folder: Path, rounds: int, say: Callable[[str], None], counts: Sequence[int]) -> list[Cost]:
    found = []
    with Processes() as processes:
        stage = _Stage(processes, folder, [_group(0)])
        stage.join(0)
        for count in counts:
            say(f"cost with {count} sources")
            stage.sources.call("open", count=count)
            found.append(stage.cost("sources", count, [_tags(0)[0]], rounds))
    return found


def _against_groups(folder: Path, rounds: int, say: Callable[[str], None]) -> list[Cost]:
    found = []
    with Processes() as processes:
        stage = _Stage(processes, folder, [_group(number) for number in range(GROUPS)])
        joined = 0
        for count in GROUPS_TRIED:
            say(f"cost with {count} groups")
            for number in range(joined, count):
                stage.join(number)
            joined = count
            found.append(stage.cost("groups", count, [_tags(number)[0] for number in range(count)], rounds))
    return found


def _against_instances(folder: Path, rounds: int, say: Callable[[str], None]) -> list[Cost]:
    found = []
    with Processes() as processes:
        stage = _Stage(processes, folder, [_group(0)])
        joined = 0
        for count in INSTANCES_TRIED:
            say(f"cost with {count} instances")
            for _ in range(joined, count):
                stage.join(0)
            joined = count
            found.append(stage.cost("instances", count, [_tags(0)[0]], rounds))
    return found


class _Stage:
    """A zipper with sources and functions, and no sink."""

    def __init__(self, processes: Processes, folder: Path, functions: Sequence[Function]) -> None:
        self.zipper, address = serve(processes, folder, functions)
        self.sources = processes.play("sources", zipper=address)
        self._functions = processes.play("functions", zipper=address)
        ready(self.sources, self._functions)
        self.sources.call("open", count=1)

    def join(self, number: int) -> None:
        self._functions.call("join", name=f"group-{number}", emit=_tags(number)[1])

    def cost(self, varied: str, count: int, tags: list[int], rounds: int) -> Cost:
        time.sleep(SETTLE_S)
        idle = _used(self.zipper, lambda: time.sleep(RUN_S))
        idle_total = sum(idle.values()) / RUN_S
        costs, python = [], []
        for _ in range(rounds):
            sent, started = 0, time.monotonic()

            def send() -> None:
                nonlocal sent
                start_ns = time.monotonic_ns()
                span = {"start_ns": start_ns, "until_ns": start_ns + int(RUN_S * 1e9)}
                sent = self.sources.call("pace", run=0, size=SIZE, rate=RATE, tags=tags, **span)

            used = _used(self.zipper, send)
            taken_s = time.monotonic() - started
            costs.append((sum(used.values()) - idle_total * taken_s) / sent)
            python.append((used["Python"] - idle["Python"] / RUN_S * taken_s) / sent)
        return Cost(
            varied=varied,
            count=count,
            frame_us=round(statistics.median(costs) * 1e6, 1),
            python_us=round(statistics.median(python) * 1e6, 1),
            idle=round(idle_total, 4),
            resident_mb=round(cpu.resident_bytes(self.zipper.pid) / 2**20, 1),
        )


def _group(number: int) -> Function:
    return function(f"group-{number}", _tags(number), "complete")


def _tags(number: int) -> tuple[int, int]:
    return 0x100 + number, 0x200 + number


def _used(zipper: Process, work: Callable[[], object]) -> dict[str, float]:
    before = cpu.seconds_by_kind(zipper.pid)
    work()
    after = cpu.seconds_by_kind(zipper.pid)
    return {kind: after[kind] - before[kind] for kind in after}
