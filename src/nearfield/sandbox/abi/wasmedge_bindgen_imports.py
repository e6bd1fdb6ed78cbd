"""Guests of `wasmedge-bindgen` before 0.4: the same arguments, but results go to imported functions.

Source: the crates `wasmedge-bindgen-macro` 0.1.7, 0.1.11, 0.1.12 and 0.1.14.

The function returns nothing; instead it calls `return_result(table, count)` or `return_error(pointer, length)` of
module `wasmedge-bindgen` (`hostcalls/bindgen_imports.py`). Vectors and strings are left to the host, which gives them
back; scalars lie on the guest's stack, the table and an error's text are the guest's own. Up to 0.1.8 the functions
are imported from `env` and hand over plain bytes. In 0.1.11 alone the imports are those of its successors, but hand
over plain bytes: such a guest cannot be told apart, and fails with a message about a senseless type.
"""

from __future__ import annotations

from collections.abc import Sequence

from nearfield.errors import GuestFailed
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
from nearfield.sandbox.abi.contract import AbiOptions
from nearfield.sandbox.abi.exports import take_exports
from nearfield.sandbox.abi.result_tag import result_tag_of
from nearfield.sandbox.callpath import Sandbox
from nearfield.sandbox.host import Host
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature

_ENTRY = Signature.of("i32 i32 ->")
_RETURN = "return_result"


class WasmedgeBindgenImports:
    """Detected by the import `return_result`."""

    name = "wasmedge-bindgen-0.1"

    def why_not(self, shape: ModuleShape) -> str | None:
        if not any(entry.name == _RETURN and entry.module in ("wasmedge-bindgen", "env") for entry in shape.imports):
            return f"no import `wasmedge-bindgen.{_RETURN}`"
        why = why_no_runtime(shape)
        if why is not None:
            return why
        return None if any(entries(shape, _ENTRY)) else f"no exported function {_ENTRY}"

    def bind(self, shape: ModuleShape, options: AbiOptions) -> WasmedgeBindgenImportsSpeaker:
        entry = choose_entry(shape, options.entry, _ENTRY)
        exports = take_exports(shape, {**RUNTIME, entry.name: _ENTRY, INITIALIZE: Signature.of("->")})
        return WasmedgeBindgenImportsSpeaker(exports, entry, result_tag_of(options, self.name))


class WasmedgeBindgenImportsSpeaker(BindgenSpeaker):
    """The answer is what the guest handed to the host functions while it ran."""

    def _call(self, sandbox: Sandbox, host: Host, arguments: Sequence[Argument]) -> list[bytes]:
        handover = Handover(sandbox, arguments)
        handover.call(self._entry)
        reason, returned = host.call.take_answer()
        if reason is not None:
            raise handover.error(self._entry, reason)
        if returned is None:
            raise GuestFailed(f"`{self._entry.name}` returned without an answer")
        for value in returned:
            if value.pointer and value.is_on_the_heap:
                sandbox.function(DEALLOCATE)(value.pointer, len(value.content))
        return [value.content for value in returned]
