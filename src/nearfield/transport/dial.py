"""From what a person writes (`localhost:9900`) to a connection, with the identity this user has on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from nearfield.transport.address import DEFAULT_PORT, Address, parse_address
from nearfield.transport.authority import ensure_local_identity
from nearfield.transport.certificates import Identity
from nearfield.transport.connection import Connection, connect
from nearfield.transport.diagnosis import diagnose_endpoint
from nearfield.transport.state_directory import StateDirectory

DEFAULT_ZIPPER = f"localhost:{DEFAULT_PORT}"


def dial(
    zipper: str, *, identity: Identity | None = None, namespace: str = "default", timeout_s: float = 5.0
) -> Connection:
    """Connect to a zipper. Blocks up to about `timeout_s`.

    Args:
        zipper: `host:port`, or several separated by commas, tried in turn.
        identity: PEM files; None: the local development identity of this user, made when there is none yet.

    Raises:
        UsageError: an address is ill-formed.
        CertificateError, TransportError, RefusedError: see `connect`.
    """
    addresses: Sequence[Address] = [parse_address(part) for part in zipper.split(",")]
    identity = identity or ensure_local_identity(StateDirectory.from_environment())
    return connect(
        addresses,
        identity,
        namespace=namespace,
        timeout_s=timeout_s,
        explain=lambda address: diagnose_endpoint(address, identity),
    )


def as_connection(zipper: str | Connection, *, namespace: str = "default") -> Connection:
    """`zipper` itself when it is a connection, else `dial(zipper)`; either with one more user."""
    connection = zipper if isinstance(zipper, Connection) else dial(zipper, namespace=namespace)
    return connection.retain()
