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
    """

    name: str
    observe: frozenset[int] = frozenset()
    mode: Literal["live", "complete"] = "live"
    queue: int = 8
    max_age_ns: int | None = None
    retries: int = 2
