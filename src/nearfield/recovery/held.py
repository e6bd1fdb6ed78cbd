"""Frames that wait for earlier ones, where their order matters. Pure; the caller locks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from nearfield.frame.header import counted
from nearfield.transport import Payload

Arrival = tuple[str, Payload, bytes]
"""Key, payload and header of a frame that came."""

_Who = tuple[int, int]
"""Tag and sender."""


class Held:
    """Frames in the order in which a program is to have them.

    Attributes:
        bytes: of their payloads.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._arrivals: list[Arrival] = []
        self._late: list[Arrival] = []
        self._latest: dict[_Who, int] = {}  # counts

    def __len__(self) -> int:
        return len(self._arrivals) + len(self._late)

    def add(self, arrivals: Iterable[Arrival]) -> None:
        """Frames that came by themselves: behind all others, unless later ones with their tag are here already."""
        for arrival in arrivals:
            self.bytes += len(arrival[1])
            who, count = _counted(arrival)
            if count < self._latest.get(who, 0):
                self._late.append(arrival)
            else:
                self._latest[who] = count
                self._arrivals.append(arrival)

    def insert(self, recovered: Iterable[Arrival]) -> None:
        """Frames that others may have overtaken: before those with their tag of their sender that follow them.

        Those that none follows were sent before everything here, or after the latest of theirs.
        """
        recovered = list(recovered)
        self.bytes += sum(len(payload) for _, payload, _ in recovered)
        self._merge(recovered)

    def _merge(self, overtaken: Iterable[Arrival]) -> None:
        late: dict[_Who, deque[Arrival]] = {}
        for arrival in sorted(overtaken, key=_count_of):
            who, count = _counted(arrival)
            late.setdefault(who, deque()).append(arrival)
            self._latest[who] = max(count, self._latest.get(who, 0))
        merged: list[Arrival] = []
        behind = dict.fromkeys(late, 0)
        for arrival in self._arrivals:
            who, count = _counted(arrival)
            if who in late:
                while late[who] and _count_of(late[who][0]) < count:
                    merged.append(late[who].popleft())
                behind[who] = len(merged) + 1
            merged.append(arrival)
        for who in sorted(late, key=lambda who: behind[who], reverse=True):
            merged[behind[who] : behind[who]] = late[who]
        self._arrivals = merged

    def take(self) -> list[Arrival]:
        """All of them; they wait no longer."""
        if self._late:
            self._merge(self._late)
        arrivals, self.bytes = self._arrivals, 0
        self._arrivals, self._late, self._latest = [], [], {}
        return arrivals


def _counted(arrival: Arrival) -> tuple[_Who, int]:
    tag, _, sender, count = counted(arrival[2])
    return (tag, sender), count


def _count_of(arrival: Arrival) -> int:
    return _counted(arrival)[1]
