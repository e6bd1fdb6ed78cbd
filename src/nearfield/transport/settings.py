"""The zenoh configuration as plain data: what we set, and why. No I/O.

Figures are from our measurements with zenoh 1.10.2 (docs/adr/0002).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nearfield.transport.certificates import Identity

# A dead peer over QUIC is noticed by its lease only: 2 s was seen within 1.5 s, the default of 10 s within 9.5 s.
LEASE_MS = 2_000
# A session that cannot be opened within this time is tried again, or at the next address.
OPEN_TIMEOUT_MS = 1_500
# How long a full queue towards one peer may hold up the router before that peer is cut off; zenoh's default is 5 s.
WAIT_BEFORE_CLOSE_US = 500_000
# How long a frame waits for the one before it to get into the queue, else it is lost. zenoh's default of 1 ms loses up
# to 1 % of small frames on a busy two-core machine, 5 ms still some, 20 ms next to none. The time above bounds what a
# frozen peer costs.
WAIT_BEFORE_DROP_US = 50_000
# zenoh drops larger messages without a word, so this must exceed every payload limit that we check ourselves.
MAX_MESSAGE_BYTES = 256 * 1024 * 1024


def router_settings(
    listen: Sequence[str], identity: Identity, peers: Sequence[str] = (), client: Identity | None = None
) -> dict[str, Any]:
    """Settings of a zipper's session: a full router with mutual TLS.

    Args:
        listen: endpoints to listen on.
        identity: presented to those that connect.
        peers: endpoints of other routers to connect to, again and again until they answer.
        client: presented to these; None: `identity` as well.
    """
    outgoing = client or identity
    settings = _shared(identity)
    settings |= {
        "mode": "router",
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


def client_settings(endpoints: Sequence[str], identity: Identity) -> dict[str, Any]:
    """Settings of a session that connects to the first zipper of `endpoints` that answers, and to nothing else."""
    settings = _shared(identity)
    settings |= {
        "mode": "client",
        "connect/endpoints": list(endpoints),
        # Anything but 0 never reaches the second endpoint; the caller repeats.
        "connect/timeout_ms": 0,
        "connect/exit_on_failure": True,
        "connect/retry": {"period_init_ms": 200, "period_max_ms": 2_000, "period_increase_factor": 2},
        "listen/endpoints": [],
        "transport/link/tls/connect_certificate": str(identity.certificate_path),
        "transport/link/tls/connect_private_key": str(identity.key_path),
    }
    return settings


def _shared(identity: Identity) -> dict[str, Any]:
    return {
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "transport/unicast/open_timeout": OPEN_TIMEOUT_MS,
        "transport/link/protocols": ["quic", "tls"],
        "transport/link/tx/lease": LEASE_MS,
        "transport/link/tx/queue/congestion_control/block/wait_before_close": WAIT_BEFORE_CLOSE_US,
        "transport/link/tx/queue/congestion_control/drop/wait_before_drop": WAIT_BEFORE_DROP_US,
        "transport/link/rx/max_message_size": MAX_MESSAGE_BYTES,
        "transport/link/tls/root_ca_certificate": str(identity.ca_pem_path),
        "transport/link/tls/enable_mtls": True,
        "transport/link/tls/verify_name_on_connect": True,
        "transport/link/tls/close_link_on_expiration": True,
        # With it on, payloads between processes of one host would bypass QUIC.
        "transport/shared_memory/enabled": False,
        "adminspace/enabled": False,
    }
