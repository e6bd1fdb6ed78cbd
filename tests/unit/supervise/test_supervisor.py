"""The supervisor, with real processes that do next to nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from nearfield.supervise import Supervisor

IDLE = [sys.executable, "-c", "import signal; signal.pause()"]
Eventually = Callable[..., None]


def exits_with(status: int) -> list[str]:
    return [sys.executable, "-c", f"raise SystemExit({status})"]


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    started = Supervisor()
    yield started
    started.stop()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_workers_start_at_the_next_poll(supervisor: Supervisor) -> None:
    supervisor.add("one", IDLE)
    supervisor.add("two", IDLE)
    assert supervisor.pids() == {}
    supervisor.poll()
    pids = supervisor.pids()
    assert set(pids) == {"one", "two"}
    supervisor.poll()
    assert supervisor.pids() == pids


def test_worker_that_is_killed_is_started_again(
    supervisor: Supervisor, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.add("one", IDLE)
    supervisor.poll()
    first = supervisor.pids()["one"]
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor.poll() or supervisor.pids().get("one", first) != first, "another process")
    assert supervisor.restarts == 1
    assert caplog.messages == ["one: was killed by SIGKILL; starts again in 0.5 s"]


def test_worker_that_cannot_work_is_not_started_again(
    supervisor: Supervisor, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor.add("one", exits_with(2))
    eventually(lambda: supervisor.poll() or supervisor.given_up == 1)
    supervisor.poll()
    assert (supervisor.pids(), supervisor.restarts) == ({}, 0)
    assert caplog.messages == ["one: cannot run as configured (see above); not started again"]


def test_worker_that_hangs_is_killed_and_started_again_and_no_other_process(
    supervisor: Supervisor, eventually: Eventually
) -> None:
    supervisor.add("one", IDLE)
    supervisor.poll()
    pid = supervisor.pids()["one"]
    assert not supervisor.kill(os.getpid())
    assert supervisor.kill(pid)
    eventually(lambda: supervisor.poll() or supervisor.pids().get("one", pid) != pid, "another process")
    assert not is_alive(pid)


def test_stop_ends_all_workers(supervisor: Supervisor) -> None:
    supervisor.add("one", IDLE)
    supervisor.add("two", IDLE)
    supervisor.poll()
    pids = supervisor.pids().values()
    supervisor.stop()
    supervisor.stop()
    assert not any(map(is_alive, pids))
    supervisor.poll()
    assert supervisor.pids() == {}


def test_worker_that_does_not_heed_is_killed(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nearfield.supervise.supervisor.STOP_GRACE_S", 0.0)
    supervisor.add("one", IDLE)
    supervisor.poll()
    pid = supervisor.pids()["one"]
    os.kill(pid, signal.SIGSTOP)
    supervisor.stop()
    assert not is_alive(pid)
    assert caplog.messages == [f"process {pid} did not stop within 0.0 s and is killed"]
