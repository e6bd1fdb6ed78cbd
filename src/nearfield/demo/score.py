"""What the demonstration measured: results against the truth. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nearfield.errors import InternalError


class TruthFrame(msgspec.Struct, frozen=True):
    """What one picture of the video shows; `label` is None while a part comes or goes, which is not scored."""

    index: int
    label: str | None
    state: str


class Truth(msgspec.Struct, frozen=True):
    """The ground truth of a video, one entry for each picture in order."""

    frames: list[TruthFrame]

    def label_at(self, sequence: int) -> str | None:
        """Label of picture `sequence`, counted on when the video is looped."""
        return self.frames[sequence % len(self.frames)].label


def read_truth(path: Path) -> Truth:
    """Raises InternalError when the shipped file is damaged."""
    try:
        truth = msgspec.json.decode(path.read_bytes(), type=Truth)
    except (OSError, msgspec.DecodeError) as error:
        raise InternalError(f"cannot read the ground truth: {error}", where=str(path)) from error
    if not truth.frames:
        raise InternalError("there are no frames in it", where=str(path))
    if [frame.index for frame in truth.frames] != list(range(len(truth.frames))):
        raise InternalError("frames are not numbered from 0 in order", where=str(path))
    return truth


@dataclass(slots=True)
class Score:
    """Results as they come in.

    Attributes:
        labels: how often each label was seen.
        latencies_ms: from capture to the terminal, one for each result.
        agreed, scored: results that agree with the truth, of those that have one.
        first_at, last_at: when the first and last result came, seconds.
    """

    truth: Truth
    labels: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    agreed: int = 0
    scored: int = 0
    first_at: float | None = None
    last_at: float | None = None

    def add(self, sequence: int, label: str, latency_ms: float, now: float) -> None:
        """Take in one result; `now` in seconds on any steady clock."""
        self.labels[label] += 1
        self.latencies_ms.append(latency_ms)
        if self.first_at is None:
            self.first_at = now
        self.last_at = now
        expected = self.truth.label_at(sequence)
        if expected is not None:
            self.scored += 1
            self.agreed += label == expected

    @property
    def results(self) -> int:
        return len(self.latencies_ms)

    def frames_per_s(self) -> float | None:
        """Results per second between the first and the last; None before two came."""
        if self.first_at is None or self.last_at is None or self.last_at <= self.first_at:
            return None
        return (self.results - 1) / (self.last_at - self.first_at)

    def agreement(self) -> float | None:
        """Share of scored results that agree, 0 to 1."""
        return self.agreed / self.scored if self.scored else None


def percentile(values: Sequence[float], percent: float) -> float | None:
    """Nearest-rank percentile, None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def summarise(score: Score, sent: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    """The demonstration's end result as plain data.

    Args:
        sent: the last line of `nearfield send --json`.
        group: the function's entry in the zipper's ledger.
    """
    p50, p99 = percentile(score.latencies_ms, 50), percentile(score.latencies_ms, 99)
    rate, agreement = score.frames_per_s(), score.agreement()
    return {
        "sent": sent["sent"],
        "handled": group["completed"],
        "failed": group["failed"],
        "dropped": group["dropped"],
        "results": score.results,
        "frames_per_s": None if rate is None else round(rate, 1),
        "latency_ms": {"p50": _rounded(p50), "p99": _rounded(p99)},
        "agreement": None if agreement is None else round(agreement, 4),
        "scored": score.scored,
        "handler_ms_mean": group["handler_ms_mean"],
        "seen": dict(score.labels),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
