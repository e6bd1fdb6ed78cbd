"""When a client that had to leave the first of its addresses goes back there. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# How long the first address must answer without a break: a zipper that starts and dies again is none to go to.
STEADY_S = 5.0
# Between two looks at whether it is there again.
LOOK_S = 5.0
# Driven away again within this time, it waits twice as long before the next look, up to the maximum.
SETTLED_AFTER_S = 60.0
LOOK_MAX_S = 320.0


@dataclass(slots=True)
class Homing:
    """Paces the looks, so that a client does not follow a zipper that comes and goes.

    Attributes:
        wait_s: until the next look.
    """

    wait_s: float = LOOK_S
    _returned_at: float | None = None

    def returned(self, now_s: float) -> None:
        """It went back, at monotonic `now_s`."""
        self._returned_at = now_s

    def is_away(self, now_s: float) -> None:
        """It was found away from its first address, at monotonic `now_s`."""
        if self._returned_at is None:
            return
        stayed_s, self._returned_at = now_s - self._returned_at, None
        self.wait_s = LOOK_S if stayed_s > SETTLED_AFTER_S else min(2 * self.wait_s, LOOK_MAX_S)
