"""Whether an address can be listened on, asked of the kernel, since zenoh's own errors do not say."""

from __future__ import annotations

import errno
import socket

from nearfield.errors import ConfigError
from nearfield.transport.address import Address

_REASONS = {
    errno.EADDRINUSE: ("the port is in use", "is another zipper running? choose another with --port"),
    errno.EACCES: ("not permitted", "ports below 1024 need privileges; choose a higher one with --port"),
    errno.EADDRNOTAVAIL: ("this machine has no such address", "use 0.0.0.0 for all of its addresses"),
}


def check_listenable(address: Address) -> None:
    """Bind `address` for a moment, over UDP for QUIC and over TCP for TLS, and let it go.

    Raises:
        ConfigError: it cannot be bound; exit code 2.
    """
    for kind, protocol in ((socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")):
        try:
            family, _, _, _, target = socket.getaddrinfo(
                address.host, address.port, type=kind, flags=socket.AI_PASSIVE
            )[0]
        except socket.gaierror as error:
            raise ConfigError(f"cannot resolve the host: {error.strerror}", where=f"listen on {address}") from error
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # As zenoh's listener does: connections of an earlier zipper that linger do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(target)
            except OSError as error:
                reason, hint = _REASONS.get(error.errno or 0, ((error.strerror or str(error)).lower(), None))
                raise ConfigError(f"{reason} ({protocol})", where=f"listen on {address}", hint=hint) from error
