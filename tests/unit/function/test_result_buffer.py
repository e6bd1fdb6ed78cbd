"""When results and reports leave."""

from __future__ import annotations

import pytest

from nearfield.frame import keys
from nearfield.frame.bundle import MAX_BUNDLE_BYTES
from nearfield.function.result_buffer import LINGER_NS, QUICK_NS, ResultBuffer

NOW_NS = 10**9
ONE, OTHER = keys.frame("default", 1, "z", "cam", "f"), keys.frame("default", 2, "z", "cam", "f")


@pytest.mark.parametrize(
    ("handler_ns", "since_first_ns", "is_last", "send"),
    [
        (0, 0, False, False),
        (QUICK_NS, LINGER_NS, False, False),
        (0, 0, True, True),
        (QUICK_NS + 1, 0, False, True),
        (0, LINGER_NS + 1, False, True),
    ],
)
def test_results_wait_for_those_of_quick_frames_only_and_not_for_long(
    handler_ns: int, since_first_ns: int, is_last: bool, send: bool
) -> None:
    buffer = ResultBuffer(256)
    assert not buffer.finish(0, NOW_NS, is_last=False)
    assert buffer.has_news
    assert buffer.finish(handler_ns, NOW_NS + since_first_ns, is_last=is_last) == send


@pytest.mark.parametrize(("credits", "frames"), [(1, 1), (2, 1), (3, 1), (8, 4), (256, 128)])
def test_reports_leave_before_half_of_the_credits_wait_for_them(credits: int, frames: int) -> None:
    buffer = ResultBuffer(credits)
    for _ in range(2):
        decisions = [buffer.finish(0, NOW_NS, is_last=False) for _ in range(frames)]
        assert decisions == [False] * (frames - 1) + [True]
        buffer.reported()
        assert not buffer.has_news


def test_waiting_begins_anew_with_each_report() -> None:
    buffer = ResultBuffer(256)
    buffer.finish(0, NOW_NS, is_last=False)
    buffer.reported()
    assert not buffer.finish(0, NOW_NS + 2 * LINGER_NS, is_last=False)
    assert buffer.finish(0, NOW_NS + 3 * LINGER_NS + 1, is_last=False)


def test_results_are_full_when_more_would_not_fit_into_a_bundle() -> None:
    buffer = ResultBuffer(256)
    buffer.add("a", bytes(MAX_BUNDLE_BYTES), b"")
    assert not buffer.is_full
    buffer.add("b", b"1", b"")
    assert buffer.is_full
    buffer.finish(0, NOW_NS, is_last=False)
    buffer.take()
    assert not buffer.is_full
    assert buffer.has_news, "not reported yet"


def test_results_are_taken_once_by_key_or_in_order() -> None:
    buffer = ResultBuffer(256)
    results = {b"1": ONE, b"2": OTHER, b"3": ONE}
    for payload, key in results.items():
        buffer.add(key, payload, b"h" + payload)
    assert buffer.take() == [(ONE, [(b"1", b"h1"), (b"3", b"h3")]), (OTHER, [(b"2", b"h2")])]
    assert buffer.take() == []
    for payload, key in results.items():
        buffer.add(key, payload, b"")
    assert buffer.take(in_order=True) == [(ONE, [(b"1", b"")]), (OTHER, [(b"2", b"")]), (ONE, [(b"3", b"")])]
