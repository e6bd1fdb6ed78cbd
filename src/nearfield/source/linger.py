"""Small frames that follow each other quickly wait for each other and travel together. Pure; the caller locks."""

from __future__ import annotations

from nearfield.frame.bundle import MAX_MEMBER_BYTES
from nearfield.source.window import OutgoingFrame

# The time between two messages from one source, at least, while frames are small and come faster than that.
SPACING_NS = 500_000
# What a frame waits at most, when many others are under way.
LINGER_NS = 2_000_000
MAX_FRAMES = 128
MAX_BYTES = 32 * 1_024


class Linger:
    """Frames that wait for company."""

    def __init__(self) -> None:
        self._frames: list[OutgoingFrame] = []
        self._bytes = 0
        self._left_ns = 0
        self.due_ns = 0

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: OutgoingFrame, under_way: int, now_ns: int) -> bool:
        """One more frame. True: all are to leave now.

        Args:
            under_way: frames that left and are not confirmed. Where there are many, those that wait are to be a quarter
                of all, so that bundles do not get ever smaller on their way round.
            now_ns: monotonic.
        """
        self._frames.append(frame)
        self._bytes += len(frame.payload)
        if len(frame.payload) > MAX_MEMBER_BYTES or self._bytes > MAX_BYTES or len(self._frames) >= MAX_FRAMES:
            return True
        if under_way and 3 * len(self._frames) >= under_way:
            return True
        if len(self._frames) == 1:
            self.due_ns = now_ns + LINGER_NS if under_way else self._left_ns + SPACING_NS
        return now_ns >= self.due_ns

    def take(self, now_ns: int) -> list[OutgoingFrame]:
        """They leave: all that wait, in order."""
        frames, self._frames = self._frames, []
        self._bytes = 0
        if frames:
            self._left_ns = now_ns
        return frames
