"""Frames that wait for earlier ones."""

from __future__ import annotations

from nearfield.frame import Header
from nearfield.recovery import Arrival
from nearfield.recovery.held import Held
from tests.doubles import MemoryPayload


def arrival(sender: int, count: int, tag: int = 17) -> Arrival:
    header = Header(tag, 1, count, 0, 0, sender=sender, count=count)
    return "key", MemoryPayload(b"%d/%d/%d" % (tag, sender, count)), header.encode()


def shown(arrivals: list[Arrival]) -> list[str]:
    return [payload.to_bytes().decode().removeprefix("17/") for _, payload, _ in arrivals]


def held_of(*arrivals: Arrival) -> Held:
    held = Held()
    held.add(arrivals)
    return held


def test_frames_leave_in_the_order_in_which_they_came_and_once() -> None:
    held = held_of(arrival(1, 5), arrival(2, 1), arrival(1, 6))
    assert len(held) == 3
    assert shown(held.take()) == ["1/5", "2/1", "1/6"]
    assert (held.take(), len(held)) == ([], 0)


def test_a_recovered_frame_goes_before_the_next_of_its_sender_and_behind_those_of_others() -> None:
    held = held_of(arrival(1, 3), arrival(2, 9), arrival(1, 6), arrival(1, 7))
    held.insert([arrival(1, 5), arrival(1, 4)])
    assert shown(held.take()) == ["1/3", "2/9", "1/4", "1/5", "1/6", "1/7"]


def test_a_recovered_frame_that_none_follows_goes_right_behind_the_latest_of_its_sender() -> None:
    held = held_of(arrival(1, 3), arrival(2, 9))
    held.insert([arrival(1, 4)])
    assert shown(held.take()) == ["1/3", "1/4", "2/9"]


def test_a_recovered_frame_of_a_sender_that_has_none_here_goes_before_all() -> None:
    held = held_of(arrival(2, 9))
    held.insert([arrival(1, 4), arrival(1, 5)])
    assert shown(held.take()) == ["1/4", "1/5", "2/9"]


def test_frames_of_one_sender_with_another_tag_are_another_matter() -> None:
    held = held_of(arrival(1, 9, tag=18), arrival(1, 5))
    held.insert([arrival(1, 4)])
    assert shown(held.take()) == ["18/1/9", "1/4", "1/5"]


def test_frames_that_come_late_by_themselves_take_their_place() -> None:
    held = held_of(arrival(1, 5), arrival(2, 9), arrival(1, 7), arrival(1, 6), arrival(1, 4), arrival(2, 8))
    assert len(held) == 6
    assert shown(held.take()) == ["1/4", "1/5", "2/8", "2/9", "1/6", "1/7"]
    assert len(held) == 0


def test_frames_of_several_senders_are_recovered_at_once() -> None:
    held = held_of(arrival(1, 5), arrival(2, 9))
    held.insert([arrival(2, 10), arrival(1, 4), arrival(3, 2), arrival(3, 1)])
    held.add([arrival(2, 8)])
    assert shown(held.take()) == ["3/1", "3/2", "1/4", "1/5", "2/8", "2/9", "2/10"]


def test_nothing_recovered_changes_nothing() -> None:
    held = held_of(arrival(1, 5))
    held.insert([])
    assert shown(held.take()) == ["1/5"]
