"""The contract of a call path: how modules are linked, instantiated and called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from wasmtime import Module, Trap, TrapCode

from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import GuestMemory
from nearfield.sandbox.signature import Signature


class Trapped(Exception):
    """A call into a guest ended in a trap. The instance is unusable from here on.

    Attributes:
        code: what kind of trap; None for one that the host caused.
        message: wasmtime's text, first line.
        functions: names of the guest's functions on its stack, innermost first; None where the module has no name.
    """

    def __init__(self, code: TrapCode | None, message: str, functions: tuple[str | None, ...]) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.functions = functions

    @classmethod
    def of(cls, trap: Trap) -> Trapped:
        """Read everything out of wasmtime's trap, so that it need not outlive the store."""
        functions = tuple(frame.func_name for frame in trap.frames)
        # Wasmtime writes the backtrace first and the reason last.
        message = trap.message.strip().rpartition("\n")[2].strip()
        return cls(trap.trap_code, message.removeprefix("0: ").removeprefix("wasm trap: "), functions)


class LinkFailed(Exception):
    """A module cannot be linked or instantiated at all; the text is wasmtime's."""


class Closed(Exception):
    """A sandbox was used after `close`: our own mistake."""


class HostSide(Protocol):
    """What host functions work on while a guest runs; one for each linked module."""

    #: Memory of the instance that runs; a call path sets it before the guest's first instruction.
    memory: GuestMemory

    def stop(self, reason: BaseException) -> None:
        """Keep `reason`: the guest is about to be stopped by a trap on account of it."""
        ...


@dataclass(frozen=True, slots=True)
class HostImport:
    """One import of a module, with the Python function that answers it.

    Attributes:
        module, name: as the guest writes them.
        signature: parameters of i32 and i64 only, at most one result.
        body: called with the host side and the parameters as unsigned integers; returns the result, any integer (its
            low bits count), or nothing where the signature has no result. Any exception stops the guest: it is given
            to `HostSide.stop` and never crosses the guest itself.
        fault: result when `body` raises `OutOfBounds`.
        note: what people should know about it: that it only refuses, for instance.
    """

    module: str
    name: str
    signature: Signature
    body: Callable[..., int | None]
    fault: int
    note: str = ""

    @property
    def provider(self) -> str:
        """What answers the import, for people."""
        return f"{self.module} ({self.note})" if self.note else self.module


class GuestFunction(Protocol):
    """An exported function of an instance."""

    def __call__(self, *args: int) -> int:
        """Run it. Releases the interpreter lock while the guest computes.

        Args:
            args: one unsigned integer for each parameter.

        Returns:
            The result as an unsigned integer; 0 for a function without one.

        Raises:
            Trapped: the guest trapped, ran into its deadline, or a host function stopped it.
        """
        ...


class Sandbox(Protocol):
    """One store with one instance. Used by one thread at a time."""

    @property
    def memory(self) -> GuestMemory:
        """The export `memory`."""
        ...

    def function(self, name: str) -> GuestFunction:
        """The export `name`, one of those given to `link`."""
        ...

    def set_deadline(self, ticks: int) -> None:
        """Trap with `TrapCode.INTERRUPT` once the engine's epoch has advanced by `ticks`."""
        ...

    def close(self) -> None:
        """Free the instance and its memory. Idempotent; nothing else may be called afterwards."""
        ...


class Linked(Protocol):
    """A module with all its imports answered: cheap to instantiate again and again. Any thread, one at a time."""

    def instantiate(self, limits: Limits, ticks: int) -> Sandbox:
        """Make a fresh instance and run its start function, if it has one, within the deadline.

        Raises:
            Trapped: the start function trapped or ran into the deadline.
            LinkFailed: the module wants more memory, tables or elements than the limits allow.
        """
        ...

    def close(self) -> None:
        """Free what linking took. Sandboxes must be closed before."""
        ...


class CallPath(Protocol):
    """One way to reach wasmtime."""

    name: str

    def link(
        self, module: Module, imports: Sequence[HostImport], exports: Mapping[str, Signature], host: HostSide
    ) -> Linked:
        """Answer the imports of `module`.

        Args:
            imports: one for each import of the module, signatures equal to the module's own.
            exports: the functions that will be called, with their signatures as the module declares them: parameters
                of i32 and i64 only, at most one result.
            host: passed to each `HostImport.body` first; a `HostSide`.

        Raises:
            LinkFailed: wasmtime refuses.
        """
        ...
