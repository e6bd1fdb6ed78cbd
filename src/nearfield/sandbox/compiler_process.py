"""Compile one module in a process that may be killed for it. Started by `compiler.py`, never imported.

The module comes on standard input, the compiled code goes to standard output. Exit status 0: compiled. 3: refused,
with wasmtime's reason on standard output. Anything else: the compiler died, or ran into a limit.

This file stands alone: importing the package around it would take longer than most compilations.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h

REFUSED_STATUS = 3


def main() -> int:
    """Arguments: engine settings as JSON, seconds of processor time, bytes of address space."""
    settings, cpu_s, address_space_bytes = json.loads(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, address_space_bytes),
    ):
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))

    from wasmtime import Config, Engine, Module, WasmtimeError

    config = Config()
    for name, value in settings.items():
        setattr(config, name, value)
    try:
        code = Module(Engine(config), sys.stdin.buffer.read()).serialize()
    except WasmtimeError as refused:
        sys.stdout.write(str(refused))
        return REFUSED_STATUS
    sys.stdout.buffer.write(code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
