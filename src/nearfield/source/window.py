"""The source's window: how many frames may be on their way to the zipper. Pure; the caller locks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from nearfield.frame import Header

# First wait before an unacknowledged frame is sent again; it doubles each time up to the maximum.
RESEND_AFTER_NS = 1_000_000_000
RESEND_AFTER_MAX_NS = 8_000_000_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A frame that the source keeps until it is released."""

    header: Header
    payload: bytes


@dataclass(slots=True)
class _Sent:
    frame: Outgoing
    sent_ns: int
    resend_after_ns: int


class Window:
    """Frames sent and not yet released, oldest first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._sent: OrderedDict[int, _Sent] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sent)

    @property
    def has_room(self) -> bool:
        return len(self._sent) < self.capacity

    def add(self, frame: Outgoing, now_ns: int) -> None:
        self._sent[frame.header.sequence] = _Sent(frame, now_ns, RESEND_AFTER_NS)

    def release(self, sequences: Iterable[int]) -> int:
        """Forget frames. Returns how many of them were held."""
        return sum(self._sent.pop(sequence, None) is not None for sequence in sequences)

    def clear(self) -> int:
        """Forget all. Returns how many there were."""
        count = len(self._sent)
        self._sent.clear()
        return count

    def all(self, now_ns: int) -> list[Outgoing]:
        """Every frame, to be sent once more, as to a zipper that restarted."""
        for sent in self._sent.values():
            sent.sent_ns, sent.resend_after_ns = now_ns, RESEND_AFTER_NS
        return [sent.frame for sent in self._sent.values()]

    def overdue(self, now_ns: int) -> list[Outgoing]:
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
        return self.release([n for n, sent in self._sent.items() if now_ns - sent.sent_ns > RESEND_AFTER_NS])
