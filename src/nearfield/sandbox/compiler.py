"""Compile modules where they can do no harm: compilation has no limits of its own.

Measured with wasmtime 50: a valid module of 8 kB takes 5 s of processor time (1,000 functions with 50,000 locals
each), one of 45 kB takes 20 s and 0.5 GB, one of 6 MB 1.4 GB. Nothing can interrupt it but the end of its process.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from wasmtime import Module, WasmtimeError

from nearfield.errors import GuestInvalid, InternalError
from nearfield.sandbox import compiler_process
from nearfield.sandbox.engine import SETTINGS, engine
from nearfield.sandbox.limits import MIB, Limits

# Up to this size a module is compiled in this process: the worst that fits into it took 0.6 s, and starting a process
# takes 0.1 to 0.2 s.
MOST_BYTES_HERE = 1024


class Refused(Exception):
    """The module is not valid, or needs features that are off; the text is wasmtime's."""


def compile_code(data: bytes, where: str, limits: Limits) -> bytes:
    """Compile a module. Blocks, at most `limits.compile_s`.

    Args:
        data: a binary core module.
        where: what to name in messages.

    Returns:
        What `Module.deserialize` takes. It comes from a process of ours and from nowhere else.

    Raises:
        Refused: see there.
        GuestInvalid: it takes longer, or more memory, than the limits allow.
        InternalError: no process could be started.
    """
    if len(data) <= MOST_BYTES_HERE:
        try:
            return bytes(Module(engine(), data).serialize())
        except WasmtimeError as exc:
            raise Refused(str(exc)) from exc
    try:
        ended = subprocess.run(
            _command(limits), input=data, capture_output=True, timeout=limits.compile_s, check=False, env=_environment()
        )
    except subprocess.TimeoutExpired as exc:
        raise _took_too_long(where, limits) from exc
    except OSError as exc:
        raise InternalError(f"compile: no process could be started: {exc.strerror}", where=where) from exc
    if ended.returncode == 0:
        return ended.stdout
    if ended.returncode == compiler_process.REFUSED_STATUS:
        raise Refused(ended.stdout.decode(errors="replace"))
    if ended.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise _took_too_long(where, limits)
    raise GuestInvalid(
        f"compile: the compiler {_death(ended)}, with {limits.compile_memory_bytes / MIB:.0f} MiB of memory to use",
        where=where,
        hint="raise `compile_memory` if you trust the module",
    )


def _command(limits: Limits) -> list[str]:
    # On many cores, processor time runs that many times as fast as the clock.
    cpu_s = max(1, round(limits.compile_s * (os.cpu_count() or 1)))
    program = str(Path(compiler_process.__file__))
    return [sys.executable, "-P", program, json.dumps(SETTINGS), str(cpu_s), str(limits.compile_memory_bytes)]


def _environment() -> dict[str, str]:
    # Each arena of the C library reserves 64 MiB of address space, and there would be several for each core.
    return {**os.environ, "MALLOC_ARENA_MAX": "2"}


def _took_too_long(where: str, limits: Limits) -> GuestInvalid:
    return GuestInvalid(
        f"compile: took longer than {limits.compile_s:g} s",
        where=where,
        hint="raise `compile_time` if you trust the module",
    )


def _death(ended: subprocess.CompletedProcess[bytes]) -> str:
    if ended.returncode < 0:
        return f"died of {signal.Signals(-ended.returncode).name}"
    last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    return f"failed: {last}" if last else f"ended with status {ended.returncode}"
