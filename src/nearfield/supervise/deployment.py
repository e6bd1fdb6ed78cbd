"""What `serve` runs: a workflow's functions in a zipper and in worker processes, and the way from one to another."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Sequence
from pathlib import Path

from nearfield.config import tenants_of
from nearfield.errors import StartFailed, TransportError, UsageError
from nearfield.supervise.changes import FunctionChange, Placed, Version, compare, functions_of, name_of, refuse_fixed
from nearfield.supervise.command import worker_command, worker_environment
from nearfield.supervise.compiling import compile_ahead
from nearfield.supervise.policy import policy_of, timeout_s
from nearfield.supervise.supervisor import Supervisor, Worker
from nearfield.transport import Address, Identity
from nearfield.zipper import GroupPolicy, StuckInstance, Zipper

# Models are tried out and loaded, and native libraries imported, before an instance joins.
START_TIMEOUT_S = 60.0
# After the time that a frame may take: for saying so.
_FINISH_S = 2.0
_COMMIT_TIMEOUT_S = 10.0
# `serve` that is told to end in the midst of a change must not wait for long.
_TAKE_BACK_TIMEOUT_S = 0.5

Steps = Generator[str | None, None, Sequence[FunctionChange]]
"""Work that never blocks for long: go on with it a few times a second. Yields lines for people, or None."""


class Deployment:
    """The functions of a zipper, and the processes that `serve` started for them.

    All methods must be called from the supervisor's thread.

    Args:
        reach: where workers connect to, the first that answers.
        identity: certificates that they present; None: the local development identity.
        token_file: where they find their token, if the zipper asks for one.

    Attributes:
        version: what runs.
        where: the workflow file, as the user named it.
    """

    def __init__(
        self,
        zipper: Zipper,
        supervisor: Supervisor,
        version: Version,
        *,
        where: str,
        reach: Sequence[Address],
        identity: Identity | None,
        token_file: Path | None = None,
    ) -> None:
        self.version = version
        self.where = where
        self._zipper = zipper
        self._supervisor = supervisor
        self._reach = reach
        self._identity = identity
        self._token_file = token_file
        self._workers: dict[str, list[Worker]] = {}
        self._numbers: Counter[str] = Counter()

    def start(self) -> None:
        """Start all functions that the workflow says to run."""
        for name, placed in functions_of(self.version.workflow).items():
            if placed.entry.run is not None:
                self._workers[name] = self._start(name, placed, placed.entry.instances, self.version, on_trial=False)

    def change(self, version: Version, named: Collection[str] = ()) -> Steps:
        """Run another version of the workflow. Frames are handled all the while, and none is lost on the way.

        New instances are started first. Only when all of them have joined do they take over, and the former ones
        leave once they have finished what they had begun. Closing the generator earlier takes everything back.

        Args:
            named: functions to start anew though nothing differs.

        Returns:
            What was done, function by function.

        Raises:
            ConfigError: something differs that cannot change while the zipper runs.
            UsageError: a named function is unknown, or connects by itself.
            StartFailed: a new instance does not start. Nothing has changed then.
            TransportError: the dispatcher does not answer.
        """
        refuse_fixed(self.version.workflow, version.workflow, self.where)
        _refuse_unknown(named, version)
        changes = compare(self.version, version, named)
        started: dict[str, list[Worker]] = {}
        try:
            yield from compile_ahead(change.after for change in changes if change.starts and change.after is not None)
            self._prepare(changes)
            for change in changes:
                if change.after is not None:
                    placed = Placed(change.namespace, change.after)
                    started[change.name] = self._start(change.name, placed, change.starts, version, on_trial=True)
            yield from self._until_joined(changes, started)
            for namespace in self._zipper.namespaces:
                policies = _policies_meanwhile(change for change in changes if change.namespace == namespace)
                self._zipper.set_policies(policies, _COMMIT_TIMEOUT_S, namespace=namespace)
        except BaseException:
            self._take_back(changes, started)
            raise
        self.version = version
        former = self._take_over(changes, started)
        while not all(map(self._supervisor.is_gone, former)):
            yield None
        for tenant in tenants_of(version.workflow):
            if any(change.after is None and change.namespace == tenant.namespace for change in changes):
                policies = [policy_of(function) for function in tenant.functions]
                self._zipper.set_policies(policies, _COMMIT_TIMEOUT_S, namespace=tenant.namespace)
        return changes

    def kill(self, namespace: str, stuck: StuckInstance) -> bool:
        """End an instance that hangs, if it is one of ours: whoever joins may say any process id."""
        return self._supervisor.kill(stuck.pid, name_of(self.version.workflow, namespace, stuck.function))

    # ---- steps

    def _start(self, name: str, placed: Placed, count: int, version: Version, *, on_trial: bool) -> list[Worker]:
        if not count:
            return []
        function = placed.entry
        command = worker_command(
            function,
            version.workflow.models,
            zipper=",".join(map(str, self._reach)),
            namespace=placed.namespace,
            identity=self._identity,
            signers=version.signers,
            token_file=self._token_file,
        )
        workers = []
        for _ in range(count):
            # No number comes twice, so that lines about former and new instances can be told apart.
            self._numbers[name] += 1
            label = f"{name}#{self._numbers[name]}"
            workers.append(self._supervisor.add(label, command, worker_environment(function), on_trial=on_trial))
        return workers

    def _prepare(self, changes: Sequence[FunctionChange]) -> None:
        """Have the zipper admit the new instances."""
        for change in changes:
            if change.after is None:
                continue
            if change.before is None:
                self._zipper.add_function(policy_of(change.after), namespace=change.namespace)
            elif change.starts and change.after.observe != change.before.observe:
                observe = frozenset(change.after.observe)
                self._zipper.expect(change.function, observe, namespace=change.namespace)

    def _until_joined(
        self, changes: Sequence[FunctionChange], started: dict[str, list[Worker]]
    ) -> Generator[str | None, None, None]:
        starting = [change for change in changes if started.get(change.name)]
        if starting:
            names = ", ".join(f"{len(started[change.name])} × `{change.name}`" for change in starting)
            yield f"starting {names}"
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while late := [change for change in starting if not self._have_joined(change, started[change.name])]:
            if time.monotonic() >= give_up_at:
                raise StartFailed(
                    f"new instances did not join within {START_TIMEOUT_S:g} s", where=f"function `{late[0].name}`"
                )
            yield None

    def _have_joined(self, change: FunctionChange, workers: Sequence[Worker]) -> bool:
        for worker in workers:
            if worker.failure is not None:
                raise StartFailed(f"a new instance did not start: {worker.failure}", where=f"function `{change.name}`")
        try:
            pids = self._zipper.pids_of(change.function, namespace=change.namespace)
        except TransportError:
            return False  # it has much to do; asked again
        return all(worker.pid in pids for worker in workers)

    def _take_over(self, changes: Sequence[FunctionChange], started: dict[str, list[Worker]]) -> list[Worker]:
        """Keep the new instances, and have the former ones leave, which are returned."""
        former: list[Worker] = []
        for change in changes:
            workers = self._workers.pop(change.name, [])
            stays = len(workers) - change.stops
            for worker in workers[stays:]:
                assert change.before is not None
                former.append(worker)
                self._supervisor.retire(worker, timeout_s(change.before) + _FINISH_S)
            fresh = started.get(change.name, [])
            for worker in fresh:
                self._supervisor.keep(worker)
            if change.after is not None:
                self._workers[change.name] = [*workers[:stays], *fresh]
        return former

    def _take_back(self, changes: Sequence[FunctionChange], started: dict[str, list[Worker]]) -> None:
        for change in changes:
            for worker in started.get(change.name, []):
                assert change.after is not None
                self._supervisor.retire(worker, timeout_s(change.after) + _FINISH_S)
            with contextlib.suppress(TransportError):  # the dispatcher has ended, or has much to do
                if change.before is None:
                    self._zipper.remove_function(change.function, _TAKE_BACK_TIMEOUT_S, namespace=change.namespace)
                elif change.starts:
                    self._zipper.expect(change.function, frozenset(), _TAKE_BACK_TIMEOUT_S, namespace=change.namespace)


def _refuse_unknown(named: Collection[str], version: Version) -> None:
    functions = {name: placed.entry for name, placed in functions_of(version.workflow).items()}
    for name in named:
        if name not in functions:
            known = ", ".join(f"`{each}`" for each in functions) or "none"
            raise UsageError(f"function `{name}` is not in the workflow; listed there: {known}")
        if functions[name].run is None:
            raise UsageError(f"function `{name}` connects by itself", hint="start it again where it runs")


def _policies_meanwhile(changes: Iterable[FunctionChange]) -> list[GroupPolicy]:
    """Those of the new workflow; and of functions that it has no more, whose instances still finish their frames."""
    entries = [change.after or change.before for change in changes]
    return [policy_of(entry) for entry in entries if entry is not None]
