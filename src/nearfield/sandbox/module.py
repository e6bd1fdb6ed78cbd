"""From a file to a compiled module, with a clear word for everything that is none."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from wasmtime import Module, WasmtimeError

from nearfield.errors import GuestInvalid
from nearfield.sandbox.cache import CompileCache
from nearfield.sandbox.engine import engine

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


@dataclass(frozen=True, slots=True)
class Binary:
    """A module's bytes and their sha256, in hexadecimal."""

    data: bytes
    sha256: str


def read_binary(path: Path, max_bytes: int, where: str) -> Binary:
    """Read a file and make sure that it begins like a core module.

    Raises:
        GuestInvalid: unreadable, larger than `max_bytes`, or something else than a binary core module.
    """
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as exc:
        raise GuestInvalid(f"cannot read it: {exc.strerror}", where=where) from exc
    if len(data) > max_bytes:
        raise GuestInvalid(
            f"size: got more than {max_bytes} bytes, expected at most that",
            where=where,
            hint="strip its symbols, or raise `module_bytes`",
        )
    check_beginning(data, where)
    return Binary(data, hashlib.sha256(data).hexdigest())


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


def compile_binary(binary: Binary, where: str, cache_dir: Path | None) -> Module:
    """Compile, or take the result of an earlier compilation from `cache_dir`.

    Takes about a second for 4 MB without the cache; blocks, with the interpreter lock released.

    Raises:
        GuestInvalid: the module does not validate, or needs WebAssembly features that are off.
    """
    cache = None if cache_dir is None else CompileCache.open(cache_dir)
    module = None if cache is None else cache.load(binary.sha256)
    if module is not None:
        return module
    try:
        module = Module(engine(), binary.data)
    except WasmtimeError as exc:
        raise GuestInvalid(f"not a valid module: {one_line(str(exc))}", where=where, hint=_hint(str(exc))) from exc
    if cache is not None:
        cache.store(binary.sha256, module)
    return module


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
