"""What the zipper remembers of each source."""

from __future__ import annotations

import pytest

from nearfield.frame.ranges import HISTORY, MAX_RANGES, Range
from nearfield.zipper import streams
from nearfield.zipper.item import NEVER_NS
from nearfield.zipper.streams import LINGER_NS, Stream, Streams

NOW_NS = 10**9


def due(known: Streams, now_ns: int = NOW_NS) -> dict[str, list[Range]]:
    return {stream.origin: stream.acknowledge() for stream in known.take_unacknowledged(now_ns)}


def holding(known: Streams, frames: int, origin: str = "cam") -> Stream:
    """A stream of so many frames that one group has to settle."""
    stream = known.of(origin, 1)
    for sequence in range(frames):
        stream.admit(sequence, 1)
    return stream


def test_frame_that_no_group_keeps_is_released_at_once() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    assert stream.is_new(0)
    stream.admit(0, 0)
    assert due(known) == {"cam": [(0, 0)]}
    assert due(known) == {}


def test_frame_is_released_when_the_last_group_settled_it() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    stream.admit(0, 2)
    stream.settle(0)
    assert due(known) == {}
    stream.settle(0)
    assert due(known) == {"cam": [(0, 0)]}


def test_settling_what_is_not_held_changes_nothing() -> None:
    known = Streams()
    known.of("cam", 1).settle(3)
    assert due(known) == {}


def test_duplicate_is_refused_and_acknowledged_again_only_when_it_was_released() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    stream.admit(0, 1)
    assert not stream.is_new(0)
    assert due(known) == {}
    stream.settle(0)
    due(known)
    assert not stream.is_new(0)
    assert due(known) == {"cam": [(0, 0)]}


def test_acknowledgement_repeats_everything_in_one_piece_so_that_a_lost_one_is_repaired() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    for sequence in range(10_000):
        stream.admit(sequence, 0)
        due(known)
    stream.admit(10_001, 0)
    assert due(known) == {"cam": [(0, 9_999), (10_001, 10_001)]}


def test_acknowledgements_stay_short_when_frames_that_nobody_releases_leave_gaps() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    told: list[Range] = []
    for sequence in range(0, 1_000, 2):
        stream.admit(sequence, 0)
        told = due(known)["cam"]
        assert told[-1] == (sequence, sequence)
        assert len(told) <= HISTORY
    assert told == [(sequence, sequence) for sequence in range(1_000 - 2 * HISTORY, 1_000, 2)]


def test_acknowledgement_names_all_that_is_new_however_old_it_is() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    stream.admit(0, 1)
    for sequence in range(2, 1_000, 2):
        stream.admit(sequence, 0)
    due(known)
    stream.settle(0)
    assert due(known) == {"cam": [(sequence, sequence) for sequence in range(0, 1_000, 2)]}


# ---- when a source is told


@pytest.mark.parametrize(
    ("settled", "of", "is_due"), [(1, 1, True), (1, 4, True), (1, 5, False), (25, 100, True), (24, 100, False)]
)
def test_news_waits_until_it_is_a_quarter_of_what_the_source_had_under_way(settled: int, of: int, is_due: bool) -> None:
    known = Streams()
    stream = holding(known, of)
    for sequence in range(settled):
        stream.settle(sequence)
    assert due(known) == ({"cam": [(0, settled - 1)]} if is_due else {})


def test_news_does_not_wait_longer_than_so_long_after_it_was_first_looked_at() -> None:
    known = Streams()
    stream = holding(known, 100)
    assert known.due_ns == NEVER_NS
    stream.settle(0)
    assert due(known, NOW_NS) == {}
    assert known.due_ns == NOW_NS + LINGER_NS
    stream.settle(1)
    assert due(known, NOW_NS + LINGER_NS - 1) == {}
    assert due(known, NOW_NS + LINGER_NS) == {"cam": [(0, 1)]}
    assert known.due_ns == NEVER_NS
    stream.settle(2)
    assert due(known, NOW_NS + 2 * LINGER_NS) == {}, "waits anew"


def test_stream_that_waits_holds_no_other_up_and_each_is_told_once() -> None:
    known = Streams()
    slow, quick, late = holding(known, 100, "slow"), holding(known, 1, "quick"), holding(known, 50, "late")
    for stream in (slow, quick):
        stream.settle(0)
    assert due(known, NOW_NS) == {"quick": [(0, 0)]}
    late.settle(0)
    assert due(known, NOW_NS + 1) == {}
    assert known.due_ns == NOW_NS + LINGER_NS, "the one that has waited longest"
    assert due(known, NOW_NS + LINGER_NS) == {"slow": [(0, 0)]}
    assert due(known, NOW_NS + 1 + LINGER_NS) == {"late": [(0, 0)]}


# ---- what is new


def test_frames_may_come_in_any_order() -> None:
    stream = Streams().of("cam", 1)
    new = []
    for sequence in (5, 3, 4, 3):
        new.append(stream.is_new(sequence))
        stream.admit(sequence, 1)
    assert new == [True, True, True, False]


def test_everything_in_one_piece_is_remembered_for_good() -> None:
    stream = Streams().of("cam", 1)
    for sequence in range(10_000):
        assert stream.is_new(sequence)
        stream.admit(sequence, 0)
    assert not any(map(stream.is_new, range(10_000)))
    assert stream.is_new(10_000)


def test_what_is_older_than_all_that_is_remembered_counts_as_admitted() -> None:
    stream = Streams().of("cam", 1)
    for sequence in range(1, 2 * MAX_RANGES + 2, 2):
        assert stream.is_new(sequence)
        stream.admit(sequence, 0)
    assert not stream.is_new(1), "forgotten"
    assert not stream.is_new(0)
    assert stream.is_new(4), "a gap that is remembered"


def test_two_incarnations_of_one_source_are_apart() -> None:
    known = Streams()
    known.of("cam", 1).admit(0, 1)
    assert known.of("cam", 2).is_new(0)
    assert known.find("cam", 1) is known.of("cam", 1)
    assert known.find("cam", 3) is None


def test_least_recently_used_stream_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 2)
    known = Streams()
    known.of("a", 1)
    known.of("b", 1)
    known.of("a", 1)
    known.of("c", 1)
    assert [known.find(origin, 1) is not None for origin in "abc"] == [True, False, True]


def test_streams_whose_frames_are_held_are_kept_and_so_is_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 2)
    known = Streams()
    for origin in "ab":
        stream = known.of(origin, 1)
        stream.admit(0, 1)
    newest = known.of("c", 1)
    newest.admit(0, 1)
    assert all(known.find(origin, 1) is not None for origin in "abc")


def test_held_streams_cost_no_more_the_more_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 100)
    known = Streams()
    for number in range(100):
        holding(known, 1, f"held-{number}")
    known.of("free", 1)
    for number in range(100 // streams.FORGET_TRIES + 1):
        known.of(f"more-{number}", 1)
    assert known.find("free", 1) is None, "found at last"
    assert all(known.find(f"held-{number}", 1) is not None for number in range(100))


def test_streams_with_many_gaps_are_forgotten_beyond_so_many_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_RANGES", 25)
    known = Streams()
    for origin in "abc":
        for sequence in range(0, 20, 2):
            known.of(origin, 1).admit(sequence, 0)
    known.tidy()
    assert [known.find(origin, 1) is not None for origin in "abc"] == [False, True, True]
