"""What became of each measure, for the log and for programs."""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable
from dataclasses import dataclass, replace

# What a kernel answers that was built or started without a feature.
_ABSENT = {errno.ENOSYS, errno.EOPNOTSUPP}


class State(enum.StrEnum):
    """Of one measure, in this process."""

    ACTIVE = "active"
    UNAVAILABLE = "not available"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure.

    Attributes:
        name: such as `landlock`.
        detail: active: its extent, such as "ABI 7", or empty; otherwise why not.
    """

    name: str
    state: State
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.detail})" if self.detail else self.name


@dataclass(frozen=True, slots=True)
class ContainmentReport:
    """All measures of a process, in the order in which they were taken."""

    measures: tuple[Measure, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every measure is active."""
        return all(measure.state is State.ACTIVE for measure in self.measures)

    def state_of(self, name: str) -> State:
        """The state of the measure with this name; KeyError when there is none."""
        return self.measure(name).state

    def measure(self, name: str) -> Measure:
        """The measure with this name; KeyError when there is none."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    def with_measure(self, changed: Measure) -> ContainmentReport:
        """This report with one measure, of a name that it has, replaced."""
        return replace(self, measures=tuple(changed if each.name == changed.name else each for each in self.measures))

    def __str__(self) -> str:
        active = ", ".join(str(measure) for measure in self.measures if measure.state is State.ACTIVE) or "none"
        missing = [f"{each.name}: {each.state}, {each.detail}" for each in self.measures if each.state != State.ACTIVE]
        return "; ".join([active, *missing])


def take(name: str, action: Callable[[], str]) -> Measure:
    """Take a measure by calling `action`, which returns the detail. No failure of the system is fatal."""
    try:
        return Measure(name, State.ACTIVE, action())
    except OSError as error:
        call = f" ({error.filename})" if error.filename else ""
        reason = f"{(error.strerror or str(error)).lower()}{call}"
        return Measure(name, State.UNAVAILABLE if error.errno in _ABSENT else State.FAILED, reason)
