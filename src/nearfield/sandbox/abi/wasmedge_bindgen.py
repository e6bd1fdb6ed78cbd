"""Guests of `wasmedge-bindgen` 0.4: typed functions over pointer tables.

Source: second-state/wasmedge-bindgen, `bindgen/rust/wasm` and `bindgen/rust/macro`.

A call: the host allocates a table of (pointer, count) pairs and each argument; the function answers with the address
of a header (flag, pointer, length). Flag 0: a table of (pointer, type, bytes) triples, one for each value. Any other
flag: a UTF-8 text. Argument buffers are freed by the guest; the pointer table (its macro leaks it), the header, the
triples and every value belong to the host, which gives them back with `deallocate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from nearfield.sandbox.abi.bindgen_entry import (
    DEALLOCATE,
    INITIALIZE,
    RUNTIME,
    Argument,
    choose_entry,
    entries,
    why_no_runtime,
)
from nearfield.sandbox.abi.bindgen_speaker import BindgenSpeaker, Handover
from nearfield.sandbox.abi.bindgen_values import read_values, table_bytes
from nearfield.sandbox.abi.contract import AbiOptions
from nearfield.sandbox.abi.exports import take_exports
from nearfield.sandbox.abi.result_tag import result_tag_of
from nearfield.sandbox.callpath import Sandbox
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import clean_text
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature

_ENTRY = Signature.of("i32 i32 -> i32")
_HEADER = Struct("<BII")

_MOST_ERROR_BYTES = 4096


class WasmedgeBindgen:
    """Detected by the exports `allocate` and `deallocate`."""

    name = "wasmedge-bindgen-0.4"

    def why_not(self, shape: ModuleShape) -> str | None:
        if "wasmedge-bindgen" in shape.imported_modules():
            return "imports `wasmedge-bindgen`, as versions before 0.4 do"
        why = why_no_runtime(shape)
        if why is not None:
            return why
        return None if any(entries(shape, _ENTRY)) else f"no exported function {_ENTRY}"

    def bind(self, shape: ModuleShape, options: AbiOptions) -> WasmedgeBindgenSpeaker:
        entry = choose_entry(shape, options.entry, _ENTRY)
        exports = take_exports(shape, {**RUNTIME, entry.name: _ENTRY, INITIALIZE: Signature.of("->")})
        return WasmedgeBindgenSpeaker(exports, entry, result_tag_of(options, self.name))


class WasmedgeBindgenSpeaker(BindgenSpeaker):
    """The answer is an address of a header, and everything in the answer is given back to the guest."""

    def _call(self, sandbox: Sandbox, host: Host, arguments: Sequence[Argument]) -> list[bytes]:
        memory, deallocate = sandbox.memory, sandbox.function(DEALLOCATE)
        handover = Handover(sandbox, arguments)
        header = handover.call(self._entry)
        flag, pointer, length = _HEADER.unpack(memory.read(header, _HEADER.size))
        deallocate(header, _HEADER.size)
        if flag != 0:
            text = memory.read(pointer, min(length, _MOST_ERROR_BYTES))
            deallocate(pointer, length)
            raise handover.error(self._entry, clean_text(text.decode("utf-8", "replace")))
        values = read_values(memory, pointer, length, host.limits.output_bytes)
        for value in values:
            deallocate(value.pointer, len(value.content))
        if values:
            deallocate(pointer, table_bytes(length))
        return [value.content for value in values]
