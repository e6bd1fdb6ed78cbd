"""Frames that wait for an instance: one line for each source, served in turn, so that none starves another."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic

from nearfield.zipper.item import NEVER_NS, Item, PayloadType


def has_little(waiting: int, count: int, origins: int) -> bool:
    """Whether an origin that has `waiting` frames may have more, of the last quarter of a room.

    That is kept for those that have fewer than others. One that was refused, and comes again after a while, would else
    always find it full of those that refill it at once.

    Args:
        count: frames that wait, of all origins.
        origins: that have any.
    """
    return waiting * (origins + 1) <= count


class Room:
    """Frames and bytes that wait, in all queues of a zipper together."""

    __slots__ = ("frames", "limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.frames = 0

    @property
    def is_exceeded(self) -> bool:
        """Whether something must give way. A single frame never must, however large."""
        return self.used_bytes > self.limit_bytes and self.frames > 1

    def fits(self, size: int) -> bool:
        """Whether another payload of so many bytes finds room. One that is alone does, however large."""
        return not self.frames or self.used_bytes + size <= self.limit_bytes

    def fits_easily(self, size: int) -> bool:
        """Whether it does in the first three quarters."""
        return not self.frames or 4 * (self.used_bytes + size) <= 3 * self.limit_bytes


class FairQueue(Generic[PayloadType]):
    """First in, first out for each origin, and round robin between origins.

    Each operation but `take` and `take_expired` costs the same for any number of frames and origins.

    Attributes:
        size_bytes: of the payloads that wait.
    """

    __slots__ = (
        "_by_length",
        "_count",
        "_lines",
        "_longest",
        "_may_expire",
        "_parked",
        "_parked_at",
        "_ring",
        "_room",
        "size_bytes",
    )

    def __init__(self, room: Room) -> None:
        self.size_bytes = 0
        self._room = room
        self._count = 0
        # Origins with waiting frames only; the ring has their order, the first is served next.
        self._lines: dict[str, deque[Item[PayloadType]]] = {}
        self._ring: OrderedDict[str, None] = OrderedDict()
        # Origins with waiting frames that are out of turn for now, by what they wait for.
        self._parked: dict[object, dict[str, None]] = {}
        self._parked_at: dict[str, object] = {}
        # Origins by the number of their waiting frames, to find a longest line at once.
        self._by_length: dict[int, dict[str, None]] = {}
        self._longest = 0
        self._may_expire = False

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item[PayloadType]]:
        for line in self._lines.values():
            yield from line

    def waiting(self, origin: str) -> int:
        """Frames of one origin that wait."""
        line = self._lines.get(origin)
        return 0 if line is None else len(line)

    @property
    def origins(self) -> int:
        """How many have frames that wait."""
        return len(self._lines)

    def push(self, item: Item[PayloadType]) -> None:
        """Add a frame behind those of its origin. An origin that had none waiting comes last in turn."""
        line = self._lines.get(item.origin)
        if line is None:
            line = self._lines[item.origin] = deque()
            self._ring[item.origin] = None
        line.append(item)
        self._entered(item, len(line))

    def push_front(self, item: Item[PayloadType]) -> None:
        """Give a frame back: before those of its origin. An origin that had none waiting comes first in turn."""
        line = self._lines.get(item.origin)
        if line is None:
            line = self._lines[item.origin] = deque()
            self._ring[item.origin] = None
            self._ring.move_to_end(item.origin, last=False)
        line.appendleft(item)
        self._entered(item, len(line))

    def park(self, cause: object) -> None:
        """Take the origin whose turn it is out of turn until `unpark(cause)`. Not when there is none."""
        origin, _ = self._ring.popitem(last=False)
        self._parked.setdefault(cause, {})[origin] = None
        self._parked_at[origin] = cause

    def unpark(self, cause: object) -> None:
        """It is the turn of those origins again that were parked for `cause`, before all others."""
        origins = self._parked.pop(cause, None)
        if origins is None:
            return
        for origin in reversed(origins):
            del self._parked_at[origin]
            self._ring[origin] = None
            self._ring.move_to_end(origin, last=False)

    def head(self) -> Item[PayloadType] | None:
        """The frame whose turn it is: the oldest of the origin whose turn it is."""
        for origin in self._ring:
            return self._lines[origin][0]
        return None

    def pop(self) -> Item[PayloadType]:
        """Take the frame whose turn it is; its origin comes last in turn now. Not when there is none."""
        origin = next(iter(self._ring))
        line = self._lines[origin]
        item = line.popleft()
        if line:
            self._ring.move_to_end(origin)
        self._left(item, line)
        return item

    def discard(self) -> Item[PayloadType]:
        """Take the frame whose turn it is, without using up its origin's turn. Not when there is none."""
        line = self._lines[next(iter(self._ring))]
        item = line.popleft()
        self._left(item, line)
        return item

    def pop_oldest_of_longest(self) -> Item[PayloadType]:
        """Take the oldest frame of the origin with most waiting. Its turn stays. Not when there is none.

        Of several, the one whose number of waiting frames changed longest ago.
        """
        line = self._lines[next(iter(self._by_length[self._longest]))]
        item = line.popleft()
        self._left(item, line)
        return item

    def take_expired(self, now_ns: int) -> list[Item[PayloadType]]:
        """Take every frame that nobody wants any more. Looks at all of them, if any can expire."""
        return self.take(lambda item: item.expires_ns <= now_ns) if self._may_expire else []

    def take(self, is_wanted: Callable[[Item[PayloadType]], bool]) -> list[Item[PayloadType]]:
        """Take every frame that `is_wanted`. Looks at all of them."""
        taken = [item for item in self if is_wanted(item)]
        chosen = set(map(id, taken))
        for origin in {item.origin: None for item in taken}:
            line = self._lines[origin]
            for _ in range(len(line)):  # once around, so that those which stay keep their order
                item = line.popleft()
                line.append(item)
                if id(item) in chosen:
                    line.pop()
                    self._left(item, line)
        return taken

    def _entered(self, item: Item[PayloadType], length: int) -> None:
        self._count += 1
        self.size_bytes += item.size
        self._room.used_bytes += item.size
        self._room.frames += 1
        if item.expires_ns != NEVER_NS:
            self._may_expire = True
        self._resize(item.origin, length - 1, length)
        if length > self._longest:
            self._longest = length

    def _left(self, item: Item[PayloadType], line: deque[Item[PayloadType]]) -> None:
        self._count -= 1
        self.size_bytes -= item.size
        self._room.used_bytes -= item.size
        self._room.frames -= 1
        self._resize(item.origin, len(line) + 1, len(line))
        if not self._by_length.get(self._longest):
            self._longest -= 1
        if not line:
            self._remove_line(item.origin)
            self._may_expire = self._may_expire and bool(self._count)

    def _remove_line(self, origin: str) -> None:
        del self._lines[origin]
        if origin in self._ring:
            del self._ring[origin]
            return
        cause = self._parked_at.pop(origin)
        del self._parked[cause][origin]
        if not self._parked[cause]:
            del self._parked[cause]

    def _resize(self, origin: str, before: int, after: int) -> None:
        if before:
            origins = self._by_length[before]
            del origins[origin]
            if not origins:
                del self._by_length[before]
        if after:
            self._by_length.setdefault(after, {})[origin] = None
