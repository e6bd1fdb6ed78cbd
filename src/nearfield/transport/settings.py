"""The zenoh configuration as plain data: what we set, and why. No I/O.

Figures are from our measurements with zenoh 1.10.2 (docs/adr/0002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nearfield.transport.access import TokenAccess
from nearfield.transport.certificates import Credentials, Identity
from nearfield.transport.tokens import Token

# A dead peer over QUIC is noticed by its lease only: 2 s was seen within 1.5 s, the default of 10 s within 9.5 s.
LEASE_MS = 2_000
# A session that cannot be opened within this time is tried again, or at the next address.
OPEN_TIMEOUT_MS = 1_500
# A peer whose line takes nothing for so long is cut off, with all that is on its way to it, and a slow line must not
# come to that. With 500 ms, one that loses 2 % of its packets was cut off every few seconds by frames of 100 KB, and a
# fifth of the small ones beside them was lost; with 2 s and 5 s, never. With 5 s, a zipper took up to 3.5 s to end.
WAIT_BEFORE_CLOSE_US = 2_000_000
# How long a frame waits for the one before it to get into the queue of a link, else it is lost. zenoh's default of 1 ms
# loses up to 1.5 % of small frames on a busy two-core machine, 5 ms up to 0.8 %, 10 ms next to none. A client holds up
# nobody but itself, and nobody else counts what it drops: with 50 ms, one result of 4,700 was lost so beside four busy
# loops. In a zipper each frame for a line that is full holds up those behind it for so long, for all: with 50 ms, a
# sink on a slow line made frames for others 1 s late.
WAIT_BEFORE_DROP_US = 1_000_000
ROUTER_WAIT_BEFORE_DROP_US = 10_000
# zenoh drops larger messages without a word, so this must exceed every payload limit that we check ourselves.
MAX_MESSAGE_BYTES = 256 * 1024 * 1024


def router_settings(
    listen: Sequence[str],
    identity: Identity,
    peers: Sequence[str] = (),
    client: Identity | None = None,
    dictionary: str | None = None,
) -> dict[str, Any]:
    """Settings of a zipper's session: a full router, with mutual TLS unless `identity.access` says otherwise.

    Args:
        listen: endpoints to listen on.
        identity: presented to those that connect.
        peers: endpoints of other routers to connect to, again and again until they answer.
        client: presented to these; None: `identity` as well.
        dictionary: path of the file with users and passwords, for `TokenAccess`.
    """
    outgoing = client or identity
    settings = _shared(identity, mutual=identity.access is None)
    if isinstance(identity.access, TokenAccess):
        settings |= {"transport/auth/usrpwd/dictionary_file": dictionary, **_proof(identity.access.own)}
    settings |= {
        "mode": "router",
        "transport/link/tx/queue/congestion_control/drop/wait_before_drop": ROUTER_WAIT_BEFORE_DROP_US,
        "listen/endpoints": list(listen),
        "listen/exit_on_failure": True,
        "connect/endpoints": list(peers),
        # For ever, and in the background: opening the session does not wait for peers that are not there yet.
        "connect/timeout_ms": -1,
        "connect/exit_on_failure": False,
        "connect/retry": {"period_init_ms": 500, "period_max_ms": 2_000, "period_increase_factor": 2},
        "transport/unicast/accept_timeout": 3_000,
        "transport/unicast/accept_pending": 100,
        "transport/unicast/max_sessions": 1_000,
        "transport/link/tls/listen_certificate": str(identity.certificate_path),
        "transport/link/tls/listen_private_key": str(identity.key_path),
        "transport/link/tls/connect_certificate": str(outgoing.certificate_path),
        "transport/link/tls/connect_private_key": str(outgoing.key_path),
    }
    return settings


def client_settings(endpoints: Sequence[str], credentials: Credentials, *, by_token: bool = False) -> dict[str, Any]:
    """Settings of a session that connects to the first zipper of `endpoints` that answers, and to nothing else.

    Args:
        by_token: show the token. A zipper that asks for certificates refuses whoever shows one.
    """
    settings = _shared(credentials, mutual=isinstance(credentials, Identity) and not by_token)
    settings |= {
        "mode": "client",
        "transport/link/tx/queue/congestion_control/drop/wait_before_drop": WAIT_BEFORE_DROP_US,
        "connect/endpoints": list(endpoints),
        # Anything but 0 never reaches the second endpoint; the caller repeats.
        "connect/timeout_ms": 0,
        "connect/exit_on_failure": True,
        "connect/retry": {"period_init_ms": 200, "period_max_ms": 2_000, "period_increase_factor": 2},
        "listen/endpoints": [],
    }
    if by_token and credentials.token is not None:
        settings |= _proof(credentials.token)
    elif isinstance(credentials, Identity):
        settings |= {
            "transport/link/tls/connect_certificate": str(credentials.certificate_path),
            "transport/link/tls/connect_private_key": str(credentials.key_path),
        }
    return settings


def _proof(token: Token) -> dict[str, Any]:
    # zenoh shows both in the text of a configuration, which therefore is written nowhere.
    return {"transport/auth/usrpwd/user": token.name, "transport/auth/usrpwd/password": token.password}


def _shared(credentials: Credentials, *, mutual: bool) -> dict[str, Any]:
    return {
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "transport/unicast/open_timeout": OPEN_TIMEOUT_MS,
        "transport/link/protocols": ["quic", "tls"],
        "transport/link/tx/lease": LEASE_MS,
        "transport/link/tx/queue/congestion_control/block/wait_before_close": WAIT_BEFORE_CLOSE_US,
        "transport/link/rx/max_message_size": MAX_MESSAGE_BYTES,
        "transport/link/tls/root_ca_certificate": str(credentials.ca_pem_path),
        "transport/link/tls/enable_mtls": mutual,
        "transport/link/tls/verify_name_on_connect": True,
        "transport/link/tls/close_link_on_expiration": True,
        # With it on, payloads between processes of one host would bypass QUIC.
        "transport/shared_memory/enabled": False,
        "adminspace/enabled": False,
    }
