"""Starts worker processes, watches them, starts them again, and ends them."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nearfield.supervise.restart import GiveUp, RestartPolicy, describe_exit
from nearfield.supervised import supervised_environment

_log = logging.getLogger(__name__)

# Workers finish the frame at hand when told to stop; the whole command must end within 2 s.
STOP_GRACE_S = 1.2
# Native libraries of these workers would each start as many threads as there are cores.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass(slots=True, eq=False)
class _Worker:
    label: str
    command: Sequence[str]
    environment: Mapping[str, str]
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_at: float | None = 0.0


class Supervisor:
    """Keeps worker processes running.

    All methods must be called from one thread that lives as long as the process: the kernel ends the workers when the
    thread that started them ends (see `nearfield.supervised`).
    """

    def __init__(self) -> None:
        self._workers: list[_Worker] = []
        self.restarts = 0
        self.given_up = 0

    def add(self, label: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """A worker to keep running; it starts at the next `poll`.

        Args:
            environment: variables that it gets besides ours.
        """
        self._workers.append(_Worker(label, command, environment or {}))

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

    def kill(self, pid: int) -> bool:
        """End one of our workers at once, because it hangs; it starts again. False: the process is none of ours."""
        for worker in self._workers:
            if worker.process is not None and worker.process.pid == pid:
                _log.warning("%s: hangs, and is killed", worker.label)
                worker.process.kill()
                return True
        return False

    def stop(self) -> None:
        """End all workers: they are asked, and after a moment made to. Returns within about 1.5 s. Idempotent."""
        running = [worker.process for worker in self._workers if worker.process is not None]
        self._workers.clear()
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        give_up_at = time.monotonic() + STOP_GRACE_S
        for process in running:
            try:
                process.wait(max(0.0, give_up_at - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("process %d did not stop within %.1f s and is killed", process.pid, STOP_GRACE_S)
                process.kill()
                process.wait()

    def _start(self, worker: _Worker, now: float) -> None:
        # A session of its own: Ctrl-C on the terminal reaches us only, and we end the workers in order.
        environment = {**supervised_environment(_ENVIRONMENT), **worker.environment}
        worker.process = subprocess.Popen(
            worker.command, stdin=subprocess.DEVNULL, start_new_session=True, env=environment
        )
        worker.started_at = now
        worker.start_at = None
        _log.debug("%s: started as process %d", worker.label, worker.process.pid)

    def _after_exit(self, worker: _Worker, status: int, now: float) -> None:
        worker.process = None
        decision = worker.policy.after_exit(status, now - worker.started_at)
        if isinstance(decision, GiveUp):
            self.given_up += 1
            _log.error("%s: cannot run as configured (see above); not started again", worker.label)
            return
        self.restarts += 1
        worker.start_at = now + decision.delay_s
        _log.warning("%s: %s; starts again in %.1f s", worker.label, describe_exit(status), decision.delay_s)
