"""Sets of sequence numbers as ranges: nearly everything that is released is in one piece. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

# Of a set, when it does not fit: more than a source can tear apart with the frames that it has under way.
MAX_RANGES = 1_024
# Numbers that are never released, of frames that were replaced or that nobody observes, leave gaps for good.
HISTORY = 64

Range = tuple[int, int]
"""First and last number, both included."""


class RangeSet:
    """Numbers from 0 on. When there are too many ranges, the lowest is forgotten.

    Attributes:
        floor: the greatest number that was forgotten; -1: none was.
    """

    __slots__ = ("_firsts", "_lasts", "floor")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self.floor = -1

    def __len__(self) -> int:
        """Ranges."""
        return len(self._firsts)

    def __contains__(self, number: int) -> bool:
        place = bisect_right(self._firsts, number)
        return bool(place) and number <= self._lasts[place - 1]

    def add(self, number: int) -> None:
        """One more; adding it again changes nothing."""
        lasts = self._lasts
        if lasts and number == lasts[-1] + 1:
            lasts[-1] = number
            return
        self._insert(number)

    def ranges(self, since: int = 0) -> list[Range]:
        """Those that hold `since` or greater numbers, and the latest `HISTORY` in any case; ascending, with gaps."""
        lasts = self._lasts
        begin = max(0, min(len(lasts) - HISTORY, bisect_left(lasts, since)))
        return list(zip(self._firsts[begin:], lasts[begin:], strict=True))

    def _insert(self, number: int) -> None:
        firsts, lasts = self._firsts, self._lasts
        place = bisect_right(firsts, number)
        if place and number <= lasts[place - 1]:
            return
        follows = bool(place) and number == lasts[place - 1] + 1
        precedes = place < len(firsts) and number + 1 == firsts[place]
        if follows and precedes:
            lasts[place - 1] = lasts.pop(place)
            del firsts[place]
        elif follows:
            lasts[place - 1] = number
        elif precedes:
            firsts[place] = number
        else:
            firsts.insert(place, number)
            lasts.insert(place, number)
            if len(firsts) > MAX_RANGES:
                forgotten = 1 if place == 0 else 0
                self.floor = max(self.floor, lasts[forgotten])
                del firsts[forgotten], lasts[forgotten]


def within(numbers: Sequence[int], ranges: Sequence[Range]) -> list[int]:
    """Those of `numbers` that are in one of `ranges`, which ascend and do not overlap."""
    firsts = [first for first, _ in ranges]
    found = []
    for number in numbers:
        place = bisect_right(firsts, number)
        if place and number <= ranges[place - 1][1]:
            found.append(number)
    return found
