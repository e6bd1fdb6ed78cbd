"""What a sender published lately. Pure; the caller locks."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from operator import attrgetter

import msgspec

from nearfield.frame.ranges import Range

# A connection that is cut is back after seconds; a sink that stood still for longer missed what it missed.
KEEP_NS = 30_000_000_000
KEEP_FRAMES = 16_384
KEEP_BYTES = 16 * 2**20
# What a frame takes beside its payload, about.
FRAME_BYTES = 512
# Of the payloads in one answer, unless it is a single frame.
ANSWER_BYTES = 64 * 1_024

_count = attrgetter("count")


class KeptFrame(msgspec.Struct, frozen=True, gc=False):
    """One frame as it was published.

    Attributes:
        count: that its sender gave it, among those with its tag.
        header: encoded.
        published_ns: monotonic.
    """

    tag: int
    count: int
    origin: str
    header: bytes
    payload: bytes
    published_ns: int


class Kept:
    """The latest frames of one sender, by tag; the oldest make room, whatever their tag.

    Args:
        max_frames: kept at most.
        max_bytes: of their payloads, and `FRAME_BYTES` for each; the latest is kept in any case.
        keep_ns: for how long.
    """

    def __init__(self, max_frames: int = KEEP_FRAMES, max_bytes: int = KEEP_BYTES, keep_ns: int = KEEP_NS) -> None:
        self._max_frames, self._max_bytes, self._keep_ns = max_frames, max_bytes, keep_ns
        self._bytes = 0
        self._frames: deque[KeptFrame] = deque()
        self._by_tag: dict[int, deque[KeptFrame]] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: KeptFrame) -> None:
        """Keep one more. One that is here already is not kept again; threads may overtake each other a little."""
        of_tag = self._by_tag.get(frame.tag)
        if of_tag is None:
            self._by_tag[frame.tag] = deque([frame])
        elif frame.count > of_tag[-1].count:
            of_tag.append(frame)
        elif of_tag[-1].count - frame.count > 1 << 31:  # it began anew after 2**32 - 1
            self._forget_tag(frame.tag)
            self._by_tag[frame.tag] = deque([frame])
        else:
            place = bisect_left(of_tag, frame.count, key=_count)
            if of_tag[place].count == frame.count:
                return
            of_tag.insert(place, frame)
        self._frames.append(frame)
        self._bytes += len(frame.payload) + FRAME_BYTES
        while len(self._frames) > 1 and (len(self._frames) > self._max_frames or self._bytes > self._max_bytes):
            self._forget_oldest()

    def expire(self, now_ns: int) -> None:
        """Forget what was kept for long enough."""
        while self._frames and now_ns - self._frames[0].published_ns > self._keep_ns:
            self._forget_oldest()

    def latest(self) -> list[KeptFrame]:
        """Of each tag the latest frame."""
        return [of_tag[-1] for of_tag in self._by_tag.values()]

    def find(self, tag: int, counts: Sequence[Range], since_ns: int) -> tuple[list[KeptFrame], int]:
        """Frames with these counts that were published at `since_ns` or later, as many as fit into one answer.

        Args:
            counts: ascending ranges that do not overlap; at least one.

        Returns:
            The frames, ascending, and up to which count these are all that there are.
        """
        of_tag = list(self._by_tag.get(tag, ()))
        found: list[KeptFrame] = []
        place = size = 0
        for first, last in counts:
            place = bisect_left(of_tag, first, lo=place, key=_count)
            while place < len(of_tag) and (frame := of_tag[place]).count <= last:
                place += 1
                if frame.published_ns < since_ns:
                    continue
                size += len(frame.payload) + FRAME_BYTES
                if found and size > ANSWER_BYTES:
                    return found, found[-1].count
                found.append(frame)
        return found, counts[-1][1]

    def _forget_oldest(self) -> None:
        frame = self._frames.popleft()
        self._bytes -= len(frame.payload) + FRAME_BYTES
        of_tag = self._by_tag[frame.tag]
        if of_tag[0] is frame:
            of_tag.popleft()
        else:  # one of the first: threads overtook each other
            of_tag.remove(frame)
        if not of_tag:
            del self._by_tag[frame.tag]

    def _forget_tag(self, tag: int) -> None:
        self._bytes -= sum(len(frame.payload) + FRAME_BYTES for frame in self._by_tag.pop(tag))
        self._frames = deque(frame for frame in self._frames if frame.tag != tag)
