from __future__ import annotations

import threading
import time

import pytest

from nearfield.sandbox import engine as engine_module
from nearfield.sandbox.engine import TICK_S, Ticker, engine, fingerprint, ticker, ticks_due


class CountingEngine:
    def __init__(self) -> None:
        self.ticks = 0
        self.moved = threading.Event()

    def increment_epoch(self) -> None:
        self.ticks += 1
        self.moved.set()


def test_there_is_one_engine_and_one_ticker() -> None:
    assert engine() is engine()
    assert ticker() is ticker()


def test_the_fingerprint_names_version_and_settings() -> None:
    assert fingerprint().startswith(f"wasmtime {engine_module.wasmtime_version()}; ")
    assert "wasm_threads=False" in fingerprint()


def test_a_deadline_is_rounded_up_to_ticks() -> None:
    counting = Ticker(CountingEngine())  # type: ignore[arg-type]
    assert counting.arm(TICK_S * 10) * TICK_S > TICK_S * 10
    assert counting.arm(TICK_S / 100) >= 2


def test_the_epoch_moves_once_armed_and_not_before() -> None:
    counted = CountingEngine()
    counting = Ticker(counted)  # type: ignore[arg-type]
    assert counted.ticks == 0
    counting.arm(0.05)
    assert counted.moved.wait(timeout=10)


def test_a_deadline_brings_the_epoch_up_to_the_present_first() -> None:
    counted = CountingEngine()
    counting = Ticker(counted)  # type: ignore[arg-type]
    before_s = time.monotonic()
    counting.arm(3600.0)
    armed_s = time.monotonic()
    assert until(lambda: time.monotonic() > armed_s + 4 * TICK_S)
    again_s = time.monotonic()
    counting.arm(3600.0)
    most_s = time.monotonic() - before_s
    assert (again_s - armed_s) / TICK_S - 1 <= counted.ticks <= most_s / TICK_S


def test_an_earlier_deadline_of_another_thread_is_not_slept_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_LONGEST_SLEEP_S", 3600.0)
    counted = CountingEngine()
    counting = Ticker(counted)  # type: ignore[arg-type]
    counting.arm(3600.0)
    ticks: list[int] = []
    other = threading.Thread(target=lambda: ticks.append(counting.arm(0.02)))
    other.start()
    other.join()
    assert until(lambda: counted.ticks >= ticks[0])


def test_the_epoch_stands_still_when_nothing_runs_and_moves_again() -> None:
    counted = CountingEngine()
    counting = Ticker(counted)  # type: ignore[arg-type]
    counting.arm(0.01)
    counting.disarm()
    assert until(lambda: not counting.is_running)
    counted.moved.clear()
    counting.arm(0.05)
    assert counted.moved.wait(timeout=10)
    counting.disarm()
    counting.disarm()
    assert until(lambda: not counting.is_running)


def test_the_epoch_goes_on_as_long_as_a_call_outlives_its_deadline() -> None:
    # A machine that was suspended between `arm` and the guest's start counts its ticks from a later moment.
    counted = CountingEngine()
    counting = Ticker(counted)  # type: ignore[arg-type]
    ticks = counting.arm(0.01)
    assert until(lambda: counted.ticks > 10 * ticks)
    assert counting.is_running
    counting.disarm()


def test_the_epoch_follows_the_clock_when_its_thread_got_no_turn() -> None:
    ticks, stands_s = ticks_due(100.0, 100.0 + 10.5 * TICK_S)
    assert (ticks, stands_s) == (10, pytest.approx(100.0 + 10 * TICK_S))


def test_the_rest_of_a_tick_is_not_lost() -> None:
    ticks, stands_s = ticks_due(100.0, 100.0 + 0.9 * TICK_S)
    assert ticks == 0
    assert ticks_due(stands_s, 100.0 + 1.1 * TICK_S)[0] == 1


def test_a_suspended_machine_is_not_caught_up_in_full() -> None:
    ticks, stands_s = ticks_due(100.0, 100_000.0)
    assert ticks < 100_000
    assert stands_s == 100_000.0


def until(condition: object, timeout_s: float = 10.0) -> bool:
    assert callable(condition)
    ends_at = time.monotonic() + timeout_s
    while time.monotonic() < ends_at:
        if condition():
            return True
    return False
