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
    sizes = {"a": 6, "b": 4, "c": 1, "d": 0}
    assert [box.put_frames(nothing, sender, 1, size) for sender, size in sizes.items()] == [True, True, False, True]
    box.take()
    assert [box.put_frames(nothing, sender, 1, size) for sender, size in (("e", 7), ("f", 6))] == [False, True]


def test_no_sender_takes_more_than_a_part_of_the_bytes() -> None:
    box = Inbox(40)
    assert [box.put_frames(nothing, "flood", 1, size) for size in (6, 4, 1)] == [True, True, False]
    assert box.put_frames(nothing, "cam", 1, 30), "one alone may be larger than its part"
    box.take()
    assert [box.put_frames(nothing, "flood", 1, size) for size in (7, 6)] == [False, True]


def test_messages_have_room_of_their_own_and_what_is_refused_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_MESSAGES", 3)
    monkeypatch.setattr(inbox, "INBOX_MESSAGE_BYTES", 10)
    monkeypatch.setattr(inbox, "MAX_MESSAGE_BYTES", 9)
    box = Inbox(10)
    assert box.put_frames(nothing, "cam", 2, 10)
    assert not box.put_frames(nothing, "other", 2, 1)
    assert [box.put_message(nothing, size) for size in (10, 9, 2, 1, 0, 0)] == [False, True, False, True, True, False]
    assert box.take_refused() == {"frames": 2, "messages": 3}
    assert box.take_refused() == {}
    for _ in range(2):
        assert box.take() is nothing
    assert [box.put_message(nothing, size) for size in (9, 1)] == [True, False]


def test_a_single_frame_finds_room_however_large() -> None:
    box = Inbox(10)
    assert box.put_frames(nothing, "cam", 1, 11)
    assert not box.put_frames(nothing, "cam", 1, 1)


def test_frames_are_refused_beyond_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_FRAMES", 2)
    monkeypatch.setattr(inbox, "SENDERS_PART", 1)
    box = Inbox(10)
    assert [box.put_frames(nothing, "cam", 1, 1) for _ in range(3)] == [True, True, False]
    box.put(nothing)  # what is no frame always goes in
    assert [box.take() for _ in range(4)] == [nothing, nothing, nothing, None]


def test_frames_that_come_together_count_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_FRAMES", 4)
    monkeypatch.setattr(inbox, "SENDERS_PART", 1)
    box = Inbox(10)
    # Those that find room for one find it for all: what came together is never parted.
    assert [box.put_frames(nothing, "cam", frames, 0) for frames in (3, 3, 1)] == [True, True, False]
    box.take()
    assert [box.put_frames(nothing, "cam", frames, 0) for frames in (1, 1)] == [True, False]


def test_one_sender_takes_a_part_of_the_room_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "INBOX_FRAMES", 8)
    box = Inbox(10)
    assert [box.put_frames(nothing, "flood", 1, 0) for _ in range(3)] == [True, True, False]
    assert [box.put_frames(nothing, "cam", 1, 0) for _ in range(3)] == [True, True, False]
    box.take()
    assert [box.put_frames(nothing, sender, 1, 0) for sender in ("cam", "flood", "flood")] == [False, True, False]


def test_bytes_of_frames_that_come_together_are_refused_together() -> None:
    box = Inbox(10)
    sizes = {"a": 8, "b": 3, "c": 2}
    assert [box.put_frames(nothing, sender, 2, size) for sender, size in sizes.items()] == [True, False, True]


def test_taking_waits_until_it_is_woken() -> None:
    box = Inbox(10)
    thread = threading.Timer(0.01, lambda: box.put(None))
    thread.start()
    assert box.take(timeout_s=10) is None
    thread.join()
