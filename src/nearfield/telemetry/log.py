"""Logging: plain lines on standard error, and warnings that do not flood."""

from __future__ import annotations

import logging
import sys

from nearfield.clock import Clock, SystemClock

REPEAT_INTERVAL_S = 10.0
# Keys may be texts from outside; beyond so many, all are forgotten.
MAX_KEYS = 256


class RepeatedWarning:
    """Logs the first warning of each kind at once, and later ones at most every 10 s with the number left out."""

    def __init__(
        self, logger: logging.Logger, interval_s: float = REPEAT_INTERVAL_S, *, clock: Clock | None = None
    ) -> None:
        self._logger = logger
        self._interval_ns = round(interval_s * 1e9)
        self._clock = clock or SystemClock()
        self._last: dict[str, int] = {}
        self._left_out: dict[str, int] = {}

    def __call__(self, form: str, *values: object, key: str | None = None) -> None:
        """Log `form % values`. Warnings with one `key` count as alike; None: those with one `form`."""
        key = form if key is None else key
        now = self._clock.monotonic_ns()
        last = self._last.get(key)
        if last is not None and now - last < self._interval_ns:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        if len(self._last) >= MAX_KEYS:
            self._last.clear()
            self._left_out.clear()
        self._last[key] = now
        left_out = self._left_out.pop(key, 0)
        if left_out:
            self._logger.warning(f"{form} (and %d more like it)", *values, left_out)  # noqa: G004 - a form, not values
        else:
            self._logger.warning(form, *values)


def configure_logging(*, verbose: bool = False) -> None:
    """Send nearfield's own log to standard error: time, level, message. For commands, not for programs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("nearfield")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
