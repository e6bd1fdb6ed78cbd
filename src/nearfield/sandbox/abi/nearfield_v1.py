"""Our own guest ABI, version 1 (docs/abi.md)."""

from __future__ import annotations

from collections.abc import Mapping

from nearfield.errors import GuestFailed
from nearfield.sandbox.abi.contract import AbiOptions
from nearfield.sandbox.abi.exports import take_exports
from nearfield.sandbox.callpath import Sandbox
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import Invocation
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature

HANDLE = "nearfield_handle"
OBSERVE = "nearfield_observe"
INIT = "nearfield_init"
INITIALIZE = "_initialize"

_ACTION = Signature.of("->")
_STATUS = Signature.of("-> i32")
_EXPORTS = {HANDLE: _STATUS, OBSERVE: _ACTION, INIT: _STATUS, INITIALIZE: _ACTION}


class NearfieldV1:
    """Detected by the export `nearfield_handle`."""

    name = "nearfield-v1"

    def why_not(self, shape: ModuleShape) -> str | None:
        if HANDLE not in shape.exports:
            return f"no export `{HANDLE}`"
        return None if shape.memory() is not None else "no exported memory named `memory`"

    def bind(self, shape: ModuleShape, options: AbiOptions) -> NearfieldV1Speaker:
        return NearfieldV1Speaker(take_exports(shape, _EXPORTS))


class NearfieldV1Speaker:
    """Calls in the order that docs/abi.md gives."""

    def __init__(self, exports: Mapping[str, Signature]) -> None:
        self.exports = exports

    def observe(self, sandbox: Sandbox, host: Host) -> tuple[int, ...]:
        if OBSERVE not in self.exports:
            return ()
        observed: list[int] = []
        host.call.observed = observed
        sandbox.function(OBSERVE)()
        host.call.observed = None
        return tuple(dict.fromkeys(observed))

    def start(self, sandbox: Sandbox, host: Host) -> None:
        if INITIALIZE in self.exports:
            sandbox.function(INITIALIZE)()
        if INIT in self.exports:
            _check_status(INIT, sandbox.function(INIT)(), host)

    def handle(self, sandbox: Sandbox, host: Host, invocation: Invocation) -> None:
        _check_status(HANDLE, sandbox.function(HANDLE)(), host)


def _check_status(name: str, status: int, host: Host) -> None:
    if status == 0:
        return
    signed = status - (1 << 32) if status >> 31 else status
    reason = host.call.reason
    raise GuestFailed(
        f"`{name}` returned {signed}, expected 0: {reason}" if reason else f"`{name}` returned {signed}, expected 0"
    )
