"""What a file must be before it is loaded: its digest, and who vouches for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfield.errors import ProvenanceError
from nearfield.signing.keys import PublicKey
from nearfield.signing.signature import MOST_SIGNATURE_BYTES, Purpose, Signature, digest_of, signature_path

_SHA256 = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Held against the bytes that are loaded, once they are in memory: what was checked is what runs.

    Attributes:
        sha256: that the content must have, hexadecimal; None: any.
        signers: of whom one must have signed it; None: it need not be signed.
    """

    sha256: str | None = None
    signers: frozenset[PublicKey] | None = None

    def check(self, parts: Sequence[bytes], purpose: Purpose, path: Path, *, where: str) -> PublicKey | None:
        """Let a content pass. Reads `path`'s signature, never `path` itself.

        Args:
            parts: the whole content, as it will be used.
            purpose: what it will be used as.
            path: of the file it came from; its signature lies beside it.
            where: what to name in messages.

        Returns:
            Who signed it; None where that does not matter.

        Raises:
            ProvenanceError: another digest; no signature, or one that is damaged, of somebody else, for another content
                or for another purpose.
        """
        if self.sha256 is None and self.signers is None:
            return None
        digest = digest_of(parts)
        if self.sha256 is not None and self.sha256.lower() != digest:
            raise ProvenanceError(
                f"content: got sha256 {digest}, expected {self.sha256.lower()}",
                where=where,
                hint="this is not the file that was meant",
            )
        if self.signers is None:
            return None
        signature = read_signature(path, where=where)
        _check_signer(signature, self.signers, where)
        _check_claims(signature, purpose, digest, parts, where)
        return signature.key


def read_signature(path: Path, *, where: str) -> Signature:
    """The signature that lies beside a file. Nobody has looked at who made it yet.

    Raises:
        ProvenanceError: there is none, or it is damaged.
    """
    beside = signature_path(path)
    try:
        with beside.open("rb") as file:
            content = file.read(MOST_SIGNATURE_BYTES)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ProvenanceError(
            f"signature: cannot read `{beside}`: {reason}",
            where=where,
            hint=f"expected a signed file; `nearfield sign {path.name}` makes one",
        ) from error
    return Signature.decode(content, where=f"{where}: signature `{beside.name}`")


def _check_signer(signature: Signature, signers: frozenset[PublicKey], where: str) -> None:
    if signature.key not in signers:
        raise ProvenanceError(
            f"signature: made with key {signature.key}, expected one of the {len(signers)} trusted",
            where=where,
            hint="add the key to `trusted_signers` if you trust whoever has it",
        )
    if not signature.is_genuine:
        raise ProvenanceError(
            f"signature: was not made with key {signature.key}, as it claims",
            where=where,
            hint="it is damaged or forged; sign the file again",
        )


def _check_claims(signature: Signature, purpose: Purpose, digest: str, parts: Sequence[bytes], where: str) -> None:
    if signature.purpose != purpose:
        raise ProvenanceError(
            f"signature: got one for a {signature.purpose}, expected one for a {purpose}",
            where=where,
            hint=f"sign it with --as {purpose}",
        )
    if signature.sha256 != digest or signature.sizes != tuple(map(len, parts)):
        raise ProvenanceError(
            f"signature: made for a content with sha256 {signature.sha256}, got {digest}",
            where=where,
            hint="the file was changed after it was signed",
        )


def is_sha256_text(text: str) -> bool:
    """Whether this is a SHA-256 digest: 64 hexadecimal digits, large or small."""
    return _SHA256.fullmatch(text) is not None
