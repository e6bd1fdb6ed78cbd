"""A bad line, made of UDP: between a client and a zipper, with delay, loss, a rate and a buffer, or cut.

`Relay` forwards datagrams from a port of its own on 127.0.0.1 to a target, on one thread. Each client gets a socket of
its own towards the target, as behind a home router, so that answers find their way back. It knows nothing of QUIC.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import random
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

Endpoint = tuple[str, int]
# Larger than any datagram.
_DATAGRAM_BYTES = 65_536
# What the kernel keeps for us while the thread is busy; a line of 50 Mbit/s fills it in half a second.
_SOCKET_BUFFER_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """What one direction does to datagrams.

    Attributes:
        delay_s: time on the way, besides that for sending and waiting.
        loss: share of datagrams that vanish, 0 to 1.
        rate_bits: bits per second; 0: no limit.
        queue_bytes: what may wait for its turn on a line with a rate; a datagram that finds no room vanishes.
    """

    delay_s: float = 0.0
    loss: float = 0.0
    rate_bits: float = 0.0
    # 512 KiB: 80 ms at 50 Mbit/s, what a household's uplink has and more.
    queue_bytes: int = 512 * 1024


@dataclass(slots=True)
class Passage:
    """Decides for each datagram of one direction when it arrives. Pure: time and chance are given."""

    line: Line
    dropped: int = 0
    _free_at: float = 0.0

    def arrival(self, size: int, now: float, chance: float) -> float | None:
        """When a datagram of `size` bytes that is sent at `now` arrives; None: it vanishes.

        Args:
            chance: 0 to 1, equally likely; below the share of loss the datagram vanishes.
        """
        line = self.line
        starts = max(now, self._free_at)
        if chance < line.loss or (line.rate_bits and (starts - now) * line.rate_bits / 8 + size > line.queue_bytes):
            self.dropped += 1
            return None
        if line.rate_bits:
            self._free_at = starts = starts + size * 8 / line.rate_bits
        return starts + line.delay_s


@dataclass(order=True, slots=True)
class _Flying:
    arrives: float
    number: int
    send: Callable[[], object] = field(compare=False)


class Relay:
    """One line to `target`, open from the start; `address` is where clients connect.

    Args:
        target: port on 127.0.0.1, or address and port.
        up: from clients to the target.
        down: back; None: like `up`.
        seed: of the chance by which datagrams are lost.
    """

    def __init__(
        self, target: int | Endpoint, up: Line | None = None, down: Line | None = None, *, seed: int = 1
    ) -> None:
        up = up or Line()
        self._target: Endpoint = ("127.0.0.1", target) if isinstance(target, int) else target
        self.up, self.down = Passage(up), Passage(down or replace(up))
        self._random = random.Random(seed)
        self._numbers = itertools.count()
        self._flying: list[_Flying] = []
        self._cut = False
        self._closed = False
        self._selector = selectors.DefaultSelector()
        self._front = _socket(("127.0.0.1", 0))
        self._selector.register(self._front, selectors.EVENT_READ)
        self._backs: dict[Endpoint, socket.socket] = {}
        self._clients: dict[socket.socket, Endpoint] = {}
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._front.getsockname()[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Let nothing through, what is on its way included."""
        self._cut = True

    def mend(self) -> None:
        """Let datagrams through again."""
        self._cut = False

    def close(self) -> None:
        """Idempotent."""
        self._closed = True
        self._thread.join(10)
        for used in (self._front, *self._clients):
            used.close()
        self._selector.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- its thread

    def _run(self) -> None:
        while not self._closed:
            now = time.monotonic()
            while self._flying and self._flying[0].arrives <= now:
                flying = heapq.heappop(self._flying)
                if not self._cut:
                    with contextlib.suppress(OSError):  # the other side is gone, which is no concern of a line's
                        flying.send()
            wait = self._flying[0].arrives - now if self._flying else 0.05
            for key, _ in self._selector.select(min(max(wait, 0.0), 0.05)):
                self._drain(key.fileobj)  # type: ignore[arg-type]

    def _drain(self, ready: socket.socket) -> None:
        for _ in range(64):
            try:
                data, peer = ready.recvfrom(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError:  # "connection refused", reported by the kernel for an earlier datagram
                continue
            if ready is self._front:
                back = self._back_of(peer)
                self._carry(self.up, data, lambda back=back, data=data: back.send(data))
            else:
                client = self._clients[ready]
                self._carry(self.down, data, lambda client=client, data=data: self._front.sendto(data, client))

    def _carry(self, passage: Passage, data: bytes, send: Callable[[], object]) -> None:
        arrives = passage.arrival(len(data), time.monotonic(), self._random.random())
        if arrives is not None and not self._cut:
            heapq.heappush(self._flying, _Flying(arrives, next(self._numbers), send))

    def _back_of(self, client: Endpoint) -> socket.socket:
        back = self._backs.get(client)
        if back is None:
            back = self._backs[client] = _socket(("0.0.0.0", 0))
            back.connect(self._target)
            self._clients[back] = client
            self._selector.register(back, selectors.EVENT_READ)
        return back


def _socket(address: Endpoint) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BUFFER_BYTES)
    made.bind(address)
    return made
