from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nearfield.sandbox import EXIT_STUCK
from nearfield.sandbox import watchdog as watchdog_module
from nearfield.sandbox.watchdog import Watchdog
from tests.unit.sandbox.kit import write
from tests.unit.sandbox.test_guest import ASKING


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog_module, "LOOK_S", 0.001)


class Listener:
    """Keeps what a watchdog says."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.heard = threading.Event()

    def __call__(self, message: str) -> None:
        self.said.append(message)
        self.heard.set()


def test_a_call_beyond_its_time_is_told_once() -> None:
    listener = Listener()
    watchdog = Watchdog(listener)
    watchdog.begin(time.monotonic() - 1, lambda: "stuck")
    assert listener.heard.wait(timeout=10)
    assert until(lambda: not watchdog.is_running)
    assert listener.said == ["stuck"]


def test_calls_that_return_in_time_are_not_told() -> None:
    listener = Listener()
    watchdog = Watchdog(listener)
    for _ in range(100):
        watchdog.end(watchdog.begin(time.monotonic() + 100, lambda: "returned"))
    assert until(lambda: not watchdog.is_running)
    watchdog.begin(time.monotonic() - 1, lambda: "stuck")
    assert listener.heard.wait(timeout=10)
    assert listener.said == ["stuck"]


def test_one_stuck_call_is_told_among_others() -> None:
    listener = Listener()
    watchdog = Watchdog(listener)
    other = watchdog.begin(time.monotonic() + 100, lambda: "other")
    watchdog.begin(time.monotonic() - 1, lambda: "stuck")
    assert listener.heard.wait(timeout=10)
    watchdog.end(other)
    assert until(lambda: not watchdog.is_running)
    assert listener.said == ["stuck"]


WORKER = """
import ctypes, sys, threading
from pathlib import Path
from nearfield.inference import ModelStore
from nearfield.sandbox import Guest, Invocation, Limits, Watchdog

class NeverReturns:
    def by_name(self, name):
        {body}

guest = Guest.load(Path(sys.argv[1]), name="f", models=NeverReturns(), limits=Limits(deadline_s=0.05, grace_s=0.1),
    watchdog=Watchdog(dead_man_s=1.0))
print("loaded", flush=True)
guest.handle(Invocation(0x10, b"payload", "cam-1", 1841, 0))
print("returned", flush=True)
"""


def ended(tmp_path: Path, body: str) -> subprocess.CompletedProcess[str]:
    """A worker in which a host function does this."""
    guest = write(tmp_path, ASKING)
    return subprocess.run(
        [sys.executable, "-c", WORKER.format(body=body), str(guest)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_worker_whose_host_function_never_returns_ends_and_says_why(tmp_path: Path) -> None:
    worker = ended(tmp_path, "threading.Event().wait()")
    assert (worker.returncode, worker.stdout) == (EXIT_STUCK, "loaded\n")
    assert worker.stderr == (
        "error: function `f`: a host function did not return within 0.1 s after the deadline of 0.05 s, "
        "frame cam-1/1841, tag 0x10; this process ends\n"
    )


def test_a_worker_whose_host_function_keeps_the_interpreter_lock_ends_too(tmp_path: Path) -> None:
    worker = ended(tmp_path, "ctypes.PyDLL(None).pause()")
    assert (worker.returncode, worker.stdout) == (1, "loaded\n")
    assert "Timeout" in worker.stderr
    assert "by_name" in worker.stderr


def until(condition: object, timeout_s: float = 10.0) -> bool:
    assert callable(condition)
    ends_at_s = time.monotonic() + timeout_s
    while time.monotonic() < ends_at_s:
        if condition():
            return True
    return False
