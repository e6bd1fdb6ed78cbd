"""What the zipper remembers of each source: which frames it has, and which the source may forget."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from nearfield.frame.ranges import Range, RangeSet
from nearfield.zipper.item import NEVER_NS

MAX_STREAMS = 10_000
# Of all streams together, about 100 bytes each. A stream has few, unless its frames come with gaps.
MAX_RANGES = 1_000_000
# News waits for more news as long as a source has much else under way, but not longer.
LINGER_NS = 2_000_000
# Streams that are looked at to find one that can be forgotten.
FORGET_TRIES = 16


@dataclass(slots=True, eq=False)
class Stream:
    """One incarnation of one source.

    Attributes:
        held: frames that some group still has to finish before the source may forget them, with the number of groups.
        released: sequence numbers that the source may forget.
        unacknowledged: where a stream with news for its source enters itself, once.
        since_ns: monotonic, since when news waits; 0: none does.
    """

    origin: str
    stream: int
    unacknowledged: list[Stream]
    held: dict[int, int] = field(default_factory=dict)
    released: RangeSet = field(default_factory=RangeSet)
    since_ns: int = 0
    _news: int = 0
    _oldest_news: int = 0

    def is_new(self, sequence: int) -> bool:
        """Whether this frame was not admitted before. One that was, and is released, is acknowledged again.

        What is older than everything remembered counts as admitted: no source has so much under way.
        """
        if sequence in self.held:
            return False
        if sequence <= self.released.floor or sequence in self.released:
            self._release(sequence)
            return False
        return True

    def admit(self, sequence: int, groups: int) -> None:
        """Take a new frame in: its source may forget it when so many groups have settled it; none: at once."""
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
        self.released.add(sequence)
        if not self._news:
            self.unacknowledged.append(self)
            self._oldest_news = sequence
        elif sequence < self._oldest_news:
            self._oldest_news = sequence
        self._news += 1

    def is_due(self, now_ns: int) -> bool:
        """Whether to tell the source now: a quarter of what it had under way is news, or that waited long enough."""
        if 3 * self._news >= len(self.held):
            return True
        self.since_ns = self.since_ns or now_ns
        return now_ns - self.since_ns >= LINGER_NS

    def acknowledge(self) -> list[Range]:
        """What to tell the source now."""
        self._news = self.since_ns = 0
        return self.released.ranges(self._oldest_news)


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

    @property
    def due_ns(self) -> int:
        """When `take_unacknowledged` is to be called again though nothing else happens, monotonic."""
        return min((stream.since_ns for stream in self._unacknowledged), default=NEVER_NS - LINGER_NS) + LINGER_NS

    def take_unacknowledged(self, now_ns: int) -> list[Stream]:
        """Streams whose source should now be told what is new."""
        if not self._unacknowledged:
            return []
        due: list[Stream] = []
        later: list[Stream] = []
        for stream in self._unacknowledged:
            (due if stream.is_due(now_ns) else later).append(stream)
        self._unacknowledged[:] = later
        return due

    def tidy(self) -> None:
        """Keep the bound on ranges. Looks at all streams; to be called about twice a second."""
        excess = sum(len(entry.released) for entry in self._streams.values()) - MAX_RANGES
        while excess > 0 and (forgotten := self._forget_one()) is not None:
            excess -= len(forgotten.released)

    def _forget_one(self) -> Stream | None:
        """The least recently used one that holds nothing. None: it is not among the next few."""
        for _ in range(min(len(self._streams), FORGET_TRIES)):
            key, entry = self._streams.popitem(last=False)
            if not entry.held:
                return entry
            # Behind the others, so that the next time does not look at it again.
            self._streams[key] = entry
        return None
