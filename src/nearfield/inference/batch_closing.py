"""When a batch closes: the decision behind `BatchingGraph`, without threads or clocks. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from nearfield.inference.contract import BatchSettings

#: A time that has always passed.
NOW_S = -math.inf
#: A time that never comes.
NEVER_S = math.inf

# Durations looked at to tell how long the next compute may take: few, so that one slow moment is soon forgotten.
_REMEMBERED = 8


@dataclass(frozen=True, slots=True)
class Gathering:
    """A batch that is still open. All times are of `time.monotonic`.

    Attributes:
        frames: those that wait in it, >= 1.
        opened_s: when the first of them came.
        is_another_coming: whether a frame is in the making that may still want to compute.
        has_room: whether another compute may begin beside those that run.
        first_by_s: the earliest moment at which one of the results is of no use any longer; None: never.
        compute_s: how long a compute may take, in seconds.
    """

    frames: int
    opened_s: float
    is_another_coming: bool
    has_room: bool
    first_by_s: float | None
    compute_s: float


def closes_at_s(settings: BatchSettings, gathering: Gathering) -> float:
    """When to stop waiting and compute, unless something changes before; `NEVER_S` if only a change can end it.

    At once when the batch is full. Not before there is room for a compute: until then others may join at no cost. Then
    at once when nobody else can come, else when the first frame has waited for as long as it may. In any case early
    enough for every deadline that can be met.
    """
    if gathering.frames >= settings.max_frames:
        return NOW_S
    due_s = NEVER_S if gathering.first_by_s is None else gathering.first_by_s - gathering.compute_s
    if not gathering.has_room:
        return due_s
    if not gathering.is_another_coming:
        return NOW_S
    return min(gathering.opened_s + settings.wait_s, due_s)


def is_late(by_s: float | None, now_s: float) -> bool:
    """Whether a result that is wanted by then is of no use any longer."""
    return by_s is not None and by_s <= now_s


class RecentDurations:
    """How long the latest computes took."""

    def __init__(self) -> None:
        self._durations_s: deque[float] = deque(maxlen=_REMEMBERED)

    def add(self, duration_s: float) -> None:
        self._durations_s.append(duration_s)

    @property
    def longest_s(self) -> float:
        """Seconds; 0.0 before the first."""
        return max(self._durations_s, default=0.0)
