"""Plain WASI commands: programs with a `main`, in any language that compiles to WASI, without an SDK.

One run for each frame, always in a fresh instance: a program can be started only once. The frame's payload is its
standard input. What it writes to its standard output is emitted as one frame when it ends; nothing is emitted when it
writes nothing. Ending with a status other than 0 is a failure, and the last words on its standard error are the reason.
Its only argument is the function's name. It may import from `nearfield_v1` too, for the frame's tag or to emit more.
"""

from __future__ import annotations

from collections.abc import Mapping

from nearfield.errors import ConfigError, GuestFailed, GuestOutputExceeded
from nearfield.sandbox.abi.contract import AbiOptions
from nearfield.sandbox.abi.exports import take_exports
from nearfield.sandbox.abi.result_tag import result_tag_of
from nearfield.sandbox.callpath import Sandbox, Trapped
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import Invocation, clean_text
from nearfield.sandbox.process import Process
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature

START = "_start"

# Exports and imports beginning so belong to an ABI that did not fit: running its `main` alone would do nothing useful.
_OTHER_ABIS = ("nearfield_", "yomo_")


class WasiCommand:
    """Detected by the export `_start`, where nothing belongs to another ABI."""

    name = "wasi-command"

    def why_not(self, shape: ModuleShape) -> str | None:
        if START not in shape.exports:
            return f"no export `{START}`"
        others = [f"export `{name}`" for name in shape.exports if name.startswith(_OTHER_ABIS)]
        others += [
            f"import `{entry}`"
            for entry in shape.imports
            if entry.name.startswith(_OTHER_ABIS) or entry.module == "wasmedge-bindgen"
        ]
        if others:
            return f"{others[0]} belongs to another ABI"
        return None if shape.memory() is not None else "no exported memory named `memory`"

    def bind(self, shape: ModuleShape, options: AbiOptions) -> WasiCommandSpeaker:
        if options.keeps_instance:
            raise ConfigError(
                "instance: got `worker`, expected `frame`: a WASI command ends after each frame",
                hint="leave the setting out, or build the guest as a library for one of the other ABIs",
            )
        if options.entry is not None:
            raise ConfigError(f"entry: got `{options.entry}`, expected none: a WASI command begins at `{START}`")
        exports = take_exports(shape, {START: Signature.of("->")})
        return WasiCommandSpeaker(exports, options.name, result_tag_of(options, self.name))


class WasiCommandSpeaker:
    """Runs the program."""

    def __init__(self, exports: Mapping[str, Signature], name: str, result_tag: int) -> None:
        self.exports = exports
        self._name = name
        self._result_tag = result_tag

    def observe(self, sandbox: Sandbox, host: Host) -> tuple[int, ...]:
        return ()

    def start(self, sandbox: Sandbox, host: Host) -> None:
        """Nothing: the program itself is the handling."""

    def handle(self, sandbox: Sandbox, host: Host, invocation: Invocation) -> None:
        process = host.call.process = Process((self._name,), invocation.payload, host.limits.output_bytes)
        status = _run(sandbox, host)
        if status != 0:
            words = process.last_words()
            raise GuestFailed(f"exited with status {status}" + (f": {clean_text(words)}" if words else ""))
        result = process.stdout
        if not result:
            return
        if not host.call.may_emit(self._result_tag, len(result)):
            raise GuestOutputExceeded(f"standard output: got {len(result)} bytes beyond what may be emitted")
        host.call.emit(self._result_tag, result)


def _run(sandbox: Sandbox, host: Host) -> int:
    """Run `_start` to its end, whichever way that comes, and return the exit status."""
    try:
        sandbox.function(START)()
    except Trapped:
        status = host.call.take_exit()
        if status is None:
            raise
        return status
    return 0
