"""What the versions of wasmedge-bindgen share: handing over arguments, reading values, emitting them."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from struct import Struct

from nearfield.errors import GuestFailed, GuestOutputExceeded
from nearfield.sandbox.abi.bindgen_entry import ALLOCATE, DEALLOCATE, INITIALIZE, Argument, Entry
from nearfield.sandbox.callpath import Sandbox
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import Invocation
from nearfield.sandbox.memory import OutOfBounds
from nearfield.sandbox.signature import Signature

_ARGUMENT = Struct("<II")

# What the macro says before it looks at any argument.
_OTHER_COUNT = re.compile(r"Invalid params count, expect (\d+), got \d+")


class OtherCount(Exception):
    """The function has another number of parameters; it was not run, and took no argument.

    Attributes:
        expected: how many it has.
    """

    def __init__(self, expected: int) -> None:
        super().__init__(expected)
        self.expected = expected


class BindgenSpeaker(ABC):
    """Calls one function with the payload as its arguments, and emits each value that it returns."""

    def __init__(self, exports: Mapping[str, Signature], entry: Entry, result_tag: int) -> None:
        self.exports = exports
        self._entry = entry
        self._result_tag = result_tag
        # Learnt from the guest itself; the same for every call.
        self._takes_nothing = False

    def observe(self, sandbox: Sandbox, host: Host) -> tuple[int, ...]:
        return ()

    def start(self, sandbox: Sandbox, host: Host) -> None:
        if INITIALIZE in self.exports:
            sandbox.function(INITIALIZE)()

    def handle(self, sandbox: Sandbox, host: Host, invocation: Invocation) -> None:
        arguments = [] if self._takes_nothing else self._entry.arguments(invocation.payload)
        try:
            try:
                values = self._call(sandbox, host, arguments)
            except OtherCount as exc:
                if exc.expected != 0 or self._entry.parameters is not None:
                    raise wrong_count(self._entry, exc.expected) from None
                self._takes_nothing = True
                values = self._call(sandbox, host, [])
        except OutOfBounds:
            raise GuestFailed(f"`{self._entry.name}` answered with a pointer outside its memory") from None
        for value in values:
            if not host.call.may_emit(self._result_tag, len(value)):
                limits = host.limits
                raise GuestOutputExceeded(
                    f"result: got more than {limits.output_bytes} bytes or {limits.emitted_frames} values"
                )
            host.call.emit(self._result_tag, value)

    @abstractmethod
    def _call(self, sandbox: Sandbox, host: Host, arguments: Sequence[Argument]) -> list[bytes]:
        """Call once and return copies of the values.

        Raises:
            GuestFailed: the function reported an error, or answered against the rules.
            GuestOutputExceeded: the values are larger than the limit.
            OtherCount: it takes another number of arguments.
            OutOfBounds: a pointer of the guest's is outside its memory.
            Trapped: the guest trapped.
        """


class Handover:
    """Arguments in the guest's memory, and the table that points at them.

    The buffers belong to the guest as soon as the function runs. The table stays the host's: the macro never frees it,
    so that every call would leak it.
    """

    def __init__(self, sandbox: Sandbox, arguments: Sequence[Argument]) -> None:
        """Raises: OutOfBounds, Trapped: as for `BindgenSpeaker`."""
        self._sandbox = sandbox
        self._size = len(arguments) * _ARGUMENT.size
        allocate, memory = sandbox.function(ALLOCATE), sandbox.memory
        self._table = allocate(self._size)
        self._buffers: list[tuple[int, int]] = []
        for place, argument in enumerate(arguments):
            pointer = allocate(len(argument.content))
            memory.write(pointer, argument.content)
            memory.write(self._table + place * _ARGUMENT.size, _ARGUMENT.pack(pointer, argument.count))
            self._buffers.append((pointer, len(argument.content)))

    def call(self, entry: Entry) -> int:
        """Call the function, and give back the table."""
        result = self._sandbox.function(entry.name)(self._table, len(self._buffers))
        self._sandbox.function(DEALLOCATE)(self._table, self._size)
        return result

    def error(self, entry: Entry, reason: str) -> Exception:
        """The exception for an error that the function reported. Gives back the arguments if it did not run."""
        match = _OTHER_COUNT.fullmatch(reason)
        if match is None or int(match[1]) == len(self._buffers):
            return GuestFailed(f"`{entry.name}` failed: {reason}")
        for pointer, size in self._buffers:
            self._sandbox.function(DEALLOCATE)(pointer, size)
        return OtherCount(int(match[1]))


def wrong_count(entry: Entry, expected: int) -> GuestFailed:
    """The error for a function that takes neither what the operator wrote nor one argument. Pure."""
    given = "1 (the payload)" if entry.parameters is None else str(len(entry.parameters))
    return GuestFailed(
        f"`{entry}` takes {expected} parameters, got {given}",
        hint=f"write their types into `entry`, such as `{entry.name}(u32, Vec<u8>)`",
    )
