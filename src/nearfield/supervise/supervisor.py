"""Starts worker processes, watches them, starts them again, and ends them."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nearfield.supervise.restart import GiveUp, RestartPolicy, describe_exit
from nearfield.supervised import LAST_WORDS_VARIABLE, supervised_environment

_log = logging.getLogger(__name__)

# Workers finish the frame at hand when told to stop; the whole command must end within 2 s.
STOP_GRACE_S = 1.2
# Native libraries of these workers would each start as many threads as there are cores.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_MOST_LAST_WORDS = 65_536


@dataclass(slots=True, eq=False)
class Worker:
    """A process to keep running.

    Attributes:
        failure: why a worker on trial ended; None: it did not.
    """

    label: str
    command: Sequence[str]
    environment: Mapping[str, str]
    is_on_trial: bool = False
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0
    kill_at: float | None = None
    last_words: int | None = None
    failure: str | None = None

    @property
    def pid(self) -> int | None:
        """None while no process runs."""
        return None if self.process is None else self.process.pid


class Supervisor:
    """Keeps worker processes running.

    All methods must be called from one thread that lives as long as the process: the kernel ends the workers when the
    thread that started them ends (see `nearfield.supervised`).
    """

    def __init__(self) -> None:
        self._workers: list[Worker] = []
        self._leaving: list[Worker] = []
        self.restarts = 0
        self.given_up = 0

    def add(
        self,
        label: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        on_trial: bool = False,
    ) -> Worker:
        """A worker to keep running; it starts at the next `poll`.

        Args:
            environment: variables that it gets besides ours.
            on_trial: until `keep`, it is not started again when it ends; `failure` then says why it did.
        """
        worker = Worker(label, command, environment or {}, on_trial)
        self._workers.append(worker)
        return worker

    def keep(self, worker: Worker) -> None:
        """Its trial is over: from now on it is started again like others."""
        worker.is_on_trial = False
        _close_last_words(worker)

    def retire(self, worker: Worker, grace_s: float) -> None:
        """Ask a worker to end, and do not start it again. `poll` kills it when it has not ended after `grace_s`."""
        if worker in self._workers:
            self._workers.remove(worker)
        _close_last_words(worker)
        if worker.process is not None:
            worker.kill_at = time.monotonic() + grace_s
            self._leaving.append(worker)
            _terminate(worker.process)

    def is_gone(self, worker: Worker) -> bool:
        """Whether a worker that was retired has ended."""
        return worker not in self._leaving

    def pids(self) -> dict[str, int]:
        """Process ids of the workers that run, by label."""
        return {worker.label: worker.process.pid for worker in self._workers if worker.process is not None}

    def poll(self) -> None:
        """Start what is due, notice what ended. Call a few times a second; does not block."""
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is not None:
                status = worker.process.poll()
                if status is not None:
                    self._after_exit(worker, status, now)
            elif worker.start_at is not None and now >= worker.start_at:
                self._start(worker, now)
        for worker in [worker for worker in self._leaving if _has_ended(worker, now)]:
            self._leaving.remove(worker)

    def kill(self, pid: int, name: str) -> bool:
        """End one of our workers at once, because it hangs; it starts again.

        Returns:
            False: the process is none of ours, or its label is of another name, so that whoever says it is not it.
        """
        for worker in [*self._workers, *self._leaving]:
            is_of_name = worker.label.rpartition("#")[0] == name
            if is_of_name and worker.process is not None and worker.process.pid == pid:
                _log.warning("%s: hangs, and is killed", worker.label)
                worker.process.kill()
                return True
        return False

    def stop(self) -> None:
        """End all workers: they are asked, and after a moment made to. Returns within about 1.5 s. Idempotent."""
        for worker in self._workers:
            _close_last_words(worker)
            if worker.process is not None:
                _terminate(worker.process)
        # Those that leave were asked already: a second time means at once.
        running = [worker.process for worker in [*self._workers, *self._leaving] if worker.process is not None]
        self._workers.clear()
        self._leaving.clear()
        give_up_at = time.monotonic() + STOP_GRACE_S
        for process in running:
            try:
                process.wait(max(0.0, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("process %d did not stop within %.1f s and is killed", process.pid, STOP_GRACE_S)
                process.kill()
                process.wait()

    def _start(self, worker: Worker, now: float) -> None:
        environment = {**supervised_environment(_ENVIRONMENT), **worker.environment}
        words: list[int] = []
        if worker.is_on_trial:
            worker.last_words, writing = os.pipe()
            words = [writing]
            environment[LAST_WORDS_VARIABLE] = str(writing)
        # A session of its own: Ctrl-C on the terminal reaches us only, and we end the workers in order.
        try:
            worker.process = subprocess.Popen(
                worker.command, stdin=subprocess.DEVNULL, start_new_session=True, env=environment, pass_fds=words
            )
        finally:
            for descriptor in words:
                os.close(descriptor)
        worker.started_at = now
        worker.start_at = None
        _log.debug("%s: started as process %d", worker.label, worker.process.pid)

    def _after_exit(self, worker: Worker, status: int, now: float) -> None:
        worker.process = None
        if worker.is_on_trial:
            worker.failure = _read_last_words(worker) or describe_exit(status)
            return
        decision = worker.policy.after_exit(status, now - worker.started_at)
        if isinstance(decision, GiveUp):
            self.given_up += 1
            _log.error("%s: cannot run as configured (see above); not started again", worker.label)
            return
        self.restarts += 1
        worker.start_at = now + decision.delay_s
        _log.warning("%s: %s; starts again in %.1f s", worker.label, describe_exit(status), decision.delay_s)


def _terminate(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()


def _has_ended(worker: Worker, now: float) -> bool:
    """Whether a retired worker has; it is killed when its time is over."""
    assert worker.process is not None
    if worker.process.poll() is not None:
        return True
    if worker.kill_at is not None and now >= worker.kill_at:
        _log.warning("%s: did not finish in time, and is killed", worker.label)
        worker.process.kill()
        worker.kill_at = None
    return False


def _read_last_words(worker: Worker) -> str:
    """What a worker said that has ended. Its own children may hold the pipe still, so this does not wait."""
    assert worker.last_words is not None
    os.set_blocking(worker.last_words, False)
    try:
        return os.read(worker.last_words, _MOST_LAST_WORDS).decode(errors="replace").strip()
    except BlockingIOError:
        return ""
    finally:
        _close_last_words(worker)


def _close_last_words(worker: Worker) -> None:
    descriptor, worker.last_words = worker.last_words, None
    if descriptor is not None:
        os.close(descriptor)
