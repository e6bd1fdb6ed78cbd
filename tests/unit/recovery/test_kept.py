"""What a sender keeps, and finds again for those who ask."""

from __future__ import annotations

import pytest

from nearfield.recovery import KeptFrame
from nearfield.recovery.kept import ANSWER_BYTES, FRAME_BYTES, Kept

EVER = -(10**18)
ALL = [(1, 2**32 - 1)]


def frame(count: int, tag: int = 17, payload: bytes = b"", published_ns: int = 0) -> KeptFrame:
    return KeptFrame(tag, count, "cam", b"header", payload, published_ns)


def kept_of(*counts: int) -> Kept:
    kept = Kept()
    for count in counts:
        kept.add(frame(count))
    return kept


def counts_in(kept: Kept, tag: int = 17) -> list[int]:
    return [each.count for each in kept.find(tag, ALL, EVER)[0]]


def test_what_was_asked_for_is_found_and_nothing_else() -> None:
    found, through = kept_of(*range(1, 11)).find(17, [(2, 3), (9, 20)], EVER)
    assert ([each.count for each in found], through) == ([2, 3, 9, 10], 20)


def test_frames_of_another_tag_are_not_found() -> None:
    assert kept_of(1, 2).find(18, ALL, EVER) == ([], ALL[-1][1])


def test_frames_published_before_the_asker_listened_are_left_out() -> None:
    kept = Kept()
    for count in range(1, 5):
        kept.add(frame(count, published_ns=100 * count))
    assert [each.count for each in kept.find(17, ALL, 300)[0]] == [3, 4]


def test_a_frame_that_is_sent_again_is_kept_once() -> None:
    kept = kept_of(1, 2, 3, 2, 3)
    assert len(kept) == 3
    assert counts_in(kept) == [1, 2, 3]


@pytest.mark.parametrize("order", [(1, 3, 2, 4), (2, 1, 3), (1, 2, 5, 4, 3)])
def test_frames_of_threads_that_overtook_each_other_are_all_kept(order: tuple[int, ...]) -> None:
    kept = kept_of(*order)
    assert counts_in(kept) == sorted(order)
    kept.expire(10**12)
    assert (len(kept), kept.latest()) == (0, [])


def test_counts_that_begin_anew_make_those_before_forgotten() -> None:
    kept = kept_of(2**32 - 2, 2**32 - 1)
    kept.add(frame(7, tag=18))
    kept.add(frame(1))
    assert counts_in(kept) == [1]
    assert counts_in(kept, 18) == [7]
    assert len(kept) == 2


def test_the_oldest_makes_room_whatever_its_tag() -> None:
    kept = Kept(max_frames=2)
    for count, tag in ((1, 17), (1, 18), (2, 18)):
        kept.add(frame(count, tag))
    assert counts_in(kept) == []
    assert counts_in(kept, 18) == [1, 2]


def test_the_latest_is_kept_however_large_it_is() -> None:
    kept = Kept(max_bytes=2 * FRAME_BYTES)
    for count, size in ((1, 0), (2, 0), (3, 10 * FRAME_BYTES)):
        kept.add(frame(count, payload=bytes(size)))
    assert counts_in(kept) == [3]


def test_frames_are_kept_for_a_while_and_not_longer() -> None:
    kept = Kept(keep_ns=100)
    kept.add(frame(1, published_ns=10))
    kept.add(frame(2, published_ns=20))
    kept.expire(110)
    assert counts_in(kept) == [1, 2]
    kept.expire(111)
    assert counts_in(kept) == [2]


def test_an_answer_holds_what_fits_and_says_how_far_it_goes() -> None:
    kept = Kept()
    for count in range(1, 11):
        kept.add(frame(count, payload=bytes(ANSWER_BYTES // 4)))
    found, through = kept.find(17, [(2, 10)], EVER)
    assert ([each.count for each in found], through) == ([2, 3, 4], 4)
    assert [each.count for each in kept.find(17, [(through + 1, 10)], EVER)[0]] == [5, 6, 7]


def test_a_frame_larger_than_an_answer_is_sent_by_itself() -> None:
    kept = Kept()
    for count in (1, 2):
        kept.add(frame(count, payload=bytes(2 * ANSWER_BYTES)))
    found, through = kept.find(17, ALL, EVER)
    assert ([each.count for each in found], through) == ([1], 1)


@pytest.mark.parametrize("counts", [[(3, 1)], [(5, 6), (1, 2)], [(1, 4), (2, 3)], [(2, 2)] * 64])
def test_ranges_that_make_no_sense_are_answered_with_each_frame_once_at_most(counts: list[tuple[int, int]]) -> None:
    found, _ = kept_of(*range(1, 7)).find(17, counts, EVER)
    assert len({each.count for each in found}) == len(found)
