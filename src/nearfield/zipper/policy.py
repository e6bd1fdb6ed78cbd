"""What the workflow says about a function's frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """How the frames of one function are treated.

    Attributes:
        observe: tags; empty: those that the first instance names.
        mode: "live" drops the oldest when `queue` is full, "complete" keeps all.
        queue: frames waiting at most (live), for all sources together.
        max_age_ns: frames older than this are dropped before they are handled (live); None: no limit.
        retries: how many more instances may try a frame when the first is lost with it.
        order: "source": frames of one source go to one instance as long as it holds any of them, and in order.
        timeout_ns: an instance that is at one frame for longer is stuck.
        dead_letter: tag for frames that could not be handled; None: they are only counted.
        emit: tags that it may emit; empty: any.
    """

    name: str
    observe: frozenset[int] = frozenset()
    mode: Literal["live", "complete"] = "live"
    queue: int = 8
    max_age_ns: int | None = None
    retries: int = 2
    order: Literal["none", "source"] = "none"
    timeout_ns: int = 60_000_000_000
    dead_letter: int | None = None
    emit: frozenset[int] = frozenset()
