"""Events on their way to the dispatcher's thread."""

from __future__ import annotations

import threading

import pytest

from nearfield.zipper import inbox
from nearfield.zipper.inbox import Inbox


def nothing(now_ns: int) -> None: ...


def test_events_come_out_in_order() -> None:
    box, seen = Inbox(100), []
    box.put(lambda now_ns: seen.append(("event", now_ns)))
    assert box.put_frames(lambda now_ns: seen.append(("frame", now_ns)), "cam", 1, 5)
    for now_ns in (1, 2):
        event = box.take()
        assert event is not None
        event(now_ns)
    assert seen == [("event", 1), ("frame", 2)]
    assert box.take() is None


def test_frames_are_refused_beyond_so_many_bytes_until_some_are_taken() -> None:
    box = Inbox(10)
    assert [box.put_frames(nothing, "cam", 1, size) for size in (6, 4, 1, 0)] == [True, True, False, True]
    box.take()
    assert [box.put_frames(nothing, "cam", 1, size) for size in (7, 6)] == [False, True]


def test_a_single_frame_finds_room_however_large() -> None:
    box = Inbox(10)
    assert box.put_frames(nothing, "cam", 1, 11)
    assert not box.put_frames(nothing, "cam", 1, 1)


def test_frames_are_refused_beyond_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_FRAMES", 2)
    monkeypatch.setattr(inbox, "SENDERS_PART", 1)
    box = Inbox(10)
    assert [box.put_frames(nothing, sender, 1, 1) for sender in ("a", "b", "c")] == [True, True, False]
    box.put(nothing)  # what is no frame always goes in
    assert [box.take() for _ in range(4)] == [nothing, nothing, nothing, None]


def test_nobody_takes_more_than_a_part_so_that_others_find_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_FRAMES", 8)
    monkeypatch.setattr(inbox, "SENDERS_PART", 4)
    box = Inbox(1_000)
    assert [box.put_frames(nothing, "flood", 1, 1) for _ in range(4)] == [True, True, False, False]
    assert [box.put_frames(nothing, sender, 1, 1) for sender in ("cam", "door", "flood")] == [True, True, False]
    box.take()
    assert [box.put_frames(nothing, "flood", 1, 1) for _ in range(2)] == [True, False]


def test_senders_that_come_and_go_leave_nothing_behind() -> None:
    box = Inbox(1_000)
    for number in range(3 * inbox.INBOX_FRAMES):
        assert box.put_frames(nothing, f"cam-{number}", 1, 1)
        assert box.take() is nothing
    assert box._frames_of == {}


def test_frames_that_come_together_count_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_FRAMES", 4)
    monkeypatch.setattr(inbox, "SENDERS_PART", 1)
    box = Inbox(10)
    # Those that find room for one find it for all: what came together is never parted.
    assert [box.put_frames(nothing, "cam", frames, 0) for frames in (3, 3, 1)] == [True, True, False]
    box.take()
    assert [box.put_frames(nothing, "cam", frames, 0) for frames in (1, 1)] == [True, False]


def test_bytes_of_frames_that_come_together_are_refused_together() -> None:
    box = Inbox(10)
    assert [box.put_frames(nothing, "cam", 2, size) for size in (8, 3, 2)] == [True, False, True]


def test_taking_waits_until_it_is_woken() -> None:
    box = Inbox(10)
    thread = threading.Timer(0.01, lambda: box.put(None))
    thread.start()
    assert box.take(timeout_s=10) is None
    thread.join()
