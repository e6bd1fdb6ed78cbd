"""The floor: a datagram to another process and back, in Python, without encryption, order or repair."""

from __future__ import annotations

import socket
import threading
from typing import Any

from benchmarks.route.traffic import Arrivals, pace

# The largest payload of a datagram over IPv4.
MAX_BYTES = 65_507


class Echo:
    """Sends back what it gets."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._socket.sendto(*self._socket.recvfrom(MAX_BYTES))

    def close(self) -> None:
        """The thread ends with the process."""


class Pinger(Arrivals):
    """Sends datagrams, and waits for each to come back before the next: the age of an arrival is a round trip."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.settimeout(1.0)
        self._socket.connect(("127.0.0.1", port))

    def pace(self, **run: Any) -> int:
        """See `traffic.pace`."""
        return pace(self._there_and_back, **run)

    def _there_and_back(self, payload: bytes) -> None:
        self._socket.send(payload)
        self.note(self._socket.recv(MAX_BYTES))

    def close(self) -> None:
        self._socket.close()
