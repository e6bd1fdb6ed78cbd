"""What the zipper remembers of each source: which frames it has, and which the source may forget."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from nearfield.frame.control import ACK_HISTORY

# A source re-sends at most its window (tens of frames) after a reconnect; this is far beyond it.
DUPLICATE_WINDOW = 4_096
MAX_STREAMS = 10_000


@dataclass(slots=True)
class Stream:
    """One incarnation of one source.

    Attributes:
        held: frames that some group still has to finish before the source may forget them, with the number of groups.
        released: the latest sequence numbers that the source may forget, oldest first.
        unacknowledged: where a stream with news for its source enters itself, once.
    """

    origin: str
    stream: int
    unacknowledged: list[Stream]
    held: dict[int, int] = field(default_factory=dict)
    released: deque[int] = field(default_factory=lambda: deque(maxlen=ACK_HISTORY))
    _has_news: bool = False
    _seen: OrderedDict[int, None] = field(default_factory=OrderedDict)
    _floor: int = -1

    def is_new(self, sequence: int) -> bool:
        """Whether this frame was not admitted before. One that was, and is released, is acknowledged again."""
        if sequence <= self._floor or sequence in self._seen:
            if sequence not in self.held:
                self._release(sequence)
            return False
        return True

    def admit(self, sequence: int, groups: int) -> None:
        """Take a new frame in: its source may forget it when so many groups have settled it; none: at once."""
        self._seen[sequence] = None
        if len(self._seen) > DUPLICATE_WINDOW:
            oldest, _ = self._seen.popitem(last=False)
            self._floor = max(self._floor, oldest)
        if groups:
            self.held[sequence] = groups
        else:
            self._release(sequence)

    def settle(self, sequence: int) -> None:
        """One group is through with a held frame."""
        remaining = self.held.get(sequence)
        if remaining is None:
            return
        if remaining > 1:
            self.held[sequence] = remaining - 1
        else:
            del self.held[sequence]
            self._release(sequence)

    def _release(self, sequence: int) -> None:
        self.released.append(sequence)
        if not self._has_news:
            self._has_news = True
            self.unacknowledged.append(self)

    def acknowledge(self) -> list[int]:
        """The sequence numbers to tell the source now, oldest first."""
        self._has_news = False
        return list(self.released)


class Streams:
    """All streams seen, the least recently used forgotten beyond `MAX_STREAMS` (those that hold frames are kept)."""

    def __init__(self) -> None:
        self._streams: OrderedDict[tuple[str, int], Stream] = OrderedDict()
        self._unacknowledged: list[Stream] = []

    def of(self, origin: str, stream: int) -> Stream:
        """The entry of a source's incarnation, made when new."""
        key = (origin, stream)
        entry = self._streams.get(key)
        if entry is None:
            if len(self._streams) >= MAX_STREAMS:
                self._forget_one()
            entry = self._streams[key] = Stream(origin, stream, self._unacknowledged)
        else:
            self._streams.move_to_end(key)
        return entry

    def find(self, origin: str, stream: int) -> Stream | None:
        return self._streams.get((origin, stream))

    def take_unacknowledged(self) -> list[Stream]:
        """Streams with news for their source since the last call."""
        due = list(self._unacknowledged)
        self._unacknowledged.clear()
        return due

    def _forget_one(self) -> None:
        for key, entry in self._streams.items():
            if not entry.held:
                del self._streams[key]
                return
