"""Frames of a stream that never came."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.frame import Frame, Header
from nearfield.frame.header import FLAG_ADDRESSED
from nearfield.sink.gaps import REMEMBERED_GAPS, REMEMBERED_STREAMS, Gaps

HEADER = Header(tag=0x11, stream=1, sequence=0, captured_ns=0, sent_ns=0)


def missing(sequences: Iterable[int]) -> int:
    gaps = Gaps()
    for sequence in sequences:
        gaps.note(Frame("cam", "line-1", replace(HEADER, sequence=sequence), b""))
    return gaps.missing


@pytest.mark.parametrize(
    ("sequences", "count"),
    [
        ([], 0),
        ([5, 6, 7], 0),
        ([0, 1, 4], 2),
        ([0, 3, 1], 1),
        ([0, 3, 1, 1, 3, 0, 2], 0),
        ([7, 3, 8], 0),
        ([0, 10**15, 10**15 - 1], 10**15 - 2),
    ],
)
def test_numbers_left_out_are_counted_until_they_come(sequences: list[int], count: int) -> None:
    assert missing(sequences) == count


@given(st.lists(st.integers(0, REMEMBERED_GAPS), min_size=1))
def test_count_is_that_of_the_numbers_between_the_first_and_the_highest_that_did_not_come(sequences: list[int]) -> None:
    begin, end = sequences[0], max(sequences)
    assert missing(sequences) == len(set(range(begin, end + 1)) - set(sequences))


def test_what_is_remembered_is_bounded() -> None:
    assert missing([0, REMEMBERED_GAPS + 3, 1, 2]) == REMEMBERED_GAPS + 2
    assert missing([0, REMEMBERED_GAPS + 3, 3]) == REMEMBERED_GAPS + 1
    gaps = Gaps()
    for stream in range(REMEMBERED_STREAMS + 1):
        gaps.note(Frame("cam", "line-1", replace(HEADER, stream=stream), b""))
    gaps.note(Frame("cam", "line-1", replace(HEADER, stream=0, sequence=9), b""))
    assert gaps.missing == 0, "the first stream was forgotten, and begins anew"


def test_streams_tags_and_origins_are_counted_apart_and_addressed_frames_not_at_all() -> None:
    gaps = Gaps()
    for origin, header in (
        ("cam", HEADER),
        ("cam", replace(HEADER, stream=2, sequence=4)),
        ("cam", replace(HEADER, tag=0x12, sequence=8)),
        ("door", replace(HEADER, sequence=12)),
        ("cam", replace(HEADER, sequence=99, flags=FLAG_ADDRESSED)),
    ):
        gaps.note(Frame(origin, "line-1", header, b""))
    assert gaps.missing == 0
