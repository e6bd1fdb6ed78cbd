"""Events on their way from zenoh's threads to the dispatcher's: bounded in frames and in bytes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Event = Callable[[int], None]
"""Something to do on the dispatcher's thread, given the monotonic time in nanoseconds."""

# Frames waiting for the dispatcher's thread.
INBOX_FRAMES = 8_192


class Inbox:
    """First in, first out. Any thread may put, one takes. Putting never waits.

    Args:
        limit_bytes: of the payloads of frames that wait.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._events: queue.SimpleQueue[tuple[Event | None, int, int]] = queue.SimpleQueue()
        self._counting = threading.Lock()
        self._put_frames = self._put_bytes = 0
        # Written by the taking thread only.
        self._taken_frames = self._taken_bytes = 0

    def put(self, event: Event | None) -> None:
        """Add an event; None only wakes the taker."""
        self._events.put((event, 0, 0))

    def put_frames(self, event: Event, frames: int, size: int) -> bool:
        """Add the arrival of frames with `size` bytes together. False: no room; it was not added."""
        with self._counting:
            waiting = self._put_bytes - self._taken_bytes
            if self._put_frames - self._taken_frames >= INBOX_FRAMES or (
                waiting and waiting + size > self._limit_bytes
            ):
                return False
            self._put_frames += frames
            self._put_bytes += size
        self._events.put((event, frames, size))
        return True

    def take(self, timeout_s: float = 0.0) -> Event | None:
        """The oldest event, waiting for one up to `timeout_s`. None: there was none in time, or only a wake-up."""
        try:
            event, frames, size = self._events.get(timeout=timeout_s) if timeout_s > 0 else self._events.get_nowait()
        except queue.Empty:
            return None
        self._taken_frames += frames
        self._taken_bytes += size
        return event
