"""Who vouches for a file: Ed25519 keys, detached signatures, and what a file must be before it is loaded."""

from nearfield.signing.keys import PublicKey, SigningKey, is_key_text, read_signer
from nearfield.signing.provenance import Provenance, is_sha256_text
from nearfield.signing.signature import Purpose, Signature, sign, signature_path

__all__ = [
    "Provenance",
    "PublicKey",
    "Purpose",
    "Signature",
    "SigningKey",
    "is_key_text",
    "is_sha256_text",
    "read_signer",
    "sign",
    "signature_path",
]
