"""Files of compiled code that leave the cache: `nearfield compile -o`. Pure.

    offset  bytes
    0       8     magic
    8       2     version of this layout, little-endian
    10      2     length of the engine's fingerprint
    12      32    sha256 of the WebAssembly module that was compiled
    44      32    sha256 of everything else in the file: what is before this field, and what is after
    76            the engine's fingerprint, UTF-8
                  the code, as wasmtime serialises it

The hash finds damage, not malice: whoever can write the file can write the hash. Loading compiled code is running
native code, outside of every sandbox; so such a file is loaded only where the operator says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from struct import Struct

MAGIC = b"\x7fnearfld"
VERSION = 1

_HEADER = Struct("<8sHH32s32s")
_HASHED_HEADER = Struct("<8sHH32s")


class Damaged(Exception):
    """Not such a file, or not as it was written; the text says why."""


@dataclass(frozen=True, slots=True)
class Precompiled:
    """Compiled code and what it is for.

    Attributes:
        fingerprint: of the engine that compiled it, and the only one that can run it.
        source_sha256: of the WebAssembly module, hexadecimal.
        code: what `Module.deserialize` takes.
    """

    fingerprint: str
    source_sha256: str
    code: bytes

    def encode(self) -> bytes:
        """The file's content."""
        fingerprint = self.fingerprint.encode()
        hashed = _HASHED_HEADER.pack(MAGIC, VERSION, len(fingerprint), bytes.fromhex(self.source_sha256))
        digest = _digest(hashed, fingerprint, self.code)
        return b"".join((hashed, digest, fingerprint, self.code))

    @classmethod
    def decode(cls, content: bytes) -> Precompiled:
        """Read a file's content.

        Raises:
            Damaged: another layout, or a single bit is not as it was written.
        """
        if len(content) < _HEADER.size or not content.startswith(MAGIC):
            raise Damaged("it is truncated or of another kind")
        magic, version, length, source, digest = _HEADER.unpack_from(content)
        if version != VERSION:
            raise Damaged(f"it has layout {version}, this version reads {VERSION}")
        rest = memoryview(content)[_HEADER.size :]
        hashed = _HASHED_HEADER.pack(magic, version, length, source)
        if len(rest) < length or _digest(hashed, rest[:length], rest[length:]) != digest:
            raise Damaged("its content has changed since it was written")
        return cls(str(rest[:length], "utf-8"), source.hex(), bytes(rest[length:]))


def is_precompiled(beginning: bytes) -> bool:
    """Whether a file that begins so is meant to be one of these."""
    return beginning.startswith(MAGIC)


def _digest(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
