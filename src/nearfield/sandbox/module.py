"""From a file to a compiled module, with a clear word for everything that is none."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wasmtime import Module, WasmtimeError

from nearfield.errors import GuestInvalid
from nearfield.sandbox.cache import CompileCache
from nearfield.sandbox.compiler import Refused, compile_code
from nearfield.sandbox.engine import engine, fingerprint
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.precompiled import Damaged, Precompiled, is_precompiled
from nearfield.signing import Provenance

_MAGIC = b"\0asm"
# Version and layer after the magic: core modules (binary format, 5.5.16), components (Component Model, Binary.md).
_CORE = b"\x01\0\0\0"
_COMPONENT_LAYER = b"\x01\0"

_KNOWN_BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x7fELF", "a native ELF program", "build the guest for a wasm32 target"),
    (b"MZ", "a native Windows program", "build the guest for a wasm32 target"),
    (b"version https://git-lfs", "a Git LFS pointer", "fetch the real file with `git lfs pull`"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"\x1f\x8b", "gzip data", "unpack it first"),
    (b"<", "a web page or XML", "the download answered with a page instead of the module; fetch it again"),
    (b"!<arch>", "a static library", "link it into a module"),
)

_COMPILED_TO_MODULE = 8


@dataclass(frozen=True, slots=True, eq=False)
class CompiledGuest:
    """A module, compiled and ready to be linked. Any number of guests may use it.

    Attributes:
        path: of the file it came from.
        module: for this process's engine.
        code_bytes: size of what was compiled.
        sha256: of the WebAssembly module, hexadecimal.
        source: `compiled` just now, from the `cache`, or from a `precompiled` file.
        size_bytes: of the file.
        duration_s: seconds that reading and compiling took.
    """

    path: Path
    module: Module
    code_bytes: int
    sha256: str
    source: Literal["compiled", "cache", "precompiled"]
    size_bytes: int
    duration_s: float

    @property
    def cache_key(self) -> str:
        """Name of the file in the cache: for this module, engine version and settings."""
        return CompileCache.key_of(self.sha256)

    def code(self) -> bytes:
        """What was compiled, as `Module.deserialize` takes it."""
        # A module from the cache was mapped from its file, and gives back what follows the code there as well.
        return bytes(self.module.serialize()[: self.code_bytes])

    def precompiled(self) -> bytes:
        """Content for a file of compiled code (`precompiled.py`)."""
        return Precompiled(fingerprint(), self.sha256, self.code()).encode()


def compile_guest(
    path: Path,
    *,
    limits: Limits | None = None,
    cache_dir: Path | None = None,
    allow_precompiled: bool = False,
    where: str | None = None,
    provenance: Provenance = Provenance(),  # noqa: B008 - cannot be changed
) -> CompiledGuest:
    """Read a module and compile it in a process of its own, or take what was compiled earlier. Runs nothing in it.

    Takes about a second for 4 MB without the cache. Where several processes want the same module, one compiles, and
    the others wait for it.

    Args:
        path: a binary core module, or a precompiled file.
        limits: those on size and on compiling count; None for the defaults.
        cache_dir: where compiled modules are kept; a directory for this user alone. None: nowhere.
        allow_precompiled: take compiled code as it is. That is running native code: whoever can write the file can do
            in this process whatever they like.
        where: what to name in messages; None: the path.
        provenance: what the file must be. Held against the bytes that are compiled.

    Raises:
        ProvenanceError: it is another file, or nobody who may has signed it.
        GuestInvalid: no valid module, features that are off, too large, too long or too much memory to compile, or a
            precompiled file that is not allowed, damaged, or for another engine.
        InternalError: no process could be started.
    """
    limits = limits or Limits()
    where = where or str(path)
    started_s = time.perf_counter()
    data = read_module(path, limits, where)
    provenance.check([data], "guest", path, where=where)
    source: Literal["compiled", "cache", "precompiled"]
    if is_precompiled(data):
        sha256, module, code_bytes = _take_precompiled(data, allow_precompiled, where)
        source = "precompiled"
    else:
        check_beginning(data, where)
        sha256 = hashlib.sha256(data).hexdigest()
        module, code_bytes, source = _compile(data, sha256, where, cache_dir, limits)
    return CompiledGuest(path, module, code_bytes, sha256, source, len(data), time.perf_counter() - started_s)


def read_module(path: Path, limits: Limits, where: str) -> bytes:
    """The bytes of a guest's file, whatever they are.

    Raises:
        GuestInvalid: it cannot be read, or is larger than `limits.module_bytes`; compiled code may be 8 times that.
    """
    max_bytes = limits.module_bytes
    try:
        with path.open("rb") as file:
            beginning = file.read(8)
            # Compiled code is some three times as large as its module.
            most = max_bytes * (_COMPILED_TO_MODULE if is_precompiled(beginning) else 1)
            # Asked for more than there is, Python would first make room for all of it.
            rest = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
    except OSError as exc:
        raise GuestInvalid(f"cannot read it: {exc.strerror}", where=where) from exc
    if len(beginning) + len(rest) > most:
        raise GuestInvalid(
            f"size: got more than {most} bytes, expected at most that",
            where=where,
            hint="strip its symbols, or raise the limit `module`",
        )
    return beginning + rest


def check_beginning(data: bytes, where: str) -> None:
    """Raise `GuestInvalid` unless `data` begins like a core module, with a hint at what it is. Pure."""
    if data[:8] == _MAGIC + _CORE:
        return
    got, hint = _describe(data)
    raise GuestInvalid(f"content: got {got}, expected a binary WebAssembly core module", where=where, hint=hint)


def _describe(data: bytes) -> tuple[str, str]:
    if not data:
        return "0 bytes", "the file is empty"
    if data[:4] == _MAGIC:
        if len(data) < 8:
            return f"only {len(data)} bytes of one", "the file is truncated"
        if data[6:8] == _COMPONENT_LAYER:
            return "a WebAssembly component", "build a core module (for Rust: target wasm32-wasip1, crate type cdylib)"
        return f"a module of version {int.from_bytes(data[4:8], 'little')}", "only version 1 exists so far"
    for beginning, noun, hint in _KNOWN_BEGINNINGS:
        if data.startswith(beginning):
            return noun, hint
    if data.lstrip()[:1] == b"(" or data.lstrip()[:2] == b";;":
        return "WebAssembly text", "assemble it first (`wat2wasm`)"
    return f"bytes beginning {data[:8].hex(' ')}", "no known format"


def _take_precompiled(content: bytes, is_allowed: bool, where: str) -> tuple[str, Module, int]:
    try:
        found = Precompiled.decode(content)
    except Damaged as exc:
        raise GuestInvalid(f"precompiled file: {exc}", where=where, hint="compile the module again") from exc
    if found.fingerprint != fingerprint():
        raise GuestInvalid(
            f"precompiled file: got code for {_difference(found.fingerprint, fingerprint())}",
            where=where,
            hint="compile the module again with this version",
        )
    if not is_allowed:
        raise GuestInvalid(
            "precompiled file: not allowed, because loading compiled code is running native code, outside the sandbox",
            where=where,
            hint="run the .wasm file, or give --allow-precompiled if you compiled this file yourself",
        )
    return found.source_sha256, _deserialize(found.code, where), len(found.code)


def _difference(got: str, expected: str) -> str:
    """Engine version first; the settings only where the version is the same."""
    got_version, got_settings = got.split("; ", 1) if "; " in got else (got, "")
    expected_version, expected_settings = expected.split("; ", 1)
    if got_version != expected_version:
        return f"{got_version[:40]}, expected {expected_version}"
    changed = sorted(set(got_settings.split(",")) - set(expected_settings.split(",")))
    return f"{got_version} with other settings ({', '.join(changed)[:200]})"


def _compile(
    data: bytes, sha256: str, where: str, cache_dir: Path | None, limits: Limits
) -> tuple[Module, int, Literal["compiled", "cache"]]:
    cache = None if cache_dir is None else CompileCache.open(cache_dir)
    if cache is None:
        code = _compile_now(data, where, limits)
        return _deserialize(code, where), len(code), "compiled"
    known = cache.load(sha256)
    if known is None:
        with cache.compiling(sha256):
            # Another process may have been quicker.
            known = cache.load(sha256)
            if known is None:
                code = _compile_now(data, where, limits)
                cache.store(sha256, code)
                return _deserialize(code, where), len(code), "compiled"
    return known.module, known.code_bytes, "cache"


def _compile_now(data: bytes, where: str, limits: Limits) -> bytes:
    try:
        return compile_code(data, where, limits)
    except Refused as exc:
        raise GuestInvalid(f"not a valid module: {one_line(str(exc))}", where=where, hint=_hint(str(exc))) from exc


def _deserialize(code: bytes, where: str) -> Module:
    try:
        return Module.deserialize(engine(), code)
    except WasmtimeError as exc:
        # For the same engine, so it must be the processor: one with fewer instructions than that which compiled it.
        raise GuestInvalid(f"compiled code: not for this machine: {one_line(str(exc))}", where=where) from exc


def one_line(text: str) -> str:
    """Wasmtime's reasons from the outermost inwards, without its headings and numbering."""
    lines = (line.strip() for line in text.splitlines())
    kept = [line.split(": ", 1)[1] if line[:2] in {f"{n}:" for n in range(10)} else line for line in lines if line]
    return ", ".join(line for line in kept if line != "Caused by:")


def _hint(text: str) -> str | None:
    if "must be enabled" in text or "not enabled" in text or "not supported without" in text or "disallowed" in text:
        return "build it without this WebAssembly feature"
    if "multiple memories" in text:
        return "build it with one memory"
    return "the file is damaged or truncated" if "unexpected end" in text or "unexpected-eof" in text else None
