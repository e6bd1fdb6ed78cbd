"""What one source may send, and that no history of sending gets more through than its bucket holds."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.zipper import rate_limit
from nearfield.zipper.rate_limit import RateLimit, RateLimiter

S = 1_000_000_000


@pytest.mark.parametrize(
    ("limit", "sent", "allowed"),
    [
        # sent: (milliseconds, bytes)
        (RateLimit(), [(0, 10**9)] * 5, [True] * 5),
        (RateLimit(frames_per_s=2), [(0, 1)] * 3, [True, True, False]),
        (RateLimit(frames_per_s=2), [(0, 1), (0, 1), (499, 1), (500, 1), (501, 1)], [True, True, False, True, False]),
        # What is refused costs nothing, and what is saved up is a burst at most.
        (RateLimit(frames_per_s=2), [(0, 1)] * 9 + [(500, 1)], [True] * 2 + [False] * 7 + [True]),
        (RateLimit(frames_per_s=2), [(0, 1)] + [(60_000, 1)] * 3, [True, True, True, False]),
        (RateLimit(frames_per_s=2, burst_s=2.0), [(0, 1)] * 5, [True] * 4 + [False]),
        # Less than one frame in a burst's time is one now and then.
        (RateLimit(frames_per_s=0.5), [(0, 1), (1_999, 1), (2_000, 1)], [True, False, True]),
        # A frame larger than the bucket passes, and is paid off.
        (RateLimit(bytes_per_s=1_000), [(0, 3_000), (1_999, 1), (2_000, 1), (2_001, 1)], [True, False, False, True]),
        (RateLimit(bytes_per_s=1_000), [(0, 400)] * 4, [True, True, True, False]),
        (RateLimit(frames_per_s=10, bytes_per_s=100), [(0, 100), (0, 1), (500, 1)], [True, False, True]),
        # A clock that stands still or is behind gives nothing.
        (RateLimit(frames_per_s=1), [(1_000, 1), (0, 1), (1_000, 1), (2_000, 1)], [True, False, False, True]),
    ],
)
def test_source_may_send_so_much(limit: RateLimit, sent: list[tuple[int, int]], allowed: list[bool]) -> None:
    limiter = RateLimiter(limit)
    assert [limiter.allows("cam", size, ms * 1_000_000) for ms, size in sent] == allowed


def test_each_source_has_its_own_bucket() -> None:
    limiter = RateLimiter(RateLimit(frames_per_s=1))
    assert [limiter.allows(origin, 1, 0) for origin in ("a", "b", "a", "b")] == [True, True, False, False]


def test_source_not_heard_of_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "MAX_SOURCES", 2)
    limiter = RateLimiter(RateLimit(frames_per_s=1))
    assert [limiter.allows(origin, 1, 0) for origin in "abac"] == [True, True, False, True]
    assert [limiter.allows(origin, 1, 0) for origin in "acb"] == [False, False, True]


@dataclass
class Bucket:
    """What is left, counted in the plainest way."""

    size: float
    rate_per_s: float
    left: float
    at_ns: int = 0

    def fill(self, now_ns: int) -> None:
        self.left = min(self.size, self.left + (now_ns - self.at_ns) / S * self.rate_per_s)
        self.at_ns = now_ns


# Times and rates that are whole in binary, so that both count the same to the last bit.
STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 12).map(lambda n: n * S // 4), st.integers(0, 40)), max_size=60
)


@given(STEPS, st.sampled_from([1, 2, 4, 16]), st.sampled_from([1, 8, 32]), st.sampled_from([0.5, 1.0, 4.0]))
def test_limiter_agrees_with_plain_buckets_and_lets_no_more_than_rate_and_burst_through(
    steps: list[tuple[str, int, int]], frames_per_s: int, bytes_per_s: int, burst_s: float
) -> None:
    limiter = RateLimiter(RateLimit(frames_per_s, bytes_per_s, burst_s))
    buckets: dict[str, tuple[Bucket, Bucket]] = {}
    passed: dict[str, list[int]] = {"a": [], "b": []}
    now_ns = 0
    for origin, pause_ns, size in steps:
        now_ns += pause_ns
        frames_held, bytes_held = max(1.0, frames_per_s * burst_s), max(1.0, bytes_per_s * burst_s)
        frames, content = buckets.setdefault(
            origin,
            (
                Bucket(frames_held, frames_per_s, frames_held, now_ns),
                Bucket(bytes_held, bytes_per_s, bytes_held, now_ns),
            ),
        )
        frames.fill(now_ns)
        content.fill(now_ns)
        expected = frames.left >= 1 and content.left > 0
        if expected:
            frames.left -= 1
            content.left -= size
            passed[origin].append(size)
        assert limiter.allows(origin, size, now_ns) == expected
        assert len(passed[origin]) <= frames_held + now_ns / S * frames_per_s
        # The last one may be larger than what was left.
        assert sum(passed[origin][:-1]) <= bytes_held + now_ns / S * bytes_per_s
