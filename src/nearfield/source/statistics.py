"""What a source counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """Counts since the source opened. `offered = sent + replaced + those that wait`.

    Attributes:
        offered: calls of `send`.
        sent: frames that went out, repetitions not counted.
        released: frames that the zipper took over (observed tags only).
        replaced: frames that a newer one replaced before they could go out (live).
        unacknowledged: frames the zipper never confirmed (live).
        resent: repetitions.
        results_dropped: results that were lost because the program did not take them in time.
    """

    offered: int = 0
    sent: int = 0
    released: int = 0
    replaced: int = 0
    unacknowledged: int = 0
    resent: int = 0
    results_dropped: int = 0
