"""The arithmetic of `make bench-route`, and the end of what it starts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.route.age import Age, by_second
from benchmarks.route.cost import Cost
from benchmarks.route.latency import quantile
from benchmarks.route.process import Processes, ProcessFailed, free_port, ready
from benchmarks.route.report import Aim, Results, aims
from benchmarks.route.throughput import Throughput
from benchmarks.route.traffic import STAMP, Arrivals, flood, pace

MS = 1_000_000


@pytest.mark.parametrize(("part", "expected"), [(0.5, 5), (0.99, 10), (0.999, 10), (0.1, 1), (0.0, 1)])
def test_a_quantile_is_the_smallest_value_that_covers_its_part(part: float, expected: float) -> None:
    assert quantile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], part) == expected


def test_results_fall_into_the_second_of_their_arrival_and_the_last_one_is_left_out() -> None:
    stamped_and_age = [(0, 10 * MS), (100 * MS, 30 * MS), (1_000 * MS, 50 * MS), (2_100 * MS, 70 * MS)]

    curve = by_second(stamped_and_age)

    assert [(second.second, second.results, second.p50_ms, second.most_ms) for second in curve] == [
        (0, 2, 20.0, 30.0),
        (1, 1, 50.0, 50.0),
    ]


def test_arrivals_of_another_run_are_ignored() -> None:
    arrivals = Arrivals()
    arrivals.expect(7)
    for run in (6, 7, 8):
        arrivals.note(STAMP.pack(run, time.monotonic_ns()))

    assert arrivals.total() == 1
    ((_, age_ns),) = arrivals.ages()
    assert 0 <= age_ns < 60_000 * MS


def test_a_frame_that_its_predecessor_held_up_counts_from_when_it_was_due() -> None:
    stamps: list[int] = []

    def send(payload: bytes) -> None:
        stamps.append(STAMP.unpack_from(payload)[1])
        while time.monotonic_ns() < start_ns + 40 * MS:  # the first one takes as long as the whole run
            pass

    start_ns = time.monotonic_ns()
    sent = pace(send, run=1, size=64, rate=100.0, start_ns=start_ns, until_ns=start_ns + 40 * MS)

    assert sent == 4
    assert stamps[1:] == [start_ns + 10 * MS, start_ns + 20 * MS, start_ns + 30 * MS]


def test_a_flood_sends_payloads_of_the_size_until_its_time_is_up() -> None:
    sizes: list[int] = []
    until_ns = time.monotonic_ns() + 2 * MS

    sent = flood(lambda payload: sizes.append(len(payload)), run=3, size=100, start_ns=0, until_ns=until_ns)

    assert time.monotonic_ns() >= until_ns
    assert sizes == [100] * sent
    assert sent > 0


def test_an_aim_is_met_from_its_own_side() -> None:
    assert Aim("a ratio", 0.95, 0.9, at_least=True).is_met
    assert not Aim("a ratio", 0.85, 0.9, at_least=True).is_met
    assert Aim("a factor", 2.9, 3.0, at_least=False).is_met
    assert not Aim("a factor", 3.1, 3.0, at_least=False).is_met


def test_the_better_window_is_held_against_the_aim_and_shared_memory_is_not() -> None:
    def entry(route: str, size: int, rate: float, to_bare: float | None, *, shm: bool = False) -> Throughput:
        return Throughput(route, size, rate, rate, 0.0, to_bare, to_bare, 0.0, {}, shared_memory=shm)

    throughput = [
        entry("source, zipper, sink", 64, 1.0, 0.95),
        entry("source, zipper, function, sink", 64, 9_000.0, 0.5),
        entry("source, zipper, function, sink: wide", 64, 16_000.0, 0.8),
        entry("bare zenoh", 50_000, 1.0, None),
        entry("source, zipper, sink", 50_000, 1.0, 0.85),
        entry("source, zipper, function, sink", 50_000, 1.0, 0.92),
        entry("source, zipper, function, sink: wide", 50_000, 1.0, 0.7),
        entry("source, zipper, sink", 50_000, 1.0, 2.0, shm=True),
    ]
    cost = [
        Cost(varied, count, us, us, 0.0, 0.0)
        for varied in ("sources", "groups", "instances")
        for count, us in ((1, 100.0), (200, 110.0))
    ]
    age = Age(300.0, 10.0, 1, 0, 0, 50.0, 80.0, 5.0, {}, [])

    found = [(aim.got, aim.is_met) for aim in aims(Results(throughput, [], cost, age))]

    assert found == [(0.95, True), (16_000.0, True), (0.85, False), (0.92, True), *[(1.1, True)] * 3, (1.1, True)]


def test_processes_end_when_the_benchmark_fails() -> None:
    pids: list[int] = []
    with pytest.raises(ProcessFailed, match=r"(?s)`UDP source`.*no_such_method"), Processes() as processes:
        port = free_port()
        echo, source = processes.play("UDP echo", port=port), processes.play("UDP source", port=port)
        pids += [echo.pid, source.pid]
        ready(echo, source)
        source.call("no_such_method")

    assert len(pids) == 2
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_a_role_that_cannot_be_taken_up_says_why() -> None:
    with Processes() as processes:
        port = free_port()
        ready(processes.play("UDP echo", port=port))
        with pytest.raises(ProcessFailed, match=r"(?s)`UDP echo` ended with status 1.*in use"):
            ready(processes.play("UDP echo", port=port))


def test_a_datagram_comes_back_from_the_other_process() -> None:
    with Processes() as processes:
        port = free_port()
        ready(processes.play("UDP echo", port=port))
        source = processes.play("UDP source", port=port)
        ready(source)
        source.call("expect", run=1)
        now_ns = time.monotonic_ns()

        sent = source.call("pace", run=1, size=1_000, rate=200.0, start_ns=now_ns, until_ns=now_ns + 50 * MS)

        assert sent == 10
        assert source.call("total") == 10
        assert all(age_ns > 0 for _, age_ns in source.call("ages"))
