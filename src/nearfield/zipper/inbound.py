"""What another zipper has handed over: which deliveries came, are held, and are done."""

from __future__ import annotations

from collections import deque

from nearfield.frame.control import MAX_CREDITS, Done, Report

# Reports repeat this many, heartbeats all of `LONG_HISTORY`: a lost report is repaired by the next.
SHORT_HISTORY = 4
LONG_HISTORY = 256
# Delivery numbers that are remembered, done or not.
RECEIVED_HISTORY = 4 * MAX_CREDITS


class Inbound:
    """Deliveries from one incarnation of one peer.

    Attributes:
        epoch: of that incarnation.
        received: highest number.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.received = 0
        self._holding: dict[int, None] = {}
        self._done: deque[Done] = deque(maxlen=LONG_HISTORY)
        self._seen: dict[int, None] = {}
        self._unreported = 0

    @property
    def has_news(self) -> bool:
        """Whether something was finished since the last report."""
        return self._unreported > 0

    def receive(self, number: int, after: int) -> bool:
        """Note a delivery. False: ignore it; it is a repetition, or the one that it must follow got lost."""
        if number in self._seen or (after and after not in self._seen):
            return False
        self.received = max(self.received, number)
        self._holding[number] = None
        self._seen[number] = None
        if len(self._seen) > RECEIVED_HISTORY:
            del self._seen[next(iter(self._seen))]
        return True

    def finish(self, done: Done, is_refused: bool) -> None:
        """A delivery is over. When it `is_refused`, those that must follow it are ignored from now on."""
        self._holding.pop(done.delivery, None)
        if is_refused:
            self._seen.pop(done.delivery, None)
        self._done.append(done)
        self._unreported += 1

    def forget_unconfirmed(self) -> None:
        """Say no more of what is done: the peer takes what it was not told yet for lost, and hands it out again.

        Results and reports go the same way. When a line breaks, both are lost, and a report that is repeated on another
        way would speak of results that nobody received.
        """
        self._done.clear()
        self._unreported = 0

    def report(self, name: str, *, full: bool) -> Report:
        """What to tell the peer now; `name` is this zipper's. `full` repeats the long history."""
        count = LONG_HISTORY if full else max(SHORT_HISTORY, self._unreported)
        self._unreported = 0
        done = list(self._done)[-count:]
        return Report(instance=name, epoch=self.epoch, received=self.received, holding=list(self._holding), done=done)
