"""Sets of sequence numbers as ranges, against sets that know nothing of ranges."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from nearfield.frame.ranges import HISTORY, MAX_RANGES, Range, RangeSet, within

NUMBERS = st.lists(st.integers(0, 60), max_size=80)


def numbers_of(ranges: list[Range]) -> list[int]:
    return [number for first, last in ranges for number in range(first, last + 1)]


@given(NUMBERS)
def test_ranges_hold_what_was_added_and_are_as_few_as_possible(numbers: list[int]) -> None:
    ranges, naive = RangeSet(), set()
    for number in numbers:
        ranges.add(number)
        naive.add(number)
        assert numbers_of(ranges.ranges()) == sorted(naive)
    assert all(last + 1 < first for (_, last), (first, _) in itertools.pairwise(ranges.ranges()))


@given(numbers=st.lists(st.integers(0, 500), max_size=300), since=st.integers(0, 520))
def test_latest_ranges_are_those_with_great_numbers_and_so_many_at_least(numbers: list[int], since: int) -> None:
    ranges = RangeSet()
    for number in numbers:
        ranges.add(2 * number)
    all_ranges, told = ranges.ranges(), ranges.ranges(since)
    assert told == all_ranges[len(all_ranges) - len(told) :]
    assert all(entry in told for entry in all_ranges if entry[1] >= since)
    assert len(told) == max(min(HISTORY, len(all_ranges)), sum(last >= since for _, last in all_ranges))


@given(numbers=st.lists(st.integers(0, 60), unique=True), held=NUMBERS)
def test_numbers_within_ranges_are_found_in_their_order(numbers: list[int], held: list[int]) -> None:
    ranges = RangeSet()
    for number in held:
        ranges.add(number)
    assert within(numbers, ranges.ranges()) == [number for number in numbers if number in held]


def test_lowest_range_is_forgotten_when_there_are_too_many() -> None:
    ranges = RangeSet()
    for number in range(0, 2 * MAX_RANGES, 2):
        ranges.add(number + 10)
    assert len(ranges.ranges()) == MAX_RANGES
    ranges.add(2 * MAX_RANGES + 10)
    assert (len(ranges.ranges()), ranges.ranges()[0]) == (MAX_RANGES, (12, 12))
    ranges.add(0)
    assert ranges.ranges()[:2] == [(0, 0), (14, 14)], "what is new is kept, so that it is told"
    ranges.add(2 * MAX_RANGES + 11)
    assert len(ranges.ranges()) == MAX_RANGES, "one that grows takes no place"
