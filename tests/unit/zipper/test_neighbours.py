"""Handing frames to other zippers and taking theirs, rule by rule; any order of events is in tests/property."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nearfield.clock import ManualClock
from nearfield.frame import Header
from nearfield.frame.control import Capacity, Done, GroupOffer, Heard, JoinRequest, Report
from nearfield.zipper import Dispatcher, GroupPolicy
from nearfield.zipper.inbound import LONG_HISTORY
from nearfield.zipper.item import Ticket
from nearfield.zipper.peers import MAX_OFFERED_TAGS, MAX_PEERS

TAG = 0x10
MS = 1_000_000
WORK = GroupPolicy("work", frozenset({TAG}), "complete")
ORDERED = replace(WORK, order="source")


class Node:
    """The dispatcher of zipper `here`, a clock, and short words for what happens to it."""

    def __init__(self, *policies: GroupPolicy) -> None:
        self.clock = ManualClock()
        self.dispatcher: Dispatcher[str] = Dispatcher(policies, epoch=7, name="here")
        self.neighbours = self.dispatcher.neighbours
        self.stamps = 0

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    def hear(
        self,
        name: str = "there",
        free: int = 1,
        *,
        epoch: int = 1,
        received: int = 0,
        round_trip_ms: int = 5,
        **offer: Any,
    ) -> bool:
        self.stamps += 1
        heard = Heard(epoch=7, stamp_ns=self.now_ns - (round_trip_ms + 3) * MS, held_ns=3 * MS, received=received)
        groups = {"work": GroupOffer(**({"free": free, "observe": [TAG], "mode": "complete"} | offer))}
        return self.neighbours.hear(
            Capacity(protocol=1, zipper=name, epoch=epoch, stamp_ns=self.stamps, heard={"here": heard}, groups=groups),
            self.now_ns,
        )

    def offer(self, *sequences: int, origin: str = "cam") -> None:
        for sequence in sequences:
            now_ns = self.clock.wall_ns()
            header = Header(TAG, 1, sequence, now_ns, now_ns)
            self.dispatcher.offer(origin, header, f"{origin}/{sequence}", self.now_ns)

    def join(self, instance: str, credits: int = 1, function: str = "work", most_credits: int = 0) -> None:
        request = JoinRequest(
            protocol=1, function=function, instance=instance, observe=[], credits=credits, most_credits=most_credits
        )
        assert self.dispatcher.join(request, self.now_ns) is None

    def take_over(self, number: int, *, function: str = "work", after: int = 0, remaining_us: int = 0) -> None:
        now_ns = self.clock.wall_ns()
        self.neighbours.take_over(
            function,
            Ticket("there", 1, number),
            "cam",
            Header(TAG, 1, number, now_ns, now_ns),
            f"theirs/{number}",
            remaining_us=remaining_us,
            after=after,
            now_ns=self.now_ns,
        )

    def told(self, *, full: bool = False) -> dict[str, list[tuple[int, str, str]]]:
        """By peer, what is reported as done now."""
        return {
            peer: [(done.delivery, done.status, done.reason) for done in report.done]
            for peer, report in self.neighbours.peers.take_reports(full=full)
        }

    def report(self, *done: Done, holding: tuple[int, ...] = (), peer: str = "there", epoch: int = 7) -> None:
        report = Report(instance=peer, epoch=epoch, received=0, holding=list(holding), done=list(done))
        self.neighbours.report(report, self.now_ns)

    def deliveries(self) -> list[tuple[str, str]]:
        return [(delivery.instance, delivery.item.payload) for delivery in self.dispatcher.take_deliveries()]

    def group(self, name: str = "work") -> dict[str, Any]:
        group: dict[str, Any] = self.dispatcher.snapshot()["groups"][name]
        return group


def completed(number: int) -> Done:
    return Done(number, "completed", "", 5)


# ---- what goes to peers


def test_instances_here_come_first_and_then_the_nearest_peer_with_room() -> None:
    node = Node(WORK)
    node.join("w1")
    node.hear("far", 3, round_trip_ms=20)
    node.hear("near", 2, round_trip_ms=4)
    node.offer(*range(7))
    assert [instance for instance, _ in node.deliveries()] == ["w1", "near", "near", "far", "far", "far"]
    assert (node.group()["queued"], node.group()["in_flight"], node.group()["forwarded"]) == (1, 6, 5)


def test_peer_whose_round_trip_is_not_known_comes_last() -> None:
    node = Node(WORK)
    node.hear("unknown", 1, round_trip_ms=-100)
    node.hear("far", 1, round_trip_ms=900)
    node.offer(0, 1)
    assert [instance for instance, _ in node.deliveries()] == ["far", "unknown"]


def test_frame_is_completed_here_when_the_peer_says_so() -> None:
    node = Node(WORK)
    node.hear()
    node.offer(0, 1)
    assert node.deliveries() == [("there", "cam/0")]
    node.report(completed(1))
    assert node.deliveries() == [("there", "cam/1")]
    node.report(completed(1), Done(2, "failed", "handler", 0))
    assert (node.group()["completed"], node.group()["failed"]) == (1, {"handler": 1})
    assert [ack.released for _, ack in node.dispatcher.take_acks(node.now_ns)] == [[(0, 1)]]


def test_what_the_peer_knows_of_is_not_part_of_what_it_says_is_free() -> None:
    node = Node(WORK)
    node.hear(free=3)
    node.offer(0, 1, 2)
    node.deliveries()
    node.hear(free=3)  # sent before any of them arrived
    node.offer(3)
    assert node.deliveries() == []
    node.hear(free=1, received=2)  # two are taken there already; one is free, and one on its way to it
    assert node.deliveries() == []
    node.hear(free=1, received=3)
    assert node.deliveries() == [("there", "cam/3")]


def test_peer_that_is_lost_has_what_it_held_tried_elsewhere_however_often() -> None:
    node = Node(replace(WORK, retries=0))
    node.offer(0)
    for epoch in (1, 2, 3):
        node.hear(epoch=epoch)
        assert node.deliveries() == [("there", "cam/0")]
        assert node.neighbours.lose("there", node.now_ns)
        assert (node.group()["queued"], node.group()["dropped"]) == (1, {})
    assert not node.neighbours.lose("there", node.now_ns)


def test_peer_that_starts_anew_is_another_one() -> None:
    node = Node(WORK)
    assert node.hear(epoch=1)
    assert not node.hear(epoch=1)
    node.offer(0)
    node.deliveries()
    assert node.hear(epoch=2)
    assert node.deliveries() == [("there", "cam/0")]
    assert node.group()["redelivered"] == 1


def test_peer_that_is_silent_for_two_seconds_is_given_up() -> None:
    node = Node(WORK)
    node.hear()
    node.offer(0)
    node.clock.advance(2.0)
    assert node.neighbours.tick(node.now_ns) == []
    node.clock.advance(0.1)
    assert node.neighbours.tick(node.now_ns) == ["there"]
    assert (node.group()["queued"], node.group()["in_flight"]) == (1, 0)


def test_frame_that_got_lost_on_the_way_is_handed_out_again() -> None:
    node = Node(WORK)
    node.hear(free=2)
    node.offer(0, 1)
    node.deliveries()
    node.clock.advance(1.1)
    node.report(holding=(2,))
    assert node.deliveries() == [("there", "cam/0")]


@pytest.mark.parametrize("reason", ["returned", "removed", "overflow"])
def test_frame_that_a_peer_has_no_place_for_is_tried_elsewhere_and_it_gets_none_until_it_speaks(reason: str) -> None:
    node = Node(replace(WORK, retries=0))
    node.hear(free=2)
    node.offer(0)
    node.deliveries()
    node.report(Done(1, "dropped", reason, 0))
    assert (node.deliveries(), node.group()["queued"]) == ([], 1)
    node.hear("other")
    assert node.deliveries() == [("other", "cam/0")]


def test_frame_that_a_peer_gave_up_is_given_up() -> None:
    node = Node(replace(WORK, dead_letter=0x20))
    node.hear(free=2)
    node.offer(0, 1)
    node.report(Done(1, "dropped", "instance-lost", 0), Done(2, "dropped", "stale", 0))
    assert node.group()["dropped"] == {"instance-lost": 1, "stale": 1}
    assert [burial.reason for burial in node.dispatcher.take_burials()] == ["instance-lost", "stale"]


def test_with_a_refused_frame_come_back_those_of_its_source_that_must_follow_it() -> None:
    node = Node(ORDERED)
    node.hear(free=4)
    node.offer(0, 1)
    node.offer(0, origin="other")
    node.offer(2)
    node.deliveries()
    node.report(Done(2, "dropped", "overflow", 0))
    assert (node.group()["queued"], node.group()["in_flight"]) == (3, 1)
    node.hear("other-peer", free=3)
    assert node.deliveries() == [("other-peer", "cam/0"), ("other-peer", "cam/1"), ("other-peer", "cam/2")]


def test_report_to_another_incarnation_is_nothing_to_this_one() -> None:
    node = Node(WORK)
    node.hear()
    node.offer(0)
    node.report(completed(1), epoch=6)
    node.report(completed(1), peer="nobody")
    assert node.group()["in_flight"] == 1


# ---- functions of others


def test_function_that_only_a_peer_has_is_observed_as_long_as_it_is_there() -> None:
    node = Node()
    node.hear(free=1, max_age_ns=5, retries=9)
    assert node.dispatcher.observed == [TAG]
    node.offer(0)
    assert node.deliveries() == [("there", "cam/0")]
    node.report(completed(1))
    assert node.group()["completed"] == 1
    node.neighbours.lose("there", node.now_ns)
    node.neighbours.tick(node.now_ns)
    assert node.dispatcher.observed == []
    assert node.dispatcher.snapshot()["removed"]["work"]["completed"] == 1
    node.hear(epoch=2)
    assert node.group()["completed"] == 1


def test_frames_wait_for_a_peer_whose_function_loses_nothing() -> None:
    node = Node()
    node.hear(free=0)
    node.offer(0)
    node.neighbours.lose("there", node.now_ns)
    node.neighbours.tick(node.now_ns)
    assert node.group()["queued"] == 1
    node.hear(epoch=2, free=1)
    assert node.deliveries() == [("there", "cam/0")]


def test_function_of_a_peer_is_none_that_may_join_here() -> None:
    node = Node()
    node.hear()
    request = JoinRequest(protocol=1, function="work", instance="w1", observe=[TAG])
    assert node.dispatcher.join(request, node.now_ns) == (
        "function `work` is not in this zipper's workflow; listed there: none"
    )


def test_function_that_has_no_tags_here_takes_those_of_a_peer() -> None:
    node = Node(GroupPolicy("work"))
    node.hear()
    assert node.dispatcher.tags_of("work") == [TAG]


def test_peer_that_does_not_observe_all_tags_gets_nothing() -> None:
    node = Node(replace(WORK, observe=frozenset({TAG, TAG + 1})))
    node.hear()
    node.offer(0)
    assert node.deliveries() == []
    node.hear(observe=[TAG, TAG + 1, TAG + 2])
    assert node.deliveries() == [("there", "cam/0")]


# ---- what comes from peers


def test_frame_of_a_peer_is_handled_and_reported() -> None:
    node = Node(WORK)
    node.hear(free=5)
    node.join("w1", credits=2)
    node.take_over(3)
    node.take_over(3)
    assert node.deliveries() == [("w1", "theirs/3")]
    assert (node.group()["received"], node.group()["from_peers"]) == (1, 1)
    assert node.dispatcher.take_acks(node.now_ns) == []
    assert node.told() == {}
    report = Report(instance="w1", epoch=7, received=0, holding=[], done=[Done(1, "failed", "handler", 5)])
    node.dispatcher.report(report, node.now_ns)
    assert node.told() == {"there": [(3, "failed", "handler")]}
    assert node.told() == {}
    assert node.told(full=True) == {"there": [(3, "failed", "handler")]}


def test_frame_of_a_peer_is_never_handed_on() -> None:
    node = Node(WORK)
    node.join("w1")
    node.hear("there", free=0)
    node.hear("other", free=5)
    node.take_over(1)
    node.take_over(2)
    node.offer(0, origin="mine")
    assert node.deliveries() == [("w1", "theirs/1"), ("other", "mine/0")]
    node.dispatcher.report(Report(instance="w1", epoch=7, received=0, holding=[], done=[completed(1)]), node.now_ns)
    assert node.deliveries() == [("w1", "theirs/2")]


@pytest.mark.parametrize("function", ["work", "unknown"])
def test_frame_that_nobody_here_can_handle_goes_back_at_once(function: str) -> None:
    node = Node(WORK)
    node.hear(free=5)
    node.take_over(1, function=function)
    assert node.told() == {"there": [(1, "dropped", "returned")]}
    assert node.group()["received"] == 0


def test_frames_that_wait_here_go_back_when_the_last_instance_is_gone() -> None:
    node = Node(WORK)
    node.hear()
    node.join("w1")
    node.take_over(1)
    node.take_over(2)
    node.dispatcher.leave("w1", "instance-lost")
    node.neighbours.tick(node.now_ns)
    assert node.told() == {"there": [(1, "dropped", "returned"), (2, "dropped", "returned")]}
    assert node.group()["dropped"] == {"returned": 2}


def test_what_must_follow_a_frame_that_went_back_is_left_to_the_peer() -> None:
    node = Node(ORDERED)
    node.hear()
    node.take_over(1)
    assert node.told() == {"there": [(1, "dropped", "returned")]}
    node.join("w1", credits=4)
    node.take_over(2, after=1)
    assert node.deliveries() == []
    node.take_over(4)
    node.take_over(5, after=4)
    assert node.deliveries() == [("w1", "theirs/4"), ("w1", "theirs/5")]


def test_frame_of_an_unknown_peer_or_another_incarnation_is_ignored() -> None:
    node = Node(WORK)
    node.join("w1")
    node.take_over(1)
    node.hear(epoch=2)
    node.take_over(2)
    assert (node.deliveries(), node.group()["received"]) == ([], 0)


def test_time_that_is_left_comes_along() -> None:
    node = Node(WORK)
    node.hear()
    node.join("w1", credits=1)
    node.offer(0)
    node.deliveries()
    node.take_over(1, remaining_us=200_000)
    node.clock.advance(0.2)
    node.dispatcher.tick(node.now_ns)
    assert node.told() == {"there": [(1, "dropped", "stale")]}


def test_dead_letters_are_left_to_the_zipper_where_the_frame_entered() -> None:
    node = Node(replace(WORK, dead_letter=0x20))
    node.hear()
    node.join("w1")
    node.take_over(1)
    node.dispatcher.report(
        Report(instance="w1", epoch=7, received=0, holding=[], done=[Done(1, "failed", "handler", 5)]), node.now_ns
    )
    assert node.dispatcher.take_burials() == []


def test_everything_finished_since_the_last_report_is_in_the_next() -> None:
    node = Node(WORK)
    node.hear()
    for number in range(1, 51):
        node.take_over(number)
    assert len(node.told()["there"]) == 50
    for number in range(51, 51 + LONG_HISTORY):
        node.take_over(number)
    node.told()
    assert len(node.told(full=True)["there"]) == LONG_HISTORY


# ---- what is said, and what is believed


def test_after_a_line_broke_nothing_is_repeated_of_what_was_done_before() -> None:
    node = Node(WORK)
    node.join("w1", credits=2)
    node.hear()
    node.take_over(1)
    node.take_over(2)
    node.dispatcher.report(Report(instance="w1", epoch=7, received=1, holding=[2], done=[completed(1)]), node.now_ns)
    assert node.told() == {"there": [(1, "completed", "")]}
    node.neighbours.peers.forget_unconfirmed()
    ((_, report),) = node.neighbours.peers.take_reports(full=True)
    assert (report.received, report.holding, report.done) == (2, [2], [])
    node.dispatcher.report(Report(instance="w1", epoch=7, received=2, holding=[], done=[completed(2)]), node.now_ns)
    assert node.told() == {"there": [(2, "completed", "")]}


def test_capacity_says_what_is_free_and_what_was_heard() -> None:
    node = Node(WORK, replace(WORK, name="idle"), replace(WORK, name="busy", observe=frozenset({TAG + 1})))
    node.join("w1", credits=3)
    node.join("b1", credits=1, function="busy")
    node.hear(free=0, epoch=4)
    node.clock.advance(0.1)
    node.take_over(9)
    node.offer(0)
    capacity = node.neighbours.capacity(node.now_ns)
    assert (capacity.zipper, capacity.epoch, capacity.stamp_ns) == ("here", 7, node.now_ns)
    assert {name: offer.free for name, offer in capacity.groups.items()} == {"work": 2, "busy": 1}
    assert capacity.groups["work"].observe == [TAG]
    assert capacity.heard == {"there": Heard(epoch=4, stamp_ns=1, held_ns=100 * MS, received=0)}


def test_functions_of_others_are_not_offered_as_ones_own() -> None:
    node = Node()
    node.hear(free=5)
    assert node.neighbours.capacity(node.now_ns).groups == {}


def test_round_trip_is_a_mean_of_what_was_measured() -> None:
    node = Node(WORK)
    node.hear(round_trip_ms=8)
    node.hear(round_trip_ms=4)
    peer = node.neighbours.peers.get("there")
    assert peer is not None
    assert peer.round_trip_ns == 7 * MS
    node.hear(round_trip_ms=-5)  # a clock that is none
    node.hear(round_trip_ms=100_000)
    assert peer.round_trip_ns == 7 * MS


def test_older_messages_and_those_of_ones_own_name_are_ignored() -> None:
    node = Node(WORK)
    node.hear(free=1)
    older = Capacity(protocol=1, zipper="there", epoch=1, stamp_ns=0)
    for message in (older, replace_zipper(older, "here"), replace_zipper(older, "a/b"), replace_zipper(older, "")):
        assert not node.neighbours.hear(message, node.now_ns)
    newer = Capacity(protocol=9, zipper="there", epoch=1, stamp_ns=99)
    assert not node.neighbours.hear(newer, node.now_ns)
    node.offer(0)
    assert node.deliveries() == [("there", "cam/0")]


def replace_zipper(message: Capacity, name: str) -> Capacity:
    return Capacity(protocol=message.protocol, zipper=name, epoch=message.epoch, stamp_ns=message.stamp_ns)


def test_what_peers_say_is_bounded() -> None:
    node = Node(WORK)
    for number in range(MAX_PEERS + 5):
        node.hear(f"z{number}", free=-1)
    assert len(node.neighbours.peers) == MAX_PEERS
    node.offer(0)
    assert node.deliveries() == []
    node.hear("z0", free=10**9)
    assert len(node.deliveries()) == 1
    for observe in ([], [-1], [2**32], list(range(MAX_OFFERED_TAGS + 1))):
        node = Node()
        node.hear(observe=observe)
        assert node.dispatcher.observed == []


def test_ledger_tells_of_peers() -> None:
    node = Node(WORK)
    node.hear(free=2, round_trip_ms=4)
    node.offer(0)
    node.clock.advance(0.05)
    assert node.neighbours.snapshot(node.now_ns) == {
        "there": {"round_trip_ms": 4.0, "heard_ms": 50, "in_flight": {"work": 1}, "free": {"work": 2}}
    }


def test_instance_that_got_slow_does_not_hide_what_others_would_take() -> None:
    node = Node(WORK)
    node.join("w1", 1, most_credits=9)
    node.offer(0)
    node.dispatcher.report(
        Report(instance="w1", epoch=7, received=1, holding=[], done=[Done(1, "completed", "", 1)]), node.now_ns
    )
    node.offer(*range(1, 10))
    node.join("w2", 3)
    slow = Report(
        instance="w1", epoch=7, received=9, holding=list(range(3, 11)), done=[Done(2, "completed", "", 10**9)]
    )
    node.dispatcher.report(slow, node.now_ns)
    assert node.group()["in_flight"] == 8, "w1 holds more than it is given now"
    assert node.neighbours.capacity(node.now_ns).groups["work"].free == 3
