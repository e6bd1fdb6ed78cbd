"""Zenoh and TLS: sessions over QUIC, addresses, certificates, and finding out why a connection fails."""

from nearfield.frame.rights import Role
from nearfield.transport.access import Access, OpenAccess, TokenAccess
from nearfield.transport.address import DEFAULT_PORT, Address, parse_address
from nearfield.transport.authority import ensure_local_identity, ensure_server_certificate
from nearfield.transport.certificates import Credentials, Identity, Uncertified, load_identity, read_certificates
from nearfield.transport.connection import Connection, connect
from nearfield.transport.dial import DEFAULT_ZIPPER, as_connection, complete_credentials, dial
from nearfield.transport.issuing import Request, ensure_authority, issue, renew, revoke
from nearfield.transport.listener_probe import probe_listener
from nearfield.transport.listening import check_listenable
from nearfield.transport.permission import Permission
from nearfield.transport.registry import (
    ROLES,
    IssuedIdentity,
    Standing,
    issued_identities,
    registry_version,
    revoked,
    standing,
)
from nearfield.transport.session import (
    FRAME_LANES,
    REPORT_LANES,
    BundleCallback,
    CopiedPayload,
    Handle,
    Lane,
    Message,
    Opening,
    Payload,
    Reply,
    Session,
    open_client,
    open_router,
    reopen_router,
)
from nearfield.transport.state_directory import StateDirectory
from nearfield.transport.tokens import Token, ensure_local_token, local_token_path, read_token_file

__all__ = [
    "DEFAULT_PORT",
    "DEFAULT_ZIPPER",
    "FRAME_LANES",
    "REPORT_LANES",
    "ROLES",
    "Access",
    "Address",
    "BundleCallback",
    "Connection",
    "CopiedPayload",
    "Credentials",
    "Handle",
    "Identity",
    "IssuedIdentity",
    "Lane",
    "Message",
    "OpenAccess",
    "Opening",
    "Payload",
    "Permission",
    "Reply",
    "Request",
    "Role",
    "Session",
    "Standing",
    "StateDirectory",
    "Token",
    "TokenAccess",
    "Uncertified",
    "as_connection",
    "check_listenable",
    "complete_credentials",
    "connect",
    "dial",
    "ensure_authority",
    "ensure_local_identity",
    "ensure_local_token",
    "ensure_server_certificate",
    "issue",
    "issued_identities",
    "load_identity",
    "local_token_path",
    "open_client",
    "open_router",
    "parse_address",
    "probe_listener",
    "read_certificates",
    "read_token_file",
    "registry_version",
    "renew",
    "reopen_router",
    "revoke",
    "revoked",
    "standing",
]
