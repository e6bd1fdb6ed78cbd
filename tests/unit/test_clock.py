"""Clocks: the one of the machine, and the one of tests."""

from __future__ import annotations

from nearfield.clock import ManualClock, SystemClock


def test_manual_clock_moves_only_when_told_to() -> None:
    clock = ManualClock(wall_ns=100, monotonic_ns=10)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (100, 10)
    clock.advance(1.5)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (1_500_000_100, 1_500_000_010)


def test_wall_clock_may_jump_without_monotonic_time() -> None:
    clock = ManualClock(wall_ns=10**10, monotonic_ns=10)
    clock.jump_wall(-5)
    assert (clock.wall_ns(), clock.monotonic_ns()) == (5 * 10**9, 10)


def test_system_clock_never_goes_back() -> None:
    clock = SystemClock()
    readings = [clock.monotonic_ns() for _ in range(100)]
    assert readings == sorted(readings)
    assert clock.wall_ns() > 1_700_000_000 * 10**9
