"""Guests of `wasmedge-bindgen` 0.4: typed functions over pointer tables.

Source: second-state/wasmedge-bindgen, `bindgen/rust/wasm` and `bindgen/rust/macro`.

A call: the host allocates a table of (pointer, count) pairs and each argument; the function answers with the address
of a header (flag, pointer, length). Flag 0: a table of (pointer, type, bytes) triples, one for each value. Any other
flag: a UTF-8 text. Argument buffers are freed by the guest; the pointer table (its macro leaks it), the header, the
triples and every value belong to the host, which gives them back with `deallocate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct

from nearfield.errors import ConfigError, GuestAbiError, GuestFailed, GuestOutputExceeded
from nearfield.sandbox.abi.bindgen_values import check_value
from nearfield.sandbox.abi.contract import AbiOptions
from nearfield.sandbox.abi.result_tag import result_tag_of
from nearfield.sandbox.callpath import Sandbox
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import Invocation, clean_text
from nearfield.sandbox.memory import OutOfBounds
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature

ALLOCATE, DEALLOCATE, INITIALIZE = "allocate", "deallocate", "_initialize"
DEFAULT_ENTRY = "infer"

_ENTRY = Signature.of("i32 i32 -> i32")
_RUNTIME = {ALLOCATE: Signature.of("i32 -> i32"), DEALLOCATE: Signature.of("i32 i32 ->")}

_ARGUMENT = Struct("<II")
_HEADER = Struct("<BII")
_TRIPLE = Struct("<III")

# A tuple of 64 values is more than the macro can return.
_MOST_VALUES = 64
_MOST_ERROR_BYTES = 4096


class WasmedgeBindgen:
    """Detected by the exports `allocate` and `deallocate`."""

    name = "wasmedge-bindgen-0.4"

    def why_not(self, shape: ModuleShape) -> str | None:
        for name, expected in _RUNTIME.items():
            if name not in shape.exports:
                return f"no export `{name}`"
            if shape.function(name) != expected:
                return f"export `{name}`: got {shape.exports[name]}, expected a function {expected}"
        if "wasmedge-bindgen" in shape.imported_modules():
            return "imports `wasmedge-bindgen`, as versions before 0.4 do"
        if shape.memory() is None:
            return "no exported memory named `memory`"
        return None if any(entries(shape)) else f"no exported function {_ENTRY}"

    def bind(self, shape: ModuleShape, options: AbiOptions) -> WasmedgeBindgenSpeaker:
        exports = {**_RUNTIME, choose_entry(shape, options.entry): _ENTRY}
        entry = next(reversed(exports))
        if INITIALIZE in shape.exports:
            exports[INITIALIZE] = _check_initialize(shape)
        return WasmedgeBindgenSpeaker(exports, entry, result_tag_of(options, self.name))


def entries(shape: ModuleShape) -> Iterator[str]:
    """Names of the functions that could be the guest's own."""
    return (name for name, extern in shape.exports.items() if extern.signature == _ENTRY)


def choose_entry(shape: ModuleShape, wanted: str | None) -> str:
    """The function to call: the one asked for, else the only one, else `infer`. Pure.

    Raises:
        ConfigError: the one asked for does not exist or is of another type.
        GuestAbiError: none was asked for, and there are several.
    """
    candidates = sorted(entries(shape))
    listed = ", ".join(f"`{name}`" for name in candidates)
    if wanted is not None:
        if wanted not in candidates:
            raise ConfigError(f"entry: got `{wanted}`, expected one of {listed}")
        return wanted
    if len(candidates) == 1:
        return candidates[0]
    if DEFAULT_ENTRY in candidates:
        return DEFAULT_ENTRY
    raise GuestAbiError(f"entry: got {len(candidates)} candidates: {listed}, expected one", hint="name it as `entry`")


def _check_initialize(shape: ModuleShape) -> Signature:
    expected = Signature.of("->")
    if shape.function(INITIALIZE) != expected:
        raise GuestAbiError(f"export `{INITIALIZE}`: got {shape.exports[INITIALIZE]}, expected a function {expected}")
    return expected


class WasmedgeBindgenSpeaker:
    """Calls one function with the payload as its only argument (`Vec<u8>` or `String`)."""

    def __init__(self, exports: Mapping[str, Signature], entry: str, result_tag: int) -> None:
        self.exports = exports
        self._entry = entry
        self._result_tag = result_tag

    def observe(self, sandbox: Sandbox, host: Host) -> tuple[int, ...]:
        return ()

    def start(self, sandbox: Sandbox, host: Host) -> None:
        if INITIALIZE in self.exports:
            sandbox.function(INITIALIZE)()

    def handle(self, sandbox: Sandbox, host: Host, invocation: Invocation) -> None:
        try:
            for value in self._call(sandbox, invocation.payload, host.limits.output_bytes):
                if not host.call.may_emit(self._result_tag, len(value)):
                    limits = host.limits
                    raise GuestOutputExceeded(
                        f"result: got more than {limits.output_bytes} bytes or {limits.emitted_frames} values"
                    )
                host.call.emit(self._result_tag, value)
        except OutOfBounds:
            raise GuestFailed(f"`{self._entry}` answered with a pointer outside its memory") from None

    def _call(self, sandbox: Sandbox, payload: bytes, limit: int) -> list[bytes]:
        memory, deallocate = sandbox.memory, sandbox.function(DEALLOCATE)
        table = sandbox.function(ALLOCATE)(_ARGUMENT.size)
        argument = sandbox.function(ALLOCATE)(len(payload))
        memory.write(argument, payload)
        memory.write(table, _ARGUMENT.pack(argument, len(payload)))
        header = sandbox.function(self._entry)(table, 1)
        deallocate(table, _ARGUMENT.size)
        flag, pointer, length = _HEADER.unpack(memory.read(header, _HEADER.size))
        deallocate(header, _HEADER.size)
        if flag != 0:
            text = memory.read(pointer, min(length, _MOST_ERROR_BYTES))
            deallocate(pointer, length)
            raise GuestFailed(f"`{self._entry}` failed: {clean_text(text.decode('utf-8', 'replace'))}")
        return self._take_values(sandbox, pointer, length, limit)

    def _take_values(self, sandbox: Sandbox, pointer: int, count: int, limit: int) -> list[bytes]:
        if count > _MOST_VALUES:
            raise GuestFailed(f"`{self._entry}` returned {count} values, expected at most {_MOST_VALUES}")
        memory, deallocate = sandbox.memory, sandbox.function(DEALLOCATE)
        triples = list(_TRIPLE.iter_unpack(memory.read(pointer, count * _TRIPLE.size)))
        total = sum(size for _, _, size in triples)
        if total > limit:
            raise GuestOutputExceeded(f"result: got {total} bytes, expected at most {limit} bytes")
        values = []
        for value_pointer, kind, size in triples:
            values.append(check_value(kind, memory.read(value_pointer, size)))
            deallocate(value_pointer, size)
        if count:
            deallocate(pointer, count * _TRIPLE.size)
        return values
