"""Which frames were sent and did not arrive. Pure; the caller locks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

# Senders and tags that are remembered, and numbers of each that may come late still.
REMEMBERED_SENDERS = 4_096
REMEMBERED_ABSENT = 1_024


@dataclass(slots=True)
class _Heard:
    highest: int
    absent: dict[int, None] = field(default_factory=dict)


class Missing:
    """Looks for gaps in the numbers that senders give the frames of each tag.

    What was sent before the first frame that came is none of ours. A frame that comes late, or that is sent again, is
    not missing any more.

    Attributes:
        frames: that are missing at this moment.
    """

    def __init__(self) -> None:
        self.frames = 0
        self._heard: OrderedDict[tuple[int, int], _Heard] = OrderedDict()

    def note(self, tag: int, sender: int, count: int) -> None:
        """A frame came. `count` is 0 when its sender does not count."""
        if not count:
            return
        heard = self._heard.get((sender, tag))
        if heard is None:
            self._heard[sender, tag] = _Heard(count)
            if len(self._heard) > REMEMBERED_SENDERS:
                self._heard.popitem(last=False)
        elif count == heard.highest + 1:
            heard.highest = count
        elif count > heard.highest:
            self._miss(heard, count)
        elif heard.highest - count > 1 << 31:
            heard.highest = count  # it began anew after 2**32 - 1
        elif count in heard.absent:
            del heard.absent[count]
            self.frames -= 1

    def _miss(self, heard: _Heard, count: int) -> None:
        first = heard.highest + 1
        self.frames += count - first
        heard.highest = count
        heard.absent.update(dict.fromkeys(range(max(first, count - REMEMBERED_ABSENT), count)))
        while len(heard.absent) > REMEMBERED_ABSENT:
            del heard.absent[next(iter(heard.absent))]
