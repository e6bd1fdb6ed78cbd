"""What an instance knows of its deliveries, shared by the thread that works and the one that reports."""

from __future__ import annotations

import threading
from collections import deque

from nearfield.frame.control import Done, Report

# Reports after each frame repeat this many, heartbeats all of `LONG_HISTORY`: a lost report is repaired by the next.
SHORT_HISTORY = 4
LONG_HISTORY = 64


class Progress:
    """Deliveries received, held and done. Thread-safe."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self._lock = threading.Lock()
        self._begin(0)

    def rejoin(self, epoch: int) -> None:
        """Start over with a zipper that does not know this instance, or no longer."""
        with self._lock:
            self._begin(epoch)

    def _begin(self, epoch: int) -> None:
        self._epoch = epoch
        self._received = 0
        self._holding: dict[int, None] = {}
        self._done: deque[Done] = deque(maxlen=LONG_HISTORY)
        self._busy_since_ns: dict[int, int] = {}

    def receive(self, number: int, epoch: int) -> bool:
        """Note a delivery. False: it is a repetition, or from another incarnation of the zipper; ignore it."""
        with self._lock:
            if epoch != self._epoch or number in self._holding or any(done.delivery == number for done in self._done):
                return False
            self._received = max(self._received, number)
            self._holding[number] = None
            return True

    def begin(self, number: int, epoch: int, now_ns: int) -> None:
        """A handler starts on a delivery; `now_ns` is monotonic."""
        with self._lock:
            if epoch == self._epoch:
                self._busy_since_ns[number] = now_ns

    def finish(self, done: Done, epoch: int) -> None:
        """A delivery is over."""
        with self._lock:
            if epoch == self._epoch:
                self._busy_since_ns.pop(done.delivery, None)
                self._holding.pop(done.delivery, None)
                self._done.append(done)

    def report(self, now_ns: int, *, full: bool) -> Report:
        """What to tell the zipper now. `full` repeats the long history."""
        with self._lock:
            done = list(self._done)
            busy_ns = now_ns - min(self._busy_since_ns.values(), default=now_ns)
            return Report(
                instance=self.instance,
                epoch=self._epoch,
                received=self._received,
                holding=list(self._holding),
                done=done if full else done[-SHORT_HISTORY:],
                busy_ms=busy_ns // 1_000_000,
            )
