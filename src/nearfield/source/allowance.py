"""How much a live source may have on its way, so that frames wait here, where a newer one replaces them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

# One picture of a camera and a half; below it frames go out two at a time.
LEAST_BYTES = 128 * 1024
# A line of 1 Gbit/s carries it in 8 ms.
MOST_BYTES = 1024 * 1024
STEP_BYTES = 64 * 1024
# Answers that take so much longer than the quickest have waited behind frames on the way; less is a busy machine.
QUEUEING_NS = 10_000_000
# The quickest answer counts for so long: routes change.
QUICKEST_FOR_NS = 10_000_000_000


@dataclass(slots=True)
class Allowance:
    """Bytes that may be on their way: more while answers come quickly, half when they have to queue.

    Attributes:
        bytes: at this moment.
    """

    bytes: int = LEAST_BYTES * 2
    _quickest_ns: int | None = None
    _quickest_at_ns: int = 0

    def answered(self, took_ns: int, now_ns: int) -> None:
        """The zipper confirmed something at monotonic `now_ns`, `took_ns` after it was sent."""
        if self._quickest_ns is None or took_ns <= self._quickest_ns or self._is_old(now_ns):
            self._quickest_ns, self._quickest_at_ns = took_ns, now_ns
        if took_ns - self._quickest_ns > QUEUEING_NS:
            self.bytes = max(LEAST_BYTES, self.bytes // 2)
        else:
            self.bytes = min(MOST_BYTES, self.bytes + STEP_BYTES)

    def _is_old(self, now_ns: int) -> bool:
        return now_ns - self._quickest_at_ns > QUICKEST_FOR_NS


@dataclass(slots=True)
class Fence:
    """Bytes that nobody confirms, and the question sent behind them whose answer says that they are through.

    Attributes:
        bytes: sent, and not known to be through.
    """

    bytes: int = 0
    _number: int = 0
    _covered: int = 0
    _asked_ns: int | None = None

    def add(self, size: int) -> None:
        self.bytes += size

    def ask(self, now_ns: int) -> int | None:
        """The number of a question that is to be sent now; None: there is one on its way, or nothing to ask about."""
        if self._asked_ns is not None or not self.bytes:
            return None
        self._number += 1
        self._covered, self._asked_ns = self.bytes, now_ns
        return self._number

    def answered(self, number: int, now_ns: int) -> int | None:
        """A question was answered. Returns nanoseconds from asking; None: it was given up before."""
        if self._asked_ns is None or number != self._number:
            return None
        took_ns = now_ns - self._asked_ns
        self.bytes -= self._covered
        self._asked_ns = None
        return took_ns

    def give_up(self, now_ns: int, after_ns: int) -> None:
        """Take a question that was not answered within `after_ns` for answered."""
        if self._asked_ns is not None and now_ns - self._asked_ns > after_ns:
            self.answered(self._number, now_ns)
