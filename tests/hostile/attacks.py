"""What strangers can do to a port, and what the kernel says of the process behind it."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from nearfield.transport.quic_initial import initial_packet

# The beginning of a ClientHello: enough to begin a handshake, too few to answer.
UNFINISHED = b"\x01\x00"
# Pauses, so that the receive buffer of the socket holds what is sent meanwhile.
_PAUSE_EVERY, _PAUSE_S = 20, 0.002


def begin_handshakes(port: int, count: int = 1) -> None:
    """Send first packets of QUIC clients, each of its own, that say nothing more."""
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        for number in range(count):
            sender.sendto(initial_packet(UNFINISHED), ("127.0.0.1", port))
            if number % _PAUSE_EVERY == _PAUSE_EVERY - 1:
                time.sleep(_PAUSE_S)


@contextlib.contextmanager
def unfinished_handshake(port: int) -> Iterator[None]:
    """One that is begun, and given up when this is left; a listener that waited for it goes on then."""
    connection = os.urandom(8)
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(initial_packet(UNFINISHED, connection=connection), ("127.0.0.1", port))
        yield
        # With what came before, no ClientHello.
        sender.sendto(initial_packet(bytes(4), connection=connection, number=1), ("127.0.0.1", port))


@contextlib.contextmanager
def silent_connections(port: int, count: int) -> Iterator[None]:
    """Open TCP connections on which nothing is said."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        yield


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a process at one moment."""

    memory_mb: float
    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Self:
        root = Path("/proc") / str(pid)
        status = dict(line.split(":", 1) for line in (root / "status").read_text().splitlines() if ":" in line)
        return cls(
            int(status["VmRSS"].split()[0]) / 1024, int(status["Threads"]), sum(1 for _ in (root / "fd").iterdir())
        )
