"""Events on their way from zenoh's threads to the dispatcher's: bounded in frames and in bytes."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Callable

Event = Callable[[int], None]
"""Something to do on the dispatcher's thread, given the monotonic time in nanoseconds."""

# Frames waiting for the dispatcher's thread.
INBOX_FRAMES = 8_192
# One sender's part of that.
SENDERS_PART = 4
# Messages that are no frames: reports, questions, joins. All of them are repaired by the next one, or asked again.
INBOX_MESSAGES = 4_096
INBOX_MESSAGE_BYTES = 16 * 2**20
# A report of an instance with all its deliveries takes 100 KB.
MAX_MESSAGE_BYTES = 256 * 1024


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
        self._messages = self._message_bytes = 0
        self._of_sender: dict[str, tuple[int, int]] = {}
        self._refused: Counter[str] = Counter()

    def put(self, event: Event | None) -> None:
        """Add an event of our own; None only wakes the taker."""
        self._events.put((event, "", 0, 0))

    def put_message(self, event: Event, size: int) -> bool:
        """Add the arrival of a message of `size` bytes that is no frame. False: no room, or too large; not added."""
        with self._counting:
            if (
                size > MAX_MESSAGE_BYTES
                or self._messages >= INBOX_MESSAGES
                or self._message_bytes + size > INBOX_MESSAGE_BYTES
            ):
                self._refused["messages"] += 1
                return False
            self._messages += 1
            self._message_bytes += size
        self._events.put((event, "", -1, size))
        return True

    def take_refused(self) -> Counter[str]:
        """What was refused since the last call: "frames", "messages"."""
        with self._counting:
            refused, self._refused = self._refused, Counter()
        return refused

    def put_frames(self, event: Event, sender: str, frames: int, size: int) -> bool:
        """Add the arrival of frames with `size` bytes together. False: no room; it was not added.

        Args:
            sender: nobody takes more than a part of the room, so that one who sends without measure crowds nobody out.
        """
        with self._counting:
            own_frames, own_bytes = self._of_sender.get(sender, (0, 0))
            if (
                self._frames >= INBOX_FRAMES
                or own_frames >= INBOX_FRAMES // SENDERS_PART
                or (self._bytes and self._bytes + size > self._limit_bytes)
                or (own_bytes and own_bytes + size > self._limit_bytes // SENDERS_PART)
            ):
                self._refused["frames"] += frames
                return False
            self._frames += frames
            self._bytes += size
            self._of_sender[sender] = own_frames + frames, own_bytes + size
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
                self._taken(sender, frames, size)
        return event

    def _taken(self, sender: str, frames: int, size: int) -> None:
        if frames < 0:
            self._messages -= 1
            self._message_bytes -= size
            return
        self._frames -= frames
        self._bytes -= size
        own_frames, own_bytes = self._of_sender[sender]
        if own_frames > frames:
            self._of_sender[sender] = own_frames - frames, own_bytes - size
        else:
            del self._of_sender[sender]
