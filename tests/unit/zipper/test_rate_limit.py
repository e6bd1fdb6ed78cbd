"""How much one source may send."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nearfield.zipper import rate_limit
from nearfield.zipper.rate_limit import NO_LIMIT, RateLimit, RateLimiter

SECOND_NS = 1_000_000_000


def test_without_a_limit_everything_is_let_in() -> None:
    limiter = RateLimiter(NO_LIMIT)
    assert all(limiter.allows("cam", 10**9, 0) for _ in range(1_000))


def test_frames_beyond_a_burst_wait_until_the_bucket_has_filled_again() -> None:
    limiter = RateLimiter(RateLimit(frames_per_s=2))
    assert [limiter.allows("cam", 1, 0) for _ in range(3)] == [True, True, False]
    assert [limiter.allows("cam", 1, SECOND_NS // 2) for _ in range(2)] == [True, False]
    assert [limiter.allows("cam", 1, 10 * SECOND_NS) for _ in range(3)] == [True, True, False]


def test_each_source_has_a_bucket_of_its_own() -> None:
    limiter = RateLimiter(RateLimit(frames_per_s=1))
    assert [limiter.allows(origin, 1, 0) for origin in ("flood", "flood", "cam")] == [True, False, True]


def test_a_frame_larger_than_the_bucket_passes_and_delays_the_next() -> None:
    limiter = RateLimiter(RateLimit(bytes_per_s=100))
    assert [limiter.allows("cam", size, 0) for size in (300, 1)] == [True, False]
    assert [limiter.allows("cam", 1, seconds * SECOND_NS) for seconds in (2, 3)] == [False, True]


def test_a_rate_below_one_frame_in_a_burst_lets_one_in_now_and_then() -> None:
    limiter = RateLimiter(RateLimit(frames_per_s=0.1))
    assert [limiter.allows("cam", 1, seconds * SECOND_NS) for seconds in (0, 5, 10)] == [True, False, True]


def test_time_that_goes_backwards_fills_nothing() -> None:
    limiter = RateLimiter(RateLimit(frames_per_s=1))
    assert limiter.allows("cam", 1, 5 * SECOND_NS)
    assert not limiter.allows("cam", 1, 0)
    assert not limiter.allows("cam", 1, 5 * SECOND_NS)
    assert limiter.allows("cam", 1, 6 * SECOND_NS)


def test_sources_that_are_remembered_are_bounded() -> None:
    limiter = RateLimiter(RateLimit(frames_per_s=1))
    for number in range(rate_limit.MAX_SOURCES + 1):
        limiter.allows(f"cam-{number}", 1, 0)
    assert limiter.allows("cam-0", 1, 0), "forgotten, and so full again"
    assert not limiter.allows(f"cam-{rate_limit.MAX_SOURCES}", 1, 0)


@given(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 2 * SECOND_NS), st.integers(0, 5)), max_size=60),
)
def test_no_more_is_let_in_than_a_burst_and_the_rate(rate: int, offers: list[tuple[int, int]]) -> None:
    limiter = RateLimiter(RateLimit(frames_per_s=rate))
    now_ns = taken = 0
    for pause_ns, count in offers:
        now_ns += pause_ns
        taken += sum(limiter.allows("cam", 1, now_ns) for _ in range(count))
        assert taken <= rate + rate * now_ns / 1e9 + 1e-6
