"""What an instance knows of its deliveries, shared by the thread that works and the one that reports."""

from __future__ import annotations

import threading
from collections import deque
from itertools import islice

from nearfield.frame.control import MAX_CREDITS, Done, Report

# Reports after each frame repeat this many, heartbeats all of `LONG_HISTORY`: a lost report is repaired by the next.
SHORT_HISTORY = 4
LONG_HISTORY = 256
# Delivery numbers that are remembered, done or not: as many as an instance may be given before it reports any.
RECEIVED_HISTORY = MAX_CREDITS


class Progress:
    """Deliveries received, held and done. Thread-safe."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._lock = threading.Lock()
        self._is_leaving = False
        #: By epoch and number of the delivery.
        self._busy_since_ns: dict[tuple[int, int], int] = {}
        self._begin(0)

    def rejoin(self, epoch: int) -> None:
        """Start over with a zipper that does not know this instance, or no longer.

        What was given before is not held any more; how long the handler has been at its frame is still reported.
        """
        with self._lock:
            self._begin(epoch)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._received = 0
        self._holding: dict[int, None] = {}
        self._taken: set[int] = set()
        self._done: deque[Done] = deque(maxlen=MAX_CREDITS)
        self._seen: dict[int, None] = {}
        self._unreported = 0

    def receive(self, number: int, epoch: int, after: int = 0) -> bool:
        """Note a delivery. False: ignore it.

        It is a repetition, or from another incarnation of the zipper, or its order matters and the one `after` which
        it was sent got lost.
        """
        with self._lock:
            if self._is_leaving or epoch != self._epoch or number in self._seen or (after and after not in self._seen):
                return False
            self._received = max(self._received, number)
            self._holding[number] = None
            self._seen[number] = None
            if len(self._seen) > RECEIVED_HISTORY:
                del self._seen[next(iter(self._seen))]
            return True

    def take(self, number: int, epoch: int) -> bool:
        """Begin on a delivery that was received. False: it is not, or no longer, this instance's to handle."""
        with self._lock:
            if self._is_leaving or epoch != self._epoch or number not in self._holding:
                return False
            self._taken.add(number)
            return True

    def leave(self) -> None:
        """Hold only what was taken from now on, and receive and take nothing more. Idempotent."""
        with self._lock:
            self._is_leaving = True
            self._holding = {number: None for number in self._holding if number in self._taken}

    def begin(self, number: int, epoch: int, now_ns: int) -> None:
        """A handler starts on a delivery that was taken; `now_ns` is monotonic."""
        with self._lock:
            self._busy_since_ns[epoch, number] = now_ns

    def finish(self, done: Done, epoch: int) -> None:
        """A delivery is over."""
        with self._lock:
            self._busy_since_ns.pop((epoch, done.delivery), None)
            if epoch == self._epoch:
                self._holding.pop(done.delivery, None)
                self._taken.discard(done.delivery)
                self._done.append(done)
                self._unreported += 1

    def report(self, now_ns: int, *, full: bool) -> Report:
        """What to tell the zipper now. `full` repeats the long history."""
        with self._lock:
            count = max(LONG_HISTORY if full else SHORT_HISTORY, self._unreported)
            self._unreported = 0
            busy_ns = now_ns - min(self._busy_since_ns.values(), default=now_ns)
            return Report(
                instance=self.instance,
                epoch=self._epoch,
                received=self._received,
                holding=list(self._holding),
                done=list(islice(self._done, max(0, len(self._done) - count), None)),
                busy_ms=busy_ns // 1_000_000,
            )
