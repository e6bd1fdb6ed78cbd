"""Ed25519 keys: private ones as PEM, public ones as PEM or as the base64 of their 32 bytes."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from nearfield.errors import ConfigError, ProvenanceError

if TYPE_CHECKING:
    # Imported where a key is used: a worker whose files need no signature has no use for it.
    from cryptography.hazmat.primitives.asymmetric import ed25519

_KEY_BYTES = 32
# A PEM file of a public key has 113 bytes.
_MOST_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Whom a signature can come from. Shown and compared as text.

    Attributes:
        text: base64 of the 32 bytes, 44 characters.
    """

    text: str

    @classmethod
    def of(cls, raw: bytes) -> Self:
        """The key of these 32 bytes."""
        return cls(base64.b64encode(raw).decode())

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether the owner of the private key signed `message` so."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric import ed25519

        try:
            ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(self.text)).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def pem(self) -> bytes:
        """A file that everyone may have."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519

        key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(self.text))
        return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def __str__(self) -> str:
        return self.text


class SigningKey:
    """A private key. Never shown: neither its `repr` nor an error has any of it."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def make(cls) -> Self:
        """A new one."""
        from cryptography.hazmat.primitives.asymmetric import ed25519

        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes, *, where: str) -> Self:
        """Read a file's content.

        Raises:
            ProvenanceError: no PEM file, one that asks for a password, or a key of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric import ed25519
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            key = load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The reason may quote the content; a private key's is nobody's business.
            key = None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise ProvenanceError(
                "got no private key of Ed25519 in PEM without a password", where=where, hint="make one: --new-key"
            )
        return cls(key)

    @property
    def public(self) -> PublicKey:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        return PublicKey.of(self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(message)

    def pem(self) -> bytes:
        """For a file that nobody else may read."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        return self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def __repr__(self) -> str:
        return f"<SigningKey {self.public}>"


def read_signer(text: str) -> PublicKey:
    """A public key as people give it: 44 characters of base64, or else the path of a PEM file.

    Raises:
        ConfigError: the file cannot be read, or has no public key of Ed25519.
    """
    return PublicKey(text) if is_key_text(text) else _from_file(Path(text))


def is_key_text(text: str) -> bool:
    """Whether this is a public key itself, and no path."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    # Base64 has several writings of the same bytes; keys are compared as text.
    return len(raw) == _KEY_BYTES and base64.b64encode(raw).decode() == text


def _from_file(path: Path) -> PublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        with path.open("rb") as file:
            content = file.read(_MOST_FILE_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"cannot read `{path}`: {reason}", hint="expected a public key: base64, or a file") from error
    try:
        key = load_pem_public_key(content)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        what = "a private key" if b"PRIVATE KEY" in content else "something else"
        raise ConfigError(f"`{path}`: got {what}, expected a public key of Ed25519 in PEM")
    return PublicKey.of(key.public_bytes(Encoding.Raw, PublicFormat.Raw))
