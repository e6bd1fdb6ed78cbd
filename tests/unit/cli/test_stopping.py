"""Signals end a command in good order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from nearfield.cli.stopping import Stopping


@pytest.fixture(autouse=True)
def untouched_signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_without_a_signal_nothing_is_set() -> None:
    stopping = Stopping()
    assert not stopping.wait(0)
    assert not stopping.is_set


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signal_wakes_who_waits_and_decides_the_exit_code(number: signal.Signals, exit_code: int) -> None:
    called: list[bool] = []
    stopping = Stopping(lambda: called.append(True))
    os.kill(os.getpid(), number)
    assert stopping.wait(10)
    assert stopping.wait(10)
    assert (stopping.is_set, stopping.exit_code, called) == (True, exit_code, [True])


def test_second_interrupt_ends_at_once() -> None:
    stopping = Stopping()
    os.kill(os.getpid(), signal.SIGINT)
    assert stopping.wait(10)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        stopping.wait(10)
        signal.pause()


def test_handler_that_runs_in_the_midst_of_waiting_does_not_block() -> None:
    stopping = Stopping()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(10)
