"""How much a guest may log over its life: a bucket that fills at a steady rate."""

from __future__ import annotations

# A guest that starts, or panics, says much at once and then little.
_BURST_S = 4.0

# A line costs at least this: what the log adds to it (time, level, the guest's name).
LINE_OVERHEAD_BYTES = 64


class LogBudget:
    """Bytes that may be logged now. Used by one thread at a time; time is given, never read."""

    def __init__(self, bytes_per_s: int) -> None:
        """The bucket is full at first."""
        self._rate = bytes_per_s
        # A rate below the size of a single line still lets single lines through, one now and then.
        self._most = max(bytes_per_s * _BURST_S, LINE_OVERHEAD_BYTES)
        self._left = self._most
        self._at_s: float | None = None
        self._dropped = 0

    def take(self, length: int, now_s: float) -> bool:
        """Whether a line of `length` bytes may be logged now. The last one may overdraw the bucket; it pays later.

        Args:
            now_s: of a monotonic clock.
        """
        if not self._has_room(now_s):
            self._dropped += 1
            return False
        self._left -= length + LINE_OVERHEAD_BYTES
        return True

    def drop(self) -> None:
        """Count a line that was dropped for another reason."""
        self._dropped += 1

    def take_dropped(self, now_s: float) -> int:
        """Lines dropped since this last said so; 0 also while there is no room for a line that says it."""
        if not self._dropped or not self._has_room(now_s):
            return 0
        self._left -= LINE_OVERHEAD_BYTES
        count, self._dropped = self._dropped, 0
        return count

    def _has_room(self, now_s: float) -> bool:
        if self._at_s is not None:
            self._left = min(self._most, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
        return self._left > 0
