"""What a sink counts."""

from __future__ import annotations

from dataclasses import dataclass

SINK_SLOW = "sink-slow"
"""Why a sink drops frames: the program takes them more slowly than they come."""


@dataclass(frozen=True, slots=True)
class SinkStatistics:
    """Counts since the sink opened. `arrived = received + dropped + duplicates + malformed + those that wait`.

    Attributes:
        arrived: messages that reached this process.
        received: frames that the program took.
        queued: messages that wait for it.
        dropped: by reason; the only one is "sink-slow".
        duplicates: frames left out because they came before (`dedupe`).
        malformed: messages that were no frames.
        missing: numbers left out between the first frame of a stream and its latest, counted as the program takes
            them: replaced at the source, dropped by a function or without a result there, or lost on the way here. Of a
            function that emits for every frame in mode `complete`, what was lost on the way to this sink.
    """

    arrived: int
    received: int
    queued: int
    dropped: dict[str, int]
    duplicates: int
    malformed: int
    missing: int
