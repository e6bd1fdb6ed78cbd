"""When frames that wait for company leave."""

from __future__ import annotations

import pytest

from nearfield.frame import Header
from nearfield.frame.bundle import MAX_MEMBER_BYTES
from nearfield.source.linger import LINGER_NS, MAX_BYTES, MAX_FRAMES, SPACING_NS, Linger
from nearfield.source.window import OutgoingFrame

NOW_NS = 10**9


def frame(sequence: int = 0, size: int = 0) -> OutgoingFrame:
    return OutgoingFrame(Header(1, 1, sequence, 0, 0), bytes(size))


def left_at(now_ns: int) -> Linger:
    """Nothing waits, and the last ones left at this moment."""
    linger = Linger()
    linger.add(frame(), 0, now_ns)
    linger.take(now_ns)
    return linger


@pytest.mark.parametrize(
    ("under_way", "waiting", "leave"),
    [(1, 1, True), (3, 1, True), (4, 1, False), (6, 2, True), (7, 2, False), (300, 99, False), (300, 100, True)],
)
def test_those_that_wait_leave_when_they_are_a_quarter_of_all(under_way: int, waiting: int, leave: bool) -> None:
    linger = left_at(NOW_NS)
    for number in range(waiting - 1):
        assert not linger.add(frame(number), 3 * MAX_FRAMES, NOW_NS)
    assert linger.add(frame(), under_way, NOW_NS) == leave


@pytest.mark.parametrize(
    ("under_way", "since_left_ns", "leave", "due_ns"),
    [
        (0, SPACING_NS, True, NOW_NS),
        (0, SPACING_NS - 1, False, NOW_NS + 1),
        (0, 0, False, NOW_NS + SPACING_NS),
        (100, 0, False, NOW_NS + LINGER_NS),
        (100, 10**9, False, NOW_NS + LINGER_NS),
    ],
)
def test_frame_alone_waits_until_the_spacing_or_the_longest_wait_is_over(
    under_way: int, since_left_ns: int, leave: bool, due_ns: int
) -> None:
    linger = left_at(NOW_NS - since_left_ns)
    assert linger.add(frame(), under_way, NOW_NS) == leave
    assert linger.due_ns == due_ns


def test_further_frames_do_not_put_off_the_first_one() -> None:
    linger = left_at(NOW_NS)
    assert not linger.add(frame(0), 100, NOW_NS)
    assert not linger.add(frame(1), 100, NOW_NS + LINGER_NS - 1)
    assert linger.due_ns == NOW_NS + LINGER_NS
    assert linger.add(frame(2), 100, NOW_NS + LINGER_NS)


def test_frame_that_waited_out_what_was_under_way_leaves_with_the_next() -> None:
    linger = left_at(NOW_NS)
    assert not linger.add(frame(0), 100, NOW_NS)
    assert not linger.add(frame(1), 0, NOW_NS + 1), "nothing under way is no reason to hurry by itself"
    assert linger.add(frame(2), 0, NOW_NS + LINGER_NS)


@pytest.mark.parametrize("sizes", [[MAX_MEMBER_BYTES + 1], [MAX_MEMBER_BYTES] * 8 + [1], [0] * MAX_FRAMES])
def test_what_is_large_or_many_leaves_at_once(sizes: list[int]) -> None:
    linger = left_at(NOW_NS)
    assert [linger.add(frame(size=size), 10**6, NOW_NS) for size in sizes] == [False] * (len(sizes) - 1) + [True]
    assert sum(sizes) <= MAX_BYTES + MAX_MEMBER_BYTES


def test_all_leave_in_order_and_sizes_start_anew() -> None:
    linger = left_at(NOW_NS)
    for number in range(8):
        linger.add(frame(number, MAX_MEMBER_BYTES), 10**6, NOW_NS)
    assert len(linger) == 8
    assert [each.header.sequence for each in linger.take(NOW_NS)] == list(range(8))
    assert (len(linger), linger.take(NOW_NS)) == (0, [])
    assert not linger.add(frame(8, MAX_MEMBER_BYTES), 10**6, NOW_NS)


def test_taking_nothing_does_not_put_off_the_next_frame() -> None:
    linger = left_at(NOW_NS)
    linger.take(NOW_NS + SPACING_NS)
    assert linger.add(frame(), 0, NOW_NS + SPACING_NS)
