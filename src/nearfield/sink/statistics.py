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
        duplicates: frames left out because they came before: with `dedupe`, and those that came after all when the sink
            had asked for them already.
        malformed: messages that were no frames.
        missed: frames that were sent after the first one came, did not reach this process, and will not: lost on a line
            that was full or cut, or while a connection moved, and their sender does not keep them, or not any more.
            Only of senders that count their frames, as all of ours do. The last ones of a sender are noticed half a
            second later; not if it was killed meanwhile.
        recovered: frames that were lost on their way, and came because the sink asked for them; part of `arrived`.
    """

    arrived: int
    received: int
    queued: int
    dropped: dict[str, int]
    duplicates: int
    malformed: int
    missed: int = 0
    recovered: int = 0
