"""From what a person writes (`localhost:9900`) to a connection, with the identity this user has on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from nearfield.transport.address import DEFAULT_PORT, Address, parse_address
from nearfield.transport.authority import ensure_local_identity
from nearfield.transport.certificates import Credentials
from nearfield.transport.connection import Connection, connect
from nearfield.transport.diagnosis import diagnose_endpoint
from nearfield.transport.state_directory import StateDirectory
from nearfield.transport.tokens import Token, ensure_local_token, parse_token, read_token_file

DEFAULT_ZIPPER = f"localhost:{DEFAULT_PORT}"
TOKEN_VARIABLE = "NEARFIELD_TOKEN"
TOKEN_FILE_VARIABLE = "NEARFIELD_TOKEN_FILE"


def dial(
    zipper: str,
    *,
    identity: Credentials | None = None,
    token: str | Token | None = None,
    namespace: str = "default",
    timeout_s: float = 5.0,
) -> Connection:
    """Connect to a zipper. Blocks up to about `timeout_s`.

    Args:
        zipper: `host:port`, or several separated by commas, tried in turn.
        identity: PEM files; None: the local development identity of this user, made when there is none yet.
        token: `NAME:TOKEN`, for zippers that ask for one; None: that in the file `$NEARFIELD_TOKEN_FILE`, or in
            `$NEARFIELD_TOKEN`. Ignored when `identity` has one.

    Raises:
        UsageError: an address or a token is ill-formed.
        CertificateError, TransportError, RefusedError: see `connect`.
    """
    addresses: Sequence[Address] = [parse_address(part) for part in zipper.split(",")]
    shown = parse_token(token, where="token") if isinstance(token, str) else token
    credentials = complete_credentials(identity, shown)
    return connect(
        addresses,
        credentials,
        namespace=namespace,
        timeout_s=timeout_s,
        explain=lambda address: diagnose_endpoint(address, credentials),
    )


def as_connection(zipper: str | Connection, *, namespace: str = "default") -> Connection:
    """`zipper` itself when it is a connection, else `dial(zipper)`; either with one more user."""
    connection = zipper if isinstance(zipper, Connection) else dial(zipper, namespace=namespace)
    return connection.retain()


def complete_credentials(given: Credentials | None, token: Token | None = None) -> Credentials:
    """What was given, with what the environment has; with nothing given, the local identity and its token.

    Raises:
        UsageError: the environment has an ill-formed token.
        CertificateError: a file cannot be used.
    """
    if given is not None and given.token is not None:
        return given
    token = token or token_from_environment()
    if given is not None:
        return replace(given, token=token)
    state = StateDirectory.from_environment()
    local = ensure_local_identity(state)
    return replace(local, token=token or ensure_local_token(state))


def token_from_environment(environ: Mapping[str, str] = os.environ) -> Token | None:
    """The token in the file `$NEARFIELD_TOKEN_FILE`, else in `$NEARFIELD_TOKEN`, else None.

    Raises:
        UsageError: it is ill-formed.
        CertificateError: the file cannot be read, or others can read it.
    """
    if path := environ.get(TOKEN_FILE_VARIABLE):
        return read_token_file(Path(path))
    text = environ.get(TOKEN_VARIABLE)
    return parse_token(text, where=TOKEN_VARIABLE) if text else None
