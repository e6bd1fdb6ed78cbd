"""What the groups of a zipper want to have sent and done; the server takes it after each event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from nearfield.frame.control import Done
from nearfield.zipper.item import Item, PayloadType, Ticket
from nearfield.zipper.ledger import Reasons


@dataclass(slots=True, eq=False)
class Delivery(Generic[PayloadType]):
    """Send `item` to `instance`, numbered `number`.

    Attributes:
        instance: or the name of a peer.
        is_to_peer: whether it is one.
        after: number of the delivery before it of the same source to the same instance, without which it must not be
            handled; 0: none, or their order does not matter.
        is_ordered: whether it matters.
        now_ns: monotonic, the moment of the decision.
    """

    function: str
    instance: str
    is_to_peer: bool
    number: int
    item: Item[PayloadType]
    after: int
    is_ordered: bool
    now_ns: int

    @property
    def sent_ns(self) -> int:
        """The moment of the decision on the time line of the frame's source, Unix epoch."""
        return self.item.sent_ns(self.now_ns)

    @property
    def remaining_us(self) -> int:
        """Microseconds until the frame is worthless; 0: no limit."""
        return self.item.remaining_us(self.now_ns)


@dataclass(slots=True, eq=False)
class Burial(Generic[PayloadType]):
    """Publish a dead letter: a frame that its function could not handle.

    Attributes:
        tag: where to.
        attempts: how many instances had it at hand.
    """

    function: str
    tag: int
    item: Item[PayloadType]
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class StuckInstance:
    """An instance that has been at one frame for too long.

    Attributes:
        pid: as it said itself when it joined, which anybody can say.
    """

    function: str
    instance: str
    pid: int


class Outbox(Generic[PayloadType]):
    """What the groups share.

    Attributes:
        reasons: that instances gave.
        release: called with each frame that its source need not keep any longer for the sake of one group.
        finish: called with each frame that a peer handed over, when it is at its end, and with whether it is only
            given back.
        next_number: of a delivery. One count for all: an instance that joins again must never see one a second time.
    """

    def __init__(self, release: Callable[[Item[PayloadType]], None]) -> None:
        self.release = release
        self.finish: Callable[[Ticket, Done, bool], None] = lambda ticket, done, is_refused: None
        self.reasons = Reasons()
        self.next_number = 1
        self.deliveries: list[Delivery[PayloadType]] = []
        self.burials: list[Burial[PayloadType]] = []
        self.stuck: list[StuckInstance] = []
