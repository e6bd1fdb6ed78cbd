"""The source's window: how many frames may be on their way to the zipper. Pure; the caller locks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nearfield.frame import Header
from nearfield.frame.ranges import Range, within

# First wait before an unacknowledged frame is sent again; it doubles each time up to the maximum.
RESEND_AFTER_NS = 1_000_000_000
RESEND_AFTER_MAX_NS = 8_000_000_000


@dataclass(slots=True)
class OutgoingFrame:
    """A frame that the source keeps until it is released.

    Attributes:
        offered_ns: monotonic, when the program gave it, which is the header's `sent_ns` on the wall clock.
        count: among those sent with its tag; set when it is sent for the first time.
    """

    header: Header
    payload: bytes
    offered_ns: int = 0
    count: int = 0


@dataclass(slots=True)
class _Sent:
    frame: OutgoingFrame
    sent_ns: int
    resend_after_ns: int


class Window:
    """Frames sent and not yet released, oldest first.

    Attributes:
        capacity: frames at most.
        max_bytes: of their payloads, unless it is a single frame.
        bytes: of the payloads held.
    """

    def __init__(self, capacity: int, max_bytes: int | None = None) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.bytes = 0
        self._sent: OrderedDict[int, _Sent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def has_room(self) -> bool:
        if self.max_bytes is not None and self.bytes >= self.max_bytes:
            return False
        return len(self._sent) < self.capacity

    def add(self, frame: OutgoingFrame, now_ns: int) -> None:
        self._sent[frame.header.sequence] = _Sent(frame, now_ns, RESEND_AFTER_NS)
        self.bytes += len(frame.payload)

    def release(self, ranges: Sequence[Range]) -> list[int]:
        """Forget frames that are held and in `ranges`. Returns when each was last sent."""
        return self._forget(within(list(self._sent), ranges))

    def _forget(self, sequences: Iterable[int]) -> list[int]:
        released = [self._sent.pop(sequence) for sequence in sequences]
        self.bytes -= sum(len(sent.frame.payload) for sent in released)
        return [sent.sent_ns for sent in released]

    def clear(self) -> int:
        """Forget all. Returns how many there were."""
        return len(self._forget(list(self._sent)))

    def all(self, now_ns: int) -> list[OutgoingFrame]:
        """Every frame, to be sent once more, as to a zipper that restarted."""
        for sent in self._sent.values():
            sent.sent_ns, sent.resend_after_ns = now_ns, RESEND_AFTER_NS
        return [sent.frame for sent in self._sent.values()]

    def overdue(self, now_ns: int) -> list[OutgoingFrame]:
        """Frames to send again because no acknowledgement came; each waits twice as long the next time."""
        due = []
        for sent in self._sent.values():
            if now_ns - sent.sent_ns > sent.resend_after_ns:
                sent.sent_ns = now_ns
                sent.resend_after_ns = min(2 * sent.resend_after_ns, RESEND_AFTER_MAX_NS)
                due.append(sent.frame)
        return due

    def give_up(self, now_ns: int) -> int:
        """Forget frames that were not acknowledged within the first waiting time. Returns how many."""
        return len(self._forget([n for n, sent in self._sent.items() if now_ns - sent.sent_ns > RESEND_AFTER_NS]))
