"""Which frames of a stream never came. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from nearfield.frame import Frame

# Frames that come late come within seconds; a camera makes 256 in eight.
REMEMBERED_GAPS = 256
REMEMBERED_STREAMS = 1_000


@dataclass(slots=True)
class _Stream:
    """Numbers below `next` have come, or are missing."""

    next: int
    missing: OrderedDict[int, None] = field(default_factory=OrderedDict)


class Gaps:
    """Counts the numbers that are left out between the first frame of a stream and its latest.

    Of each stream the latest `REMEMBERED_GAPS` missing numbers are remembered, of the latest `REMEMBERED_STREAMS`
    streams: a frame that comes after those is counted as missing for good.

    Attributes:
        missing: of all streams and tags together.
    """

    def __init__(self) -> None:
        self.missing = 0
        self._streams: OrderedDict[tuple[str, int, int], _Stream] = OrderedDict()

    def note(self, frame: Frame) -> None:
        """A frame came. Those that a function addressed to a source are passed over: their numbers are another's."""
        header = frame.header
        if header.is_addressed:
            return
        key = frame.origin, header.stream, header.tag
        stream = self._streams.get(key)
        if stream is None:
            self._streams[key] = _Stream(header.sequence + 1)
            if len(self._streams) > REMEMBERED_STREAMS:
                self._streams.popitem(last=False)
            return
        self._streams.move_to_end(key)
        if header.sequence == stream.next:
            stream.next += 1
        elif header.sequence > stream.next:
            self._skip(stream, header.sequence)
        elif header.sequence in stream.missing:
            del stream.missing[header.sequence]
            self.missing -= 1

    def _skip(self, stream: _Stream, sequence: int) -> None:
        self.missing += sequence - stream.next
        for number in range(max(stream.next, sequence - REMEMBERED_GAPS), sequence):
            stream.missing[number] = None
        while len(stream.missing) > REMEMBERED_GAPS:
            stream.missing.popitem(last=False)
        stream.next = sequence + 1
