"""How much one source may send: token buckets, one for each. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

# Sources that are remembered. One that is forgotten begins with a full bucket.
MAX_SOURCES = 10_000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """For each source.

    Attributes:
        frames_per_s, bytes_per_s: in the long run; None: no limit.
        burst_s: as much as it may send in this time may come at once.
    """

    frames_per_s: float | None = None
    bytes_per_s: float | None = None
    burst_s: float = 1.0

    @property
    def is_none(self) -> bool:
        return self.frames_per_s is None and self.bytes_per_s is None


NO_LIMIT = RateLimit()


@dataclass(slots=True)
class _Bucket:
    frames: float
    bytes: float
    filled_ns: int


class RateLimiter:
    """Tells the frames of sources that send too much. One thread at a time."""

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allows(self, origin: str, size: int, now_ns: int) -> bool:
        """Whether one more frame of `size` bytes is within the limit; it then counts.

        A frame is let in as long as anything is left, so one larger than the bucket passes too, and delays the next.
        """
        limit = self._limit
        if limit.is_none:
            return True
        bucket = self._bucket_of(origin, now_ns)
        elapsed_s = max(0, now_ns - bucket.filled_ns) / 1e9
        bucket.filled_ns = max(now_ns, bucket.filled_ns)
        bucket.frames = _refilled(bucket.frames, limit.frames_per_s, limit.burst_s, elapsed_s)
        bucket.bytes = _refilled(bucket.bytes, limit.bytes_per_s, limit.burst_s, elapsed_s)
        if bucket.frames < 1 or bucket.bytes <= 0:
            return False
        bucket.frames -= 1
        bucket.bytes -= size
        return True

    def _bucket_of(self, origin: str, now_ns: int) -> _Bucket:
        bucket = self._buckets.get(origin)
        if bucket is not None:
            self._buckets.move_to_end(origin)
            return bucket
        if len(self._buckets) >= MAX_SOURCES:
            self._buckets.popitem(last=False)
        bucket = self._buckets[origin] = _Bucket(_FULL, _FULL, now_ns)
        return bucket


_FULL = float("inf")


def _refilled(content: float, rate_per_s: float | None, burst_s: float, elapsed_s: float) -> float:
    if rate_per_s is None:
        return _FULL
    # A rate below one frame in the time of a burst still lets one in now and then.
    return min(max(1.0, rate_per_s * burst_s), content + elapsed_s * rate_per_s)
