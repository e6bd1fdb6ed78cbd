"""Signals end a command in good order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
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


HANGING = """
import sys, time
from nearfield.cli.stopping import Stopping
stopping = Stopping()
print("ready", flush=True)
stopping.wait(60)
print("stopping", flush=True)
time.sleep(60)
"""


def test_second_signal_ends_a_command_that_hangs_while_it_stops() -> None:
    with subprocess.Popen([sys.executable, "-c", HANGING], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "stopping\n"
        # Those that come too soon are passed over; one that comes later ends it.
        give_up_at = time.monotonic() + 20
        while child.poll() is None and time.monotonic() < give_up_at:
            child.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(0.1)
        status = child.poll()
        child.kill()
    assert status == 130


def test_repetition_at_once_is_the_same_wish() -> None:
    stopping = Stopping()
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.wait(10)
