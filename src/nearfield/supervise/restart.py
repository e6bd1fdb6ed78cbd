"""When to start a worker again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

FIRST_DELAY_S = 0.5
MAX_DELAY_S = 10.0
# A worker that lived this long has proved itself: its next restart begins with the first delay again.
STABLE_AFTER_S = 30.0
# Exit status of commands for usage and configuration: the same start would fail the same way.
EXIT_CONFIGURATION = 2


@dataclass(frozen=True, slots=True)
class Restart:
    """Start again after `delay_s` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not start again: it cannot work as configured."""


class RestartPolicy:
    """Decides after each exit of one worker; the delay doubles with each quick failure."""

    def __init__(self) -> None:
        self._next_delay_s = FIRST_DELAY_S

    def after_exit(self, status: int, lived_s: float) -> Restart | GiveUp:
        """What to do about an exit.

        Args:
            status: exit status; negative: ended by that signal.
            lived_s: seconds since it was started.
        """
        if status == EXIT_CONFIGURATION:
            return GiveUp()
        if lived_s >= STABLE_AFTER_S:
            self._next_delay_s = FIRST_DELAY_S
        delay_s = self._next_delay_s
        self._next_delay_s = min(2 * delay_s, MAX_DELAY_S)
        return Restart(delay_s)


def describe_exit(status: int) -> str:
    """An exit status in words: "was killed by SIGSEGV", "exited with status 1"."""
    import signal

    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
