"""Zenoh and TLS: sessions over QUIC, addresses, certificates, and finding out why a connection fails."""

from nearfield.transport.address import DEFAULT_PORT, Address, parse_address
from nearfield.transport.authority import ensure_local_identity, ensure_server_certificate
from nearfield.transport.certificates import Identity, load_identity
from nearfield.transport.connection import Connection, connect
from nearfield.transport.dial import DEFAULT_ZIPPER, as_connection, dial
from nearfield.transport.listening import check_listenable
from nearfield.transport.session import (
    FRAME_LANES,
    REPORT_LANES,
    BundleCallback,
    Handle,
    Lane,
    Message,
    Payload,
    Reply,
    Session,
    open_client,
    open_router,
)
from nearfield.transport.state_directory import StateDirectory

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_ZIPPER",
    "FRAME_LANES",
    "REPORT_LANES",
    "Address",
    "BundleCallback",
    "Connection",
    "Handle",
    "Identity",
    "Lane",
    "Message",
    "Payload",
    "Reply",
    "Session",
    "StateDirectory",
    "as_connection",
    "check_listenable",
    "connect",
    "dial",
    "ensure_local_identity",
    "ensure_server_certificate",
    "load_identity",
    "open_client",
    "open_router",
    "parse_address",
]
