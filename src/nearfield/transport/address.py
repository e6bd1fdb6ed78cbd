"""Addresses of zippers as people write them: `localhost:9900`, `[::1]:9900`, `quic/site-b.example:9900`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nearfield.errors import UsageError

DEFAULT_PORT = 9900


@dataclass(frozen=True, slots=True)
class Address:
    """Host name or IP address without brackets, and a port from 0 to 65535 (0: any free port, when listening)."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def quic(self) -> str:
        """Zenoh endpoint, QUIC with TLS 1.3."""
        return f"quic/{self}"

    @property
    def tls(self) -> str:
        """Zenoh endpoint, TLS over TCP on the same port number."""
        return f"tls/{self}"


def parse_address(text: str) -> Address:
    """Read `host`, `host:port`, `[v6]:port`, each with or without a leading `quic/`.

    Raises:
        UsageError: another protocol (nothing but QUIC is offered), no host, or a port outside 1 to 65535.
    """
    rest = text.strip()
    protocol, slash, tail = rest.partition("/")
    if slash:
        if protocol != "quic":
            raise UsageError(f"address: got `{text}`, expected `host:port` or `quic/host:port`; frames go over QUIC")
        rest = tail
    if rest.startswith("["):
        host, bracket, after = rest[1:].partition("]")
        if not bracket or after[:1] not in ("", ":"):
            host = ""  # not closed, or something else than a port behind it
        port_text = after.removeprefix(":") if after else str(DEFAULT_PORT)
    elif rest.count(":") > 1:
        host, port_text = rest, str(DEFAULT_PORT)
    else:
        host, colon, port_text = rest.partition(":")
        port_text = port_text if colon else str(DEFAULT_PORT)
    if not host or any(c.isspace() or c in "/?#[]" for c in host):
        raise UsageError(f"address: got `{text}`, expected `host:port`, such as localhost:{DEFAULT_PORT}")
    if not re.fullmatch("[0-9]{1,5}", port_text) or not 1 <= int(port_text) <= 65535:
        raise UsageError(f"address: got port `{port_text}` in `{text}`, expected 1 to 65535")
    return Address(host, int(port_text))
