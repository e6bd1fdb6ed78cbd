"""Options about what files must be: digests and signers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from nearfield.config import Workflow
from nearfield.errors import ConfigError, UsageError
from nearfield.signing import Provenance, PublicKey, is_sha256_text, read_signer

FileSha256 = Annotated[
    str | None, typer.Option("--file-sha256", metavar="HEX", help="Digest that the file itself must have.")
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="KEY",
        help="Load only files that this public key (base64, or a file) has signed; repeat for more keys.",
    ),
]


def provenance_of(sha256: str | None, trust: Sequence[str] | None) -> Provenance:
    """What the file must be, from options.

    Raises:
        UsageError: a digest or a key that is none.
    """
    if sha256 is not None and not is_sha256_text(sha256):
        raise UsageError(f"got `{sha256[:80]}`, expected 64 hexadecimal digits", where="--file-sha256")
    try:
        return Provenance(sha256, frozenset(map(read_signer, trust)) if trust else None)
    except ConfigError as error:
        raise UsageError(error.what, where="--trust", hint=error.hint) from error


def signers_of(workflow: Workflow) -> frozenset[PublicKey] | None:
    """Who must have signed what the workflow loads; None: it need not be signed. Reads key files.

    Raises:
        ConfigError: a key file cannot be read, or holds no public key.
    """
    return frozenset(map(read_signer, workflow.trusted_signers)) if workflow.require_signed else None
