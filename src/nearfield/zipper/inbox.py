"""Events on their way from zenoh's threads to the dispatcher's: bounded in frames and in bytes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

Event = Callable[[int], None]
"""Something to do on the dispatcher's thread, given the monotonic time in nanoseconds."""

# Frames waiting for the dispatcher's thread.
INBOX_FRAMES = 8_192
# One sender's part of that.
SENDERS_PART = 4


class Inbox:
    """First in, first out. Any thread may put, one takes. Putting never waits.

    Args:
        limit_bytes: of the payloads of frames that wait.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._events: queue.SimpleQueue[tuple[Event | None, str, int, int]] = queue.SimpleQueue()
        # Guards the rest: what waits, in all and by sender.
        self._counting = threading.Lock()
        self._frames = self._bytes = 0
        self._frames_of: dict[str, int] = {}

    def put(self, event: Event | None) -> None:
        """Add an event; None only wakes the taker."""
        self._events.put((event, "", 0, 0))

    def put_frames(self, event: Event, sender: str, frames: int, size: int) -> bool:
        """Add the arrival of frames with `size` bytes together. False: no room; it was not added.

        Args:
            sender: nobody takes more than a part of the room, so that one who sends without measure crowds nobody out.
        """
        with self._counting:
            of_sender = self._frames_of.get(sender, 0)
            if (
                self._frames >= INBOX_FRAMES
                or of_sender >= INBOX_FRAMES // SENDERS_PART
                or (self._bytes and self._bytes + size > self._limit_bytes)
            ):
                return False
            self._frames += frames
            self._bytes += size
            self._frames_of[sender] = of_sender + frames
        self._events.put((event, sender, frames, size))
        return True

    def take(self, timeout_s: float = 0.0) -> Event | None:
        """The oldest event, waiting for one up to `timeout_s`. None: there was none in time, or only a wake-up."""
        try:
            event, sender, frames, size = (
                self._events.get(timeout=timeout_s) if timeout_s > 0 else self._events.get_nowait()
            )
        except queue.Empty:
            return None
        if frames:
            with self._counting:
                self._frames -= frames
                self._bytes -= size
                remaining = self._frames_of[sender] - frames
                if remaining:
                    self._frames_of[sender] = remaining
                else:
                    del self._frames_of[sender]
        return event
