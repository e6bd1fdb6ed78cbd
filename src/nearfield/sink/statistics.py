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
        missed: frames that were sent after the first one came, and did not reach this process: lost on a line that was
            full or cut, or while a connection moved. Only of senders that count their frames, as all of ours do.
    """

    arrived: int
    received: int
    queued: int
    dropped: dict[str, int]
    duplicates: int
    malformed: int
    missed: int = 0
