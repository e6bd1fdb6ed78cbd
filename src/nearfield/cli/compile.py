"""`nearfield compile`: do ahead of time what the first start of a guest would do."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options, provenance_options
from nearfield.cli.output import say, say_json
from nearfield.config import parse_duration, parse_size
from nearfield.errors import UsageError
from nearfield.sandbox import CompiledGuest, Limits, compile_guest
from nearfield.transport import StateDirectory

GuestFile = Annotated[Path, typer.Argument(metavar="GUEST.wasm", help="A WebAssembly module.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Also write the compiled code to a file, for machines with the same version of nearfield's engine. "
        "They run it with --allow-precompiled.",
    ),
]
Timeout = Annotated[str, typer.Option(metavar="DURATION", help="How long compiling may take.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="Memory that compiling may take.")]
MostModule = Annotated[str, typer.Option("--max-module", metavar="SIZE", help="Size that the module may have.")]


def compile(
    guest: GuestFile,
    output: Output = None,
    timeout: Timeout = "30s",
    memory: Memory = "2GiB",
    max_module: MostModule = "64MiB",
    file_sha256: provenance_options.FileSha256 = None,
    trust: provenance_options.Trust = None,
    json: options.Json = False,
) -> None:
    """Compile a guest into the cache, so that its next start takes milliseconds.

    Nothing in the guest is run. It is compiled in a process of its own, which ends when its limits are used up.
    """
    limits = Limits(
        compile_s=options.parsed("--timeout", parse_duration, timeout),
        compile_memory_bytes=options.parsed("--memory", parse_size, memory),
        module_bytes=options.parsed("--max-module", parse_size, max_module),
    )
    cache = StateDirectory.from_environment().ensure("modules")
    provenance = provenance_options.provenance_of(file_sha256, trust)
    compiled = compile_guest(guest, limits=limits, cache_dir=cache, provenance=provenance)
    if output is not None:
        _write(output, compiled.precompiled())
    kept = cache / f"{compiled.cache_key}.cwasm"
    if json:
        say_json(_as_json(compiled, kept if kept.exists() else None, output))
        return
    how = "compiled" if compiled.source == "compiled" else "was compiled already: read"
    say(f"{guest}: {how} in {compiled.duration_s * 1e3:,.1f} ms")
    say(f"  module   {compiled.size_bytes:,} bytes, sha256 {compiled.sha256}")
    say(f"  code     {compiled.code_bytes:,} bytes")
    say(f"  cache    {kept if kept.exists() else 'not kept (see the warnings)'}")
    if output is not None:
        say(f"  written  {output}; runs with --allow-precompiled")


def _as_json(compiled: CompiledGuest, kept: Path | None, output: Path | None) -> dict[str, object]:
    return {
        "path": str(compiled.path),
        "source": compiled.source,
        "duration_ms": round(compiled.duration_s * 1e3, 3),
        "module_bytes": compiled.size_bytes,
        "sha256": compiled.sha256,
        "code_bytes": compiled.code_bytes,
        "cache_key": compiled.cache_key,
        "cache_file": None if kept is None else str(kept),
        "output": None if output is None else str(output),
    }


def _write(path: Path, content: bytes) -> None:
    """All of the file or none of it; whoever runs it trusts it, so others may not write to it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            temporary.replace(path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()
    except OSError as error:
        raise UsageError(f"cannot write it: {error.strerror}", where=f"--output: {path}") from error
