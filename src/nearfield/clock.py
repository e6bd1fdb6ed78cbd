"""Time as a dependency: components take a `Clock`, tests give them a `ManualClock`."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two time lines, both in nanoseconds."""

    def wall_ns(self) -> int:
        """Nanoseconds since the Unix epoch. Comparable between machines as far as their clocks agree; may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start. Never goes back; only differences within one process mean anything."""
        ...


class SystemClock:
    """The operating system's clocks."""

    def wall_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()


class ManualClock:
    """A clock that moves only when told to. For tests."""

    def __init__(self, wall_ns: int = 1_700_000_000_000_000_000, monotonic_ns: int = 1_000_000_000) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns

    def wall_ns(self) -> int:
        return self._wall_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Move both time lines forward."""
        step_ns = round(seconds * 1e9)
        self._wall_ns += step_ns
        self._monotonic_ns += step_ns

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as an operator or NTP would; monotonic time is untouched."""
        self._wall_ns += round(seconds * 1e9)
