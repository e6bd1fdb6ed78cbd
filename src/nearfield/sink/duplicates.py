"""Which frames came before. Pure."""

from __future__ import annotations

from collections import OrderedDict

from nearfield.frame import Frame

# Repetitions come from windows of at most 64 frames and queues of some thousand, within seconds; 16,384 frames are
# nine minutes of a camera, and some 4 MB here.
REMEMBERED_FRAMES = 16_384

Identity = tuple[str, int, int, int, int]


def identity_of(frame: Frame) -> Identity:
    """(origin, stream, sequence, tag, part): what stays the same when a frame is sent or made once more."""
    header = frame.header
    return frame.origin, header.stream, header.sequence, header.tag, header.part


class Duplicates:
    """Remembers the latest frames, so many at most.

    Attributes:
        capacity: frames remembered; one that comes again after so many others is taken for new.
    """

    def __init__(self, capacity: int = REMEMBERED_FRAMES) -> None:
        self.capacity = capacity
        self._seen: OrderedDict[Identity, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def is_new(self, frame: Frame) -> bool:
        """Whether this frame did not come before; it has from now on."""
        identity = identity_of(frame)
        if identity in self._seen:
            self._seen.move_to_end(identity)
            return False
        self._seen[identity] = None
        if len(self._seen) > self.capacity:
            self._seen.popitem(last=False)
        return True
