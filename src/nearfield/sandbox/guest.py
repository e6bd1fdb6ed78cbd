"""A guest: one WebAssembly module, loaded once and called for each frame."""

from __future__ import annotations

import contextlib
import functools
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from nearfield.errors import (
    GuestAbiError,
    GuestError,
    GuestFailed,
    GuestInvalid,
    GuestTimeout,
    InternalError,
    NearfieldError,
)
from nearfield.sandbox.abi import AbiOptions, Speaker, detect
from nearfield.sandbox.callpath import CallPath, Linked, LinkFailed, Sandbox, Trapped, call_path
from nearfield.sandbox.engine import ticker
from nearfield.sandbox.grants import Grants
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import prepare_host_modules, resolve
from nearfield.sandbox.invocation import Invocation, LogLine, Outcome
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.module import CompiledGuest, compile_guest, one_line
from nearfield.sandbox.pictures import PictureRules
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.traps import explain
from nearfield.sandbox.watchdog import Watchdog

if TYPE_CHECKING:
    from nearfield.inference import ModelStore

InstancePolicy = Literal["frame", "worker"]


class Guest:
    """A loaded guest. `handle` may be called from any thread; calls wait for each other.

    Attributes:
        name: the function's name, for messages.
        abi: the ABI that it speaks, such as `nearfield-v1`.
        observes: tags that the guest itself asked for; may be empty.
    """

    def __init__(
        self,
        name: str,
        abi: str,
        speaker: Speaker,
        linked: Linked,
        host: Host,
        instance: InstancePolicy,
        watchdog: Watchdog | None = None,
    ) -> None:
        """Use `Guest.load`."""
        self.name = name
        self.abi = abi
        self.observes: tuple[int, ...] = ()
        self._speaker = speaker
        self._linked: Linked | None = linked
        self._host = host
        self._keeps_instance = instance == "worker"
        self._kept: Sandbox | None = None
        self._watchdog = watchdog
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls,
        path: Path | CompiledGuest,
        *,
        name: str,
        models: ModelStore,
        limits: Limits | None = None,
        grants: Grants | None = None,
        emit: frozenset[int] | None = None,
        result_tag: int | None = None,
        entry: str | None = None,
        instance: InstancePolicy = "frame",
        cache_dir: Path | None = None,
        pictures: PictureRules = PictureRules(),  # noqa: B008 - cannot be changed
        watchdog: Watchdog | None = None,
        via: CallPath | None = None,
    ) -> Guest:
        """Compile the module, link it, and run its initialisation once as a probe.

        Args:
            path: a binary core module, or one that `compile_guest` has compiled.
            name: the function's name, for messages.
            models: models that the guest may use by name, and where models from its own bytes go.
            limits: None for the defaults.
            grants: what it gets of this machine; None for clocks and randomness alone.
            emit: tags that it may emit; None for every one except the reserved 0xF000-0xFFFF.
            result_tag: tag for results of ABIs whose results carry none (wasmedge-bindgen).
            entry: which export to call, for ABIs that leave it open. Default: the only candidate, else `infer`.
            instance: `frame`: a fresh instance for each frame; `worker`: one that keeps its state until it traps.
            cache_dir: where compiled modules are kept; a directory for this user alone. None: compile each time.
            pictures: how they become pixels.
            watchdog: told of each call, to end the process when one outlives its deadline by `limits.grace_s`; None:
                a host function that never returns blocks for ever.
            via: the call path; None for the fastest that the wheel allows.

        Raises:
            GuestInvalid: not a module that this host may run, or its initialisation failed.
            GuestAbiError: no known ABI fits, an import is not offered, or an export has the wrong signature.
            ConfigError: `result_tag` or `entry` is needed and missing, or does not fit.
        """
        limits = limits or Limits()
        where = f"function `{name}`: {path.path if isinstance(path, CompiledGuest) else path}"
        if not isinstance(path, CompiledGuest):
            path = compile_guest(path, limits=limits, cache_dir=cache_dir, where=where)
        module = path.module
        shape = ModuleShape.of(module)
        for problem in shape.problems_with(limits):
            raise GuestInvalid(problem, where=where, hint="raise the limit, or build the guest with less")
        detection = detect(shape)
        imports, missing = resolve(shape.imports)
        if detection.abi is None or missing:
            _refuse(detection.why_none() if detection.abi is None else None, [str(entry) for entry in missing], where)
        try:
            speaker = detection.abi.bind(shape, AbiOptions(entry, result_tag, emit, name, instance == "worker"))
        except NearfieldError as exc:
            raise type(exc)(exc.what, where=where, hint=exc.hint) from None
        prepare_host_modules(shape)
        host = Host(models, limits, emit, pictures, grants)
        try:
            linked = (via or call_path()).link(module, imports, speaker.exports, host)
        except LinkFailed as exc:
            host.close()
            raise GuestInvalid(f"cannot be linked: {one_line(str(exc))}", where=where) from exc
        guest = cls(name, detection.abi.name, speaker, linked, host, instance, watchdog)
        try:
            guest._probe(where)
        except BaseException:
            guest.close()
            raise
        return guest

    def handle(self, invocation: Invocation) -> Outcome:
        """Handle one frame. Blocks until the guest is done, at most its deadline plus one host function.

        What it emitted is returned only when it succeeded. After any failure the next call works.

        Raises:
            GuestTrapped: a trap.
            GuestTimeout: instantiation, initialisation and handling took longer than the deadline.
            GuestMemoryExceeded: a trap with the memory limit used up.
            GuestOutputExceeded: a result larger than the limit, in an ABI that cannot refuse it.
            GuestExited: the guest called `proc_exit`.
            GuestFailed: the guest reported a failure.
            InternalError: a host function failed.
            ValueError: the guest is closed.
        """
        with self._lock:
            if self._linked is None:
                raise ValueError(f"function `{self.name}`: the guest is closed")
            call = self._host.begin(invocation)
            watched = self._watch(invocation)
            try:
                self._run(self._linked, invocation)
            except (GuestError, InternalError) as exc:
                raise self._with_place(exc, invocation) from exc.__cause__
            finally:
                self._unwatch(watched)
            return call.outcome()

    @property
    def logs_of_last_call(self) -> tuple[LogLine, ...]:
        """Lines of the latest call (at first: of loading), also of one that failed."""
        return self._host.call.logs()

    def close(self) -> None:
        """Free everything. Idempotent; waits for a running call."""
        with self._lock:
            self._end(self._kept)
            self._kept = None
            linked, self._linked = self._linked, None
            if linked is not None:
                linked.close()
            self._host.close()

    def __repr__(self) -> str:
        state = "closed" if self._linked is None else "kept instance" if self._kept else "no instance"
        return f"<Guest {self.name} {self.abi} {state}>"

    def _run(self, linked: Linked, invocation: Invocation) -> None:
        ticks = ticker().arm(self._host.call.remaining_s)
        sandbox, self._kept = self._kept, None
        usable = False
        try:
            if sandbox is None:
                sandbox = linked.instantiate(self._host.limits, ticks)
                self._speaker.start(sandbox, self._host)
            else:
                sandbox.set_deadline(ticks)
            usable = True
            self._speaker.handle(sandbox, self._host, invocation)
        except GuestFailed:
            # The guest itself said so, and is in a state of its own choosing.
            raise
        except Trapped as exc:
            usable = False
            reason = explain(exc, self._host.call, self._memory_bytes())
            raise reason from reason.__cause__
        except LinkFailed as exc:
            # It could be instantiated when it was loaded, so this host has run out of something.
            raise InternalError(f"no instance could be made: {one_line(str(exc))}") from exc
        except BaseException:
            usable = False
            raise
        finally:
            ticker().disarm()
            self._keep_or_end(sandbox, usable)

    def _probe(self, where: str) -> None:
        """Instantiate and initialise once, ask for tags, and keep the instance where that is wanted."""
        assert self._linked is not None
        self._host.begin(None)
        ticks = ticker().arm(self._host.limits.deadline_s)
        sandbox: Sandbox | None = None
        usable = False
        watched = self._watch(None)
        try:
            sandbox = self._linked.instantiate(self._host.limits, ticks)
            self._speaker.start(sandbox, self._host)
            self.observes = self._speaker.observe(sandbox, self._host)
            usable = True
        except LinkFailed as exc:
            raise GuestInvalid(f"cannot be instantiated: {one_line(str(exc))}", where=where) from exc
        except Trapped as exc:
            reason = explain(exc, self._host.call, self._memory_bytes())
            if not isinstance(reason, GuestError):
                raise reason from reason.__cause__
            raise GuestInvalid(f"initialisation: {reason.what}", where=where, hint=reason.hint) from exc
        except GuestError as exc:
            raise GuestInvalid(f"initialisation: {exc.what}", where=where, hint=exc.hint) from exc
        finally:
            ticker().disarm()
            self._unwatch(watched)
            self._keep_or_end(sandbox, usable)

    def _watch(self, invocation: Invocation | None) -> int | None:
        if self._watchdog is None:
            return None
        ends_at_s = self._host.call.ends_at_s + self._host.limits.grace_s
        return self._watchdog.begin(ends_at_s, functools.partial(self._stuck, invocation))

    def _unwatch(self, number: int | None) -> None:
        if number is not None and self._watchdog is not None:
            self._watchdog.end(number)

    def _stuck(self, invocation: Invocation | None) -> str:
        limits = self._host.limits
        what = GuestTimeout(
            f"a host function did not return within {limits.grace_s:g} s after the deadline of {limits.deadline_s:g} s"
        )
        placed = what if invocation is None else self._with_place(what, invocation)
        return f"{placed}; this process ends"

    def _keep_or_end(self, sandbox: Sandbox | None, usable: bool) -> None:
        if usable and self._keeps_instance and not self._host.call.has_ended:
            self._kept = sandbox
        else:
            self._end(sandbox)

    def _memory_bytes(self) -> int:
        with contextlib.suppress(Exception):
            return self._host.memory.size
        return 0

    def _end(self, sandbox: Sandbox | None) -> None:
        if sandbox is not None:
            sandbox.close()
        self._host.end_instance()

    def _with_place(self, exc: NearfieldError, invocation: Invocation) -> NearfieldError:
        frame = f"frame {invocation.origin}/{invocation.sequence}, tag {invocation.tag:#x}"
        return type(exc)(f"{exc.what}, {frame}", where=f"function `{self.name}`", hint=exc.hint)


def _refuse(why_no_abi: str | None, missing: list[str], where: str) -> NoReturn:
    parts = [] if why_no_abi is None else [why_no_abi]
    if missing:
        parts.append(f"imports that this host does not offer: {', '.join(missing)}")
    raise GuestAbiError("; ".join(parts), where=where)


def prepare_for(compiled: CompiledGuest) -> None:
    """Load what this guest's host modules need and load slowly, which may take files that a contained process loses.

    `Guest.load` does it too, if nobody has before.
    """
    prepare_host_modules(ModuleShape.of(compiled.module))
