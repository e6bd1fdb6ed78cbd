"""How another zipper is named in a workflow."""

from __future__ import annotations

import re

_PEER = re.compile(r"(quic/)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9.\-]*):(?P<port>[0-9]{1,5})", re.ASCII)


def peer_problem(peer: str) -> str | None:
    """Why `peer` is no zipper's address, or None when it has the form `quic/host:port` or `host:port`."""
    match = _PEER.fullmatch(peer)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        return f"got `{peer}`, expected `host:port` or `quic/host:port` with a port from 1 to 65535"
    return None
