"""The supervisor, with real processes that do next to nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator

import pytest

from nearfield.supervise import Supervisor
from nearfield.supervised import LAST_WORDS_VARIABLE

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
    supervisor.add("one#1", IDLE)
    supervisor.add("dairy/one#1", IDLE)
    supervisor.poll()
    pid = supervisor.pids()["one#1"]
    assert not supervisor.kill(os.getpid(), "one")
    # Whoever joins may say any process id: that of another function is none of theirs.
    for name in ("dairy/one", "dairy", "on", "one#1", ""):
        assert not supervisor.kill(pid, name)
    assert supervisor.kill(pid, "one")
    eventually(lambda: supervisor.poll() or supervisor.pids().get("one#1", pid) != pid, "another process")
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


STUBBORN = [
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()",
]


def test_worker_on_trial_that_ends_is_not_started_again_and_says_why(
    supervisor: Supervisor, eventually: Eventually
) -> None:
    words = f"import os, sys; os.write(int(os.environ['{LAST_WORDS_VARIABLE}']), b'no such model'); sys.exit(2)"
    speaks = supervisor.add("speaks", [sys.executable, "-c", words], on_trial=True)
    silent = supervisor.add("silent", exits_with(3), on_trial=True)
    eventually(lambda: supervisor.poll() or (speaks.failure and silent.failure), "both have ended")
    assert (speaks.failure, silent.failure) == ("no such model", "exited with status 3")
    supervisor.poll()
    assert (supervisor.pids(), supervisor.restarts, supervisor.given_up) == ({}, 0, 0)


def test_worker_whose_trial_is_over_is_started_again(supervisor: Supervisor, eventually: Eventually) -> None:
    worker = supervisor.add("one", IDLE, on_trial=True)
    supervisor.poll()
    supervisor.keep(worker)
    first = worker.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: supervisor.poll() or worker.pid not in (None, first), "another process")
    assert worker.failure is None


def test_retired_worker_ends_and_is_not_started_again(supervisor: Supervisor, eventually: Eventually) -> None:
    worker, other = supervisor.add("one", IDLE), supervisor.add("two", IDLE)
    supervisor.poll()
    supervisor.retire(worker, grace_s=30)
    eventually(lambda: supervisor.poll() or supervisor.is_gone(worker), "it is gone")
    assert list(supervisor.pids()) == ["two"]
    assert (supervisor.is_gone(other), supervisor.restarts) == (True, 0)


def test_retired_worker_that_does_not_finish_in_time_is_killed(
    supervisor: Supervisor, eventually: Eventually, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    worker = supervisor.add("one", STUBBORN)
    supervisor.poll()
    eventually(lambda: "ready" in capfd.readouterr().out, "it ignores what it is asked")
    supervisor.retire(worker, grace_s=0)
    eventually(lambda: supervisor.poll() or supervisor.is_gone(worker), "it is gone")
    assert caplog.messages == ["one: did not finish in time, and is killed"]


def test_retired_worker_that_was_not_started_is_gone(supervisor: Supervisor) -> None:
    worker = supervisor.add("one", IDLE)
    supervisor.retire(worker, grace_s=30)
    supervisor.poll()
    assert (supervisor.pids(), supervisor.is_gone(worker)) == ({}, True)


def test_stop_ends_those_that_leave_as_well(supervisor: Supervisor, capfd: pytest.CaptureFixture[str]) -> None:
    worker = supervisor.add("one", IDLE)
    supervisor.poll()
    pid = worker.pid
    assert pid is not None
    supervisor.retire(worker, grace_s=30)
    supervisor.stop()
    assert not is_alive(pid)
