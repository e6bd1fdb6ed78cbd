"""Guests compiled ahead, in a process of their own: what cannot be compiled is found before anything is changed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable

from nearfield.config import FunctionConfig, format_duration, format_size
from nearfield.errors import StartFailed
from nearfield.supervise.command import is_program
from nearfield.supervised import supervised_environment


def compile_ahead(functions: Iterable[FunctionConfig]) -> Generator[str | None, None, None]:
    """Compile the guests of these functions into the cache, one after the other.

    Takes as long as their limits allow, without blocking: go on with the generator a few times a second. Closing it
    ends the compiler.

    Yields:
        A line for people when something begins, else None.

    Raises:
        StartFailed: a guest cannot be compiled.
    """
    done = set()
    for function in functions:
        # Compiled code needs no compiler; and a program, no sandbox.
        if function.run is None or is_program(function.run) or function.sandbox.allow_precompiled:
            continue
        command = tuple(_command(function))
        if command not in done:
            done.add(command)
            yield f"compiling `{function.run}`"
            yield from _compile(function, command)


def _command(function: FunctionConfig) -> list[str]:
    sandbox = function.sandbox
    return [
        *(sys.executable, "-m", "nearfield", "compile", str(function.run)),
        *("--timeout", format_duration(sandbox.compile_s)),
        *("--memory", format_size(sandbox.compile_memory_bytes)),
        *("--max-module", format_size(sandbox.module_bytes)),
    ]


def _compile(function: FunctionConfig, command: tuple[str, ...]) -> Generator[None, None, None]:
    with tempfile.TemporaryFile() as errors:
        # A session of its own, so that its own compiler can be ended with it.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
            env=supervised_environment(),
        )
        try:
            while process.poll() is None:
                yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode != 0:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines() or [f"status {process.returncode}"]
            raise StartFailed(lines[-1].removeprefix("error: "), where=f"function `{function.name}`")
