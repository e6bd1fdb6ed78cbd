"""The results as a table for people, and held against what was aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.route.age import Age
from benchmarks.route.cost import Cost
from benchmarks.route.latency import FLOOR, Latency
from benchmarks.route.throughput import Throughput

TO_BARE = 0.9
SMALL_FRAMES_PER_S = 15_000.0
TO_FLOOR = 3.0
# What counts as flat: others use the machine too.
FLAT = 1.25


@dataclass(frozen=True, slots=True)
class Results:
    """All that was measured."""

    throughput: Sequence[Throughput]
    latency: Sequence[Latency]
    cost: Sequence[Cost]
    age: Age


@dataclass(frozen=True, slots=True)
class Aim:
    """One aim: `got` should be at least, or at most, `wanted`."""

    what: str
    got: float
    wanted: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        return self.got >= self.wanted if self.at_least else self.got <= self.wanted


def aims(results: Results) -> Iterator[Aim]:
    """Every aim with what was reached."""
    for size in dict.fromkeys(entry.size for entry in results.throughput):
        ours = [e for e in results.throughput if e.size == size and e.to_bare is not None and not e.shared_memory]
        yield Aim(f"sink path, {size:,} B, to bare zenoh", _best(e for e in ours if not _dispatched(e)), TO_BARE, True)
        if size == 64:
            rate = max(entry.frames_per_s for entry in ours if _dispatched(entry))
            yield Aim("dispatched, 64 B, frames a second", rate, SMALL_FRAMES_PER_S, True)
        if size >= 50_000:
            yield Aim(f"dispatched, {size:,} B, to bare zenoh", _best(filter(_dispatched, ours)), TO_BARE, True)
    for latency in results.latency:
        if "zipper" in latency.route:
            load = f"{latency.size:,} B at {latency.rate:g}/s"
            yield Aim(f"p50 per hop pair to UDP, {load}: {latency.route}", latency.to_floor, TO_FLOOR, False)
    for varied in ("sources", "groups", "instances"):
        costs = [cost for cost in results.cost if cost.varied == varied]
        growth = costs[-1].frame_us / costs[0].frame_us
        yield Aim(f"cost per frame, {costs[-1].count} {varied} to 1", round(growth, 2), FLAT, False)
    drift = 1 + results.age.drift_ms / results.age.p50_ms
    yield Aim("age of results, last quarter of the overload to first", round(drift, 2), FLAT, False)


def _dispatched(entry: Throughput) -> bool:
    return "function" in entry.route


def _best(entries: Iterable[Throughput]) -> float:
    return max(entry.to_bare or 0.0 for entry in entries)


def table(results: Results) -> str:
    """For people."""
    return "\n".join([*_throughput(results), *_latency(results), *_cost(results), *_age(results), *_aims(results)])


def _throughput(results: Results) -> Iterator[str]:
    yield (
        f"{'throughput':44} {'size B':>9} {'frames/s':>9} {'best':>9} {'MB/s':>8} {'to bare':>8} "
        f"{'CPU to bare':>12} {'lost':>6}  CPU us/frame"
    )
    for entry in results.throughput:
        to_bare = "" if entry.to_bare is None else f"{entry.to_bare:.2f}"
        cpu_to_bare = "" if entry.cpu_to_bare is None else f"{entry.cpu_to_bare:.2f}"
        used = ", ".join(f"{name} {us:,.0f}" for name, us in entry.cpu_us.items())
        name = entry.route + (" (shm)" if entry.shared_memory else "")
        yield (
            f"{name:44} {entry.size:9,} {entry.frames_per_s:9,.0f} {entry.best_frames_per_s:9,.0f} "
            f"{entry.mb_per_s:8,.1f} {to_bare:>8} {cpu_to_bare:>12} {entry.lost:6.2%}  {used}"
        )


def _latency(results: Results) -> Iterator[str]:
    yield (
        f"\n{'latency':44} {'size B':>9} {'rate/s':>7} {'p50 ms':>8} {'p99 ms':>8} {'p99.9':>8} "
        f"{'lost':>10} {'p50/pair to UDP':>16}"
    )
    for entry in results.latency:
        to_floor = "" if entry.route == FLOOR else f"{entry.to_floor:.1f}"
        yield (
            f"{entry.route:44} {entry.size:9,} {entry.rate:7,g} {entry.p50_ms:8.2f} {entry.p99_ms:8.2f} "
            f"{entry.p999_ms:8.2f} {entry.lost:4}/{entry.lost + entry.frames:5} {to_floor:>16}"
        )


def _cost(results: Results) -> Iterator[str]:
    yield f"\n{'cost of the zipper':30} {'us/frame':>9} {'of it Python':>13} {'idle CPU':>9} {'memory MB':>10}"
    for cost in results.cost:
        name = f"{cost.count} {cost.varied}"
        yield f"{name:30} {cost.frame_us:9.1f} {cost.python_us:13.1f} {cost.idle:9.2%} {cost.resident_mb:10.1f}"


def _age(results: Results) -> Iterator[str]:
    age = results.age
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in age.ledger["dropped"].items()) or "none"
    yield (
        f"\nage of results, {age.offered_per_s:g} frames/s offered to a live function that takes "
        f"{age.handler_ms:g} ms: p50 {age.p50_ms:.1f} ms, p99 {age.p99_ms:.1f} ms, drift {age.drift_ms:+.1f} ms"
    )
    received = age.ledger["received"]
    yield f"  {age.offered:,} offered, {age.results:,} results; at the zipper {received:,}, dropped: {dropped}"


def _aims(results: Results) -> Iterator[str]:
    yield f"\n{'aim':75} {'got':>9} {'wanted':>10}"
    for aim in aims(results):
        sign = ">=" if aim.at_least else "<="
        yield f"{aim.what:75} {aim.got:9,.2f} {sign + f' {aim.wanted:,g}':>10} {'met' if aim.is_met else 'MISSED'}"
