"""One frame on its way through one group."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from nearfield.frame import Header
from nearfield.frame.header import later
from nearfield.zipper.ledger import Account

PayloadType = TypeVar("PayloadType", bound=Sized)

# A moment that never comes, on the scale of monotonic nanoseconds.
NEVER_NS = 1 << 63


class Ticket(NamedTuple):
    """A frame that another zipper handed over: that zipper's name and epoch, and its number for the delivery."""

    peer: str
    epoch: int
    number: int


@dataclass(slots=True, eq=False)
class Item(Generic[PayloadType]):
    """Attributes:
    size: bytes of the payload.
    account: where its end is counted.
    received_ns: monotonic, when it came to this zipper.
    via: another zipper handed it over under this ticket, and is told how it ends.
    expires_ns: monotonic, after which nobody wants it any more; `NEVER_NS`: always wanted.
    is_held: its source keeps it until this group is through with it.
    is_bound: it is in flight, and its source bound to where it is.
    deliveries: how often it was handed out.
    tries: how many instances were lost with it.
    losses: how often it was lost on the way to one.
    """

    origin: str
    header: Header
    payload: PayloadType
    size: int
    account: Account
    received_ns: int
    via: Ticket | None = None
    expires_ns: int = NEVER_NS
    is_held: bool = False
    is_bound: bool = False
    deliveries: int = 0
    tries: int = 0
    losses: int = 0

    def sent_ns(self, now_ns: int) -> int:
        """The present moment on the time line of the frame's source: its capture time plus its age.

        Made of differences that one clock measured each, so that clocks of two machines are never compared. Leaves out
        the time on the way.
        """
        header = self.header
        return later(max(header.sent_ns, header.captured_ns), now_ns - self.received_ns)

    def remaining_us(self, now_ns: int) -> int:
        """Microseconds until it expires, at least 1; 0: it never does."""
        return 0 if self.expires_ns == NEVER_NS else max(1, (self.expires_ns - now_ns) // 1_000)


def expiry_ns(header: Header, max_age_ns: int | None, now_ns: int) -> int:
    """When a frame that came just now is not wanted any more, in monotonic nanoseconds.

    Args:
        max_age_ns: None: no limit but the frame's own deadline.
    """
    limit_ns = NEVER_NS if max_age_ns is None else max_age_ns
    if header.deadline_ns:
        limit_ns = min(limit_ns, header.deadline_ns - header.captured_ns)
    if limit_ns == NEVER_NS:
        return NEVER_NS
    return now_ns + limit_ns - max(0, header.sent_ns - header.captured_ns)
