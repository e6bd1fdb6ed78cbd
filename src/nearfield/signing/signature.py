"""Detached signatures: `FILE.sig` beside `FILE`, one line of JSON. Pure.

What is signed is a text: what the file is for, its digest, and the size of each of its parts. The purpose keeps a
signature for a guest from standing for a model; the sizes keep the border between an OpenVINO model's two files, of
which the digest (of both, one after the other) says nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import msgspec

from nearfield.errors import ProvenanceError
from nearfield.signing.keys import PublicKey, SigningKey, is_key_text

Purpose = Literal["guest", "model", "program"]

# A written one has some 330 bytes.
MOST_SIGNATURE_BYTES = 4096
_SIGNATURE_BYTES = 64


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    version: Literal[1]
    purpose: Purpose
    sha256: str
    sizes: list[int]
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class Signature:
    """What a `.sig` file says. Nothing of it holds before `is_genuine`.

    Attributes:
        purpose: what the file may be loaded as.
        sha256: of all parts one after the other, lower case hexadecimal.
        sizes: bytes of each part.
        key: that it claims to be made with.
        value: 64 bytes.
    """

    purpose: Purpose
    sha256: str
    sizes: tuple[int, ...]
    key: PublicKey
    value: bytes

    @property
    def is_genuine(self) -> bool:
        """Whether the owner of `key` signed these very claims."""
        return self.key.verifies(_message(self.purpose, self.sha256, self.sizes), self.value)

    def encode(self) -> bytes:
        """The file's content."""
        written = _Written(
            version=1,
            purpose=self.purpose,
            sha256=self.sha256,
            sizes=list(self.sizes),
            key=self.key.text,
            signature=base64.b64encode(self.value).decode(),
        )
        return msgspec.json.encode(written) + b"\n"

    @classmethod
    def decode(cls, content: bytes, *, where: str) -> Self:
        """Read a file's content.

        Raises:
            ProvenanceError: it is damaged, truncated, or no such file.
        """
        try:
            written = msgspec.json.decode(content, type=_Written)
            value = base64.b64decode(written.signature, validate=True)
        except (msgspec.DecodeError, UnicodeDecodeError, binascii.Error, ValueError) as error:
            raise _damaged(where, str(error)) from error
        if len(value) != _SIGNATURE_BYTES or not is_key_text(written.key):
            raise _damaged(where, "its key or its signature has not the right length")
        return cls(written.purpose, written.sha256, tuple(written.sizes), PublicKey(written.key), value)


def sign(parts: Sequence[bytes], purpose: Purpose, key: SigningKey) -> Signature:
    """Vouch for a content.

    Args:
        parts: the whole of it; one, but for OpenVINO: the XML, and the weights if there are any.
    """
    digest, sizes = digest_of(parts), tuple(map(len, parts))
    return Signature(purpose, digest, sizes, key.public, key.sign(_message(purpose, digest, sizes)))


def digest_of(parts: Sequence[bytes]) -> str:
    """SHA-256 of all parts one after the other, hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def signature_path(path: Path) -> Path:
    """Where the signature of a file lies: beside it, `.sig` added to its name."""
    return path.with_name(f"{path.name}.sig")


def _message(purpose: Purpose, sha256: str, sizes: Sequence[int]) -> bytes:
    # The first line keeps a signature made for anything else in the world from being one of ours.
    lines = ("nearfield signature 1", purpose, sha256, " ".join(map(str, sizes)))
    return "".join(f"{line}\n" for line in lines).encode()


def _damaged(where: str, why: str) -> ProvenanceError:
    return ProvenanceError(
        f"got a damaged or truncated signature ({why[:120] if why.isprintable() else 'not readable'})",
        where=where,
        hint="sign the file again",
    )
