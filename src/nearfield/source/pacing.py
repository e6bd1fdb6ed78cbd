"""When the next frame is due. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pacer:
    """Evenly spaced moments, without drift.

    Attributes:
        interval_s: between two frames; 0: as fast as possible.
    """

    interval_s: float
    _next_at: float | None = None

    def wait_s(self, now: float) -> float:
        """Seconds to wait before sending the next frame, at monotonic time `now`.

        A sender that fell behind does not hurry to catch up: the schedule starts anew, since a burst helps nobody.
        """
        if self.interval_s <= 0:
            return 0.0
        if self._next_at is None or now > self._next_at + self.interval_s:
            self._next_at = now
        wait = max(0.0, self._next_at - now)
        self._next_at += self.interval_s
        return wait
