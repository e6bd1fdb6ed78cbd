"""What a worker has to send: results and the reports on them, several together when they come quickly."""

from __future__ import annotations

from nearfield.frame import Header
from nearfield.frame.bundle import MAX_BUNDLE_BYTES, by_key

# Results of a function that takes longer than this wait for no others.
QUICK_NS = 200_000
# Nor do results wait for longer than this, as long as the next one comes within it.
LINGER_NS = 2_000_000


Result = tuple[bytes, Header]
"""Payload and header, which is not numbered yet: results that are never sent must leave no gap."""


class ResultBuffer:
    """Results that wait. Pure; the caller locks.

    Args:
        credits: frames that the zipper hands out before the first is reported.
    """

    def __init__(self, credits: int) -> None:
        self._most = max(1, credits // 2)
        self._frames = 0
        self._bytes = 0
        self._since_ns = 0
        self._results: list[tuple[str, Result]] = []

    def add(self, key: str, payload: bytes, header: Header) -> None:
        """One result."""
        self._results.append((key, (payload, header)))
        self._bytes += len(payload)

    def finish(self, handler_ns: int, now_ns: int, *, is_last: bool) -> bool:
        """A frame is done, all of its results added. True: send, and report.

        Args:
            handler_ns: what it took.
            now_ns: monotonic.
            is_last: no other frame waits.
        """
        if not self._frames:
            self._since_ns = now_ns
        self._frames += 1
        return is_last or handler_ns > QUICK_NS or self._frames >= self._most or now_ns - self._since_ns > LINGER_NS

    @property
    def has_news(self) -> bool:
        """Whether frames are done and not reported."""
        return self._frames > 0

    @property
    def is_full(self) -> bool:
        """Whether the results should be sent, though not yet the report on them: more would not fit into a bundle."""
        return self._bytes > MAX_BUNDLE_BYTES

    def take(self, *, in_order: bool = False) -> list[tuple[str, list[Result]]]:
        """All that waits: key, and payload and header of each result, in order.

        Args:
            in_order: results of one source keep their order under different keys too.
        """
        results, self._results = self._results, []
        self._bytes = 0
        return by_key(results, in_order=in_order)

    def reported(self) -> None:
        """All frames that are done were reported."""
        self._frames = 0
