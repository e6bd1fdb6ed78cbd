"""YoMo stream functions, as YoMo 1.17 and 1.18 ran them.

Source: `cli/serverless/wasm` and `serverless/guest` of YoMo 1.17.1 and 1.18.18.

A fresh instance is started as YoMo did: `_initialize`, `_start` (TinyGo's `main`, which installs the handlers),
`yomo_observe_datatags`, `yomo_wanted_target` (since 1.18), `yomo_init`. Then `yomo_handler` takes one frame. The
original kept one instance for ever; `instance: worker` does so too, and `instance: frame` starts one for each frame.
Exiting with status 0 counts as returning, as TinyGo's programs end so.
"""

from __future__ import annotations

from collections.abc import Mapping

from nearfield.errors import GuestExited, GuestFailed
from nearfield.sandbox.abi.contract import AbiOptions
from nearfield.sandbox.abi.exports import take_exports
from nearfield.sandbox.callpath import Sandbox, Trapped
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import Invocation
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature

HANDLER, OBSERVE, INIT = "yomo_handler", "yomo_observe_datatags", "yomo_init"
WANTED_TARGET, ALLOC = "yomo_wanted_target", "yomo_alloc"
INITIALIZE, START = "_initialize", "_start"

_ACTION = Signature.of("->")
_EXPORTS = {
    HANDLER: _ACTION,
    OBSERVE: _ACTION,
    INIT: Signature.of("-> i32"),
    WANTED_TARGET: _ACTION,
    ALLOC: Signature.of("i32 -> i32"),
    INITIALIZE: _ACTION,
    START: _ACTION,
}


class Yomo:
    """Detected by the export `yomo_handler`."""

    name = "yomo"

    def why_not(self, shape: ModuleShape) -> str | None:
        for name in (HANDLER, OBSERVE):
            if name not in shape.exports:
                return f"no export `{name}`"
        return None if shape.memory() is not None else "no exported memory named `memory`"

    def bind(self, shape: ModuleShape, options: AbiOptions) -> YomoSpeaker:
        return YomoSpeaker(take_exports(shape, _EXPORTS))


class YomoSpeaker:
    """Calls in YoMo's order."""

    def __init__(self, exports: Mapping[str, Signature]) -> None:
        self.exports = exports
        self._observed: tuple[int, ...] = ()

    def observe(self, sandbox: Sandbox, host: Host) -> tuple[int, ...]:
        # Asked while it was started, as everything after it may depend on that.
        return self._observed

    def start(self, sandbox: Sandbox, host: Host) -> None:
        if ALLOC in self.exports:
            host.allocate = sandbox.function(ALLOC)
        self._run_if_any(INITIALIZE, sandbox, host)
        self._run_if_any(START, sandbox, host)
        observed = host.call.observed = []
        self._run_if_any(OBSERVE, sandbox, host)
        host.call.observed = None
        self._observed = tuple(dict.fromkeys(observed))
        self._run_if_any(WANTED_TARGET, sandbox, host)
        status = self._run_if_any(INIT, sandbox, host)
        if status != 0:
            words = host.call.last_words()
            raise GuestFailed(f"`{INIT}` returned {status}, expected 0" + (f": {words}" if words else ""))

    def handle(self, sandbox: Sandbox, host: Host, invocation: Invocation) -> None:
        self._run_if_any(HANDLER, sandbox, host)

    def _run_if_any(self, name: str, sandbox: Sandbox, host: Host) -> int:
        """Call an export if there is one. Returns its result; 0 for none, or when it exited with 0."""
        if name not in self.exports:
            return 0
        try:
            return sandbox.function(name)()
        except Trapped:
            status = host.call.take_exit()
            if status is None:
                raise
        if status != 0:
            words = host.call.last_words()
            raise GuestExited(f"`{name}` exited with status {status}" + (f": {words}" if words else ""))
        # Whatever the guest's runtime tears down when it exits is gone.
        host.call.has_ended = name != START
        return 0
