"""What the zipper remembers of each source."""

from __future__ import annotations

import pytest

from nearfield.frame.control import ACK_HISTORY
from nearfield.zipper import streams
from nearfield.zipper.streams import DUPLICATE_WINDOW, Streams


def due(known: Streams) -> dict[str, list[int]]:
    return {stream.origin: stream.acknowledge() for stream in known.take_unacknowledged()}


def test_frame_that_no_group_keeps_is_released_at_once() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    assert stream.is_new(0)
    stream.admit(0, 0)
    assert due(known) == {"cam": [0]}
    assert due(known) == {}


def test_frame_is_released_when_the_last_group_settled_it() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    stream.admit(0, 2)
    stream.settle(0)
    assert due(known) == {}
    stream.settle(0)
    assert due(known) == {"cam": [0]}


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
    assert due(known) == {"cam": [0, 0]}


def test_acknowledgement_repeats_the_latest_so_that_a_lost_one_is_repaired() -> None:
    known = Streams()
    stream = known.of("cam", 1)
    for sequence in range(ACK_HISTORY + 10):
        stream.admit(sequence, 0)
    assert due(known) == {"cam": list(range(10, ACK_HISTORY + 10))}


def test_frames_may_come_in_any_order() -> None:
    stream = Streams().of("cam", 1)
    new = []
    for sequence in (5, 3, 4, 3):
        new.append(stream.is_new(sequence))
        stream.admit(sequence, 1)
    assert new == [True, True, True, False]


def test_what_is_older_than_the_window_counts_as_seen() -> None:
    stream = Streams().of("cam", 1)
    for sequence in range(DUPLICATE_WINDOW + 1):
        assert stream.is_new(sequence)
        stream.admit(sequence, 1)
    assert not stream.is_new(0)
    assert stream.is_new(DUPLICATE_WINDOW + 1)


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
