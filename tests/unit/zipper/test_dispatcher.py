"""The dispatcher's rules one by one; any order of events is in tests/property/test_dispatcher_machine.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nearfield.clock import ManualClock
from nearfield.frame import Header
from nearfield.frame.control import Done, JoinRequest, Report, Status
from nearfield.zipper import Dispatcher, GroupPolicy
from nearfield.zipper.dispatcher import MAX_HOPS
from nearfield.zipper.group import MAX_LOSSES

TAG = 0x10
LIVE = GroupPolicy("detect", frozenset({TAG}), queue=3)
COMPLETE = GroupPolicy("audit", frozenset({TAG}), mode="complete", queue=3)
# Of `small_queues`: what may wait for a `complete` function, and what of a source that is alone.
MOST_WAITING, ONE_SOURCE = 64, 48


class Node:
    """A dispatcher, a clock, and short words for what happens to it."""

    def __init__(self, *policies: GroupPolicy, queue_bytes: int = 2**20) -> None:
        self.clock = ManualClock()
        self.dispatcher: Dispatcher[str] = Dispatcher(policies, epoch=7, queue_bytes=queue_bytes)

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    def join(
        self,
        instance: str,
        function: str = "detect",
        *,
        credits: int = 1,
        most_credits: int = 0,
        observe: tuple[int, ...] = (),
    ) -> Any:
        request = JoinRequest(
            protocol=1,
            function=function,
            instance=instance,
            observe=list(observe),
            credits=credits,
            most_credits=most_credits,
        )
        return self.dispatcher.join(request, self.now_ns)

    def offer(
        self,
        *sequences: int,
        tag: int = TAG,
        origin: str = "cam",
        hops: int = 0,
        lag_s: float = 0,
        deadline_s: float = 0,
    ) -> None:
        """Args:
        lag_s: between capture and sending.
        deadline_s: after capture; 0: none.
        """
        for sequence in sequences:
            sent_ns = self.clock.wall_ns()
            captured_ns = sent_ns - round(lag_s * 1e9)
            deadline_ns = captured_ns + round(deadline_s * 1e9) if deadline_s else 0
            header = Header(tag, 1, sequence, captured_ns, sent_ns, deadline_ns, hops=hops)
            self.dispatcher.offer(origin, header, f"{origin}/{sequence}", self.now_ns)

    def report(
        self,
        instance: str,
        *done: int,
        holding: tuple[int, ...] = (),
        status: Status = "completed",
        reason: str = "why",
        busy_s: float = 0,
        handler_ns: int = 1_000_000,
    ) -> bool:
        entries = [Done(number, status, reason, handler_ns) for number in done]
        busy_ms = round(busy_s * 1000)
        report = Report(instance=instance, epoch=7, received=0, holding=list(holding), done=entries, busy_ms=busy_ms)
        return self.dispatcher.report(report, self.now_ns)

    def deliveries(self) -> list[tuple[str, str]]:
        """(instance, payload) of what is to be sent now."""
        return [(delivery.instance, delivery.item.payload) for delivery in self.dispatcher.take_deliveries()]

    def letters(self) -> list[tuple[str, str, str, int]]:
        """(function, payload, reason, attempts) of the dead letters to publish now."""
        return [
            (burial.function, burial.item.payload, burial.reason, burial.attempts)
            for burial in self.dispatcher.take_burials()
        ]

    def numbers(self) -> list[int]:
        return [delivery.number for delivery in self.dispatcher.take_deliveries()]

    def acks(self) -> list[tuple[str, list[tuple[int, int]]]]:
        return [(origin, ack.released) for origin, ack in self.dispatcher.take_acks(self.now_ns)]

    def group(self, name: str = "detect") -> dict[str, Any]:
        ledger: dict[str, Any] = self.dispatcher.snapshot()["groups"][name]
        return ledger


# ---- who gets a frame


def test_each_group_gets_each_frame_once() -> None:
    node = Node(LIVE, COMPLETE)
    node.join("d1")
    node.join("d2")
    node.join("a1", "audit")
    node.offer(0)
    assert node.deliveries() == [("d1", "cam/0"), ("a1", "cam/0")]


def test_instance_with_most_credit_is_chosen() -> None:
    node = Node(LIVE)
    node.join("small", credits=1)
    node.join("large", credits=3)
    node.offer(0, 1, 2, 3, 4)
    assert [instance for instance, _ in node.deliveries()] == ["large", "large", "small", "large"]
    assert node.group()["queued"] == 1


def test_instances_with_equal_credit_take_turns() -> None:
    node = Node(LIVE)
    for name in ("d1", "d2", "d3"):
        node.join(name)
    chosen = []
    for number in range(6):
        node.offer(number)
        ((instance, _),) = node.deliveries()
        node.report(instance, number + 1)
        chosen.append(instance)
    assert chosen == ["d1", "d2", "d3", "d1", "d2", "d3"]


def test_sources_take_turns_however_many_frames_one_has_waiting() -> None:
    node = Node(replace(LIVE, queue=10))
    node.offer(0, 1, 2, 3, origin="fast")
    node.offer(0, origin="slow")
    node.offer(0, 1, origin="other")
    node.join("d1", credits=7)
    assert [payload for _, payload in node.deliveries()] == [
        *("fast/0", "slow/0", "other/0"),
        *("fast/1", "other/1"),
        *("fast/2", "fast/3"),
    ]


def test_frame_that_waits_goes_to_whoever_is_done_first() -> None:
    node = Node(LIVE)
    node.join("d1")
    node.join("d2")
    node.offer(0, 1, 2)
    node.deliveries()
    node.report("d2", 2)
    assert node.deliveries() == [("d2", "cam/2")]


def test_frames_wait_for_the_first_instance_in_order() -> None:
    node = Node(LIVE)
    node.offer(0, 1)
    assert node.deliveries() == []
    node.join("d1", credits=2)
    assert node.deliveries() == [("d1", "cam/0"), ("d1", "cam/1")]


# ---- joining


def test_unknown_function_is_refused_with_those_that_are_known() -> None:
    node = Node(LIVE, COMPLETE)
    assert node.join("x", "detekt") == (
        "function `detekt` is not in this zipper's workflow; listed there: `detect`, `audit`"
    )
    assert Node().join("x").endswith("listed there: none")


def test_tags_of_the_workflow_and_of_the_instance_must_agree() -> None:
    node = Node(LIVE)
    assert node.join("d1", observe=(0x10, 0x11)) == (
        "function `detect` observes 0x10 at this zipper, but the instance asks for 0x10, 0x11"
    )
    assert node.join("d1", observe=(TAG,)) is None
    assert node.join("d2") is None


def test_first_instance_names_the_tags_that_the_workflow_leaves_open() -> None:
    node = Node(GroupPolicy("detect"))
    assert node.join("d1") == "function `detect` observes no tag: neither the workflow nor the function names one"
    assert node.dispatcher.observed == []
    assert node.join("d1", observe=(5, 3)) is None
    assert node.dispatcher.observed == [3, 5] == node.dispatcher.tags_of("detect")
    assert node.join("d2") is None
    assert "asks for 0x04" in node.join("d3", observe=(4,))


@pytest.mark.parametrize(
    ("instance", "observe", "credits", "message"),
    [
        ("d1", (0xF000,), 1, "reserved tags 0xf000"),
        ("d1", (-1,), 1, "observe: got -1, expected tags from 0 to 4294967295"),
        ("d1", (2**32,), 1, "observe: got 4294967296, expected"),
        ("d1", (1,), 0, "credits: got 0, expected 1 to 1024"),
        ("d1", (1,), 1025, "credits: got 1025, expected 1 to 1024"),
    ],
)
def test_request_that_cannot_work_is_refused(
    instance: str, observe: tuple[int, ...], credits: int, message: str
) -> None:
    node = Node(GroupPolicy("detect"))
    assert message in node.join(instance, observe=observe, credits=credits)
    assert node.group()["instances"] == 0


@pytest.mark.parametrize("most_credits", [-1, 1025])
def test_request_for_more_credits_than_there_are_is_refused(most_credits: int) -> None:
    message = Node(LIVE).join("d1", most_credits=most_credits)
    assert message == f"most_credits: got {most_credits}, expected 1 to 1024"


def test_quick_instance_is_given_more_frames_ahead_and_fewer_when_it_gets_slow() -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit", credits=2, most_credits=256)
    node.offer(*range(1_000))
    assert len(node.deliveries()) == 2
    node.report("a1", 1, holding=(2,), handler_ns=100_000)
    assert len(node.deliveries()) == 21, "2 ms of work, and 2"
    node.report("a1", 2, holding=tuple(range(3, 24)), handler_ns=30_000_000)
    assert node.deliveries() == []
    node.report("a1", *range(3, 22), holding=(22, 23), handler_ns=30_000_000)
    assert node.deliveries() == []
    node.report("a1", 22, holding=(23,), handler_ns=30_000_000)
    assert len(node.deliveries()) == 1, "back to 2"


def test_instance_that_did_not_say_so_or_named_a_number_is_given_no_more() -> None:
    for most_credits in (0, 2):
        node = Node(COMPLETE)
        node.join("a1", "audit", credits=2, most_credits=most_credits)
        node.offer(*range(10))
        assert len(node.deliveries()) == 2
        node.report("a1", 1, 2, handler_ns=1)
        assert len(node.deliveries()) == 2


def test_frames_that_an_instance_did_not_handle_do_not_make_it_quick() -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit", credits=2, most_credits=256)
    node.offer(*range(100))
    node.report("a1", 1, handler_ns=30_000_000)
    for number in range(2, 40):
        node.report("a1", number, status="dropped", reason="stale", handler_ns=0)
    assert len(node.deliveries()) == 41
    assert node.group("audit")["in_flight"] == 2


def test_source_is_told_later_while_it_has_much_under_way_and_then_without_any_event() -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit", credits=20)
    node.offer(*range(20))
    node.report("a1", 1, 2)
    assert node.acks() == []
    assert node.dispatcher.acks_due_ns == node.now_ns + 2_000_000
    node.clock.advance(0.002)
    assert node.acks() == [("cam", [(0, 1)])]
    node.report("a1", 3, 5, 7, 8, 9)
    assert node.acks() == [("cam", [(0, 2), (4, 4), (6, 8)])], "a quarter of all is told at once"


def test_instance_that_joins_again_is_given_its_frames_anew_under_new_numbers() -> None:
    node = Node(LIVE)
    node.join("d1", credits=2)
    node.offer(0, 1)
    before = node.numbers()
    node.join("d1", credits=2)
    again = node.dispatcher.take_deliveries()
    assert [delivery.item.payload for delivery in again] == ["cam/0", "cam/1"]
    assert not {delivery.number for delivery in again} & set(before)
    assert node.group()["redelivered"] == 2


def test_late_report_from_before_the_second_join_settles_nothing() -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit")
    node.offer(0)
    (before,) = node.numbers()
    node.join("a1", "audit")
    node.report("a1", before)
    assert (node.group("audit")["in_flight"], node.acks()) == (1, [])


# ---- overflow and age (live)


def test_full_queue_drops_the_oldest() -> None:
    node = Node(LIVE)
    node.offer(*range(5))
    assert node.group()["dropped"] == {"overflow": 2}
    node.join("d1", credits=3)
    assert node.deliveries() == [("d1", "cam/2"), ("d1", "cam/3"), ("d1", "cam/4")]


def test_overflow_takes_from_the_source_with_most_waiting() -> None:
    node = Node(LIVE)
    node.offer(0, 1, origin="fast")
    node.offer(0, origin="slow")
    node.offer(2, 3, 4, origin="fast")
    node.join("d1", credits=3)
    assert [payload for _, payload in node.deliveries()] == ["fast/3", "slow/0", "fast/4"]
    assert node.group()["sources"]["fast"]["0x10"]["dropped"] == {"overflow": 3}
    assert node.group()["sources"]["slow"]["0x10"]["dropped"] == {}


def test_queue_keeps_its_bound_when_an_instance_gives_frames_back() -> None:
    node = Node(LIVE)
    node.join("d1", credits=2)
    node.offer(*range(5))
    node.dispatcher.leave("d1", "instance-lost")
    node.dispatcher.pump_all(node.now_ns)
    assert (node.group()["queued"], node.group()["dropped"]) == (3, {"overflow": 2})
    node.join("d2", credits=3)
    assert [payload for _, payload in node.deliveries()][2:] == ["cam/2", "cam/3", "cam/4"]


def test_frame_older_than_max_age_is_not_dispatched() -> None:
    node = Node(replace(LIVE, max_age_ns=500_000_000))
    node.offer(0)
    node.clock.advance(0.3)
    node.offer(1)
    node.clock.advance(0.3)
    node.join("d1", credits=3)
    assert node.deliveries() == [("d1", "cam/1")]
    assert node.group()["dropped"] == {"stale": 1}


def test_frame_that_is_too_old_when_it_comes_is_dropped_at_once() -> None:
    node = Node(replace(LIVE, max_age_ns=500_000_000))
    node.offer(0, lag_s=0.5)
    assert (node.group()["queued"], node.group()["dropped"]) == (0, {"stale": 1})


def test_frame_that_grows_too_old_while_it_waits_is_dropped_though_nobody_takes_frames() -> None:
    node = Node(replace(LIVE, max_age_ns=500_000_000))
    node.offer(0)
    node.clock.advance(0.5)
    node.dispatcher.tick(node.now_ns)
    assert (node.group()["queued"], node.group()["dropped"]) == (0, {"stale": 1})


def test_a_stale_frame_does_not_use_up_its_sources_turn() -> None:
    node = Node(replace(LIVE, max_age_ns=500_000_000))
    node.offer(0, lag_s=0.4)
    node.offer(1)
    node.offer(0, origin="other")
    node.clock.advance(0.2)
    node.join("d1", credits=1)
    assert node.deliveries() == [("d1", "cam/1")]


@pytest.mark.parametrize("policy", [LIVE, COMPLETE], ids=["live", "complete"])
def test_frame_past_its_deadline_is_dropped_in_either_mode(policy: GroupPolicy) -> None:
    node = Node(policy)
    node.offer(0, lag_s=0.1, deadline_s=0.1)
    node.offer(1, lag_s=0.1, deadline_s=0.3)
    node.offer(2)
    node.clock.advance(0.2)
    node.join("d1", policy.name, credits=3)
    assert node.deliveries() == [("d1", "cam/2")]
    assert node.group(policy.name)["dropped"] == {"stale": 2}
    assert node.acks() == [("cam", [(0, 2 if policy is LIVE else 1)])], "all but the one that is being handled"


def test_delivery_says_how_long_the_frame_is_wanted_still() -> None:
    node = Node(replace(LIVE, max_age_ns=500_000_000))
    node.offer(0, lag_s=0.1)
    node.offer(1, lag_s=0.1, deadline_s=0.25)
    node.clock.advance(0.1)
    node.join("d1", credits=3)
    assert [delivery.remaining_us for delivery in node.dispatcher.take_deliveries()] == [300_000, 50_000]
    node = Node(COMPLETE)
    node.join("a1", "audit")
    node.offer(0)
    assert [delivery.remaining_us for delivery in node.dispatcher.take_deliveries()] == [0]


def test_delivery_carries_the_frames_age_on_the_time_line_of_its_source() -> None:
    node = Node(LIVE)
    captured_ns = node.clock.wall_ns()
    node.offer(0, lag_s=-0.1)  # captured 0.1 s after it was sent: that clock jumped
    node.clock.advance(0.2)
    node.clock.jump_wall(3600)
    node.join("d1")
    (delivery,) = node.dispatcher.take_deliveries()
    assert delivery.sent_ns == captured_ns + 300_000_000


def test_moments_beyond_what_a_header_holds_are_the_last_that_it_does() -> None:
    node = Node(LIVE)
    node.dispatcher.offer("cam", Header(TAG, 1, 0, 0, 2**64 - 1, 2**64 - 1), "cam/0", node.now_ns)
    node.dispatcher.offer("cam", Header(TAG, 1, 1, 0, 0, 2**64 - 1), "cam/1", node.now_ns)
    node.clock.advance(0.2)
    node.join("d1", credits=2)
    deliveries = node.dispatcher.take_deliveries()
    assert [(delivery.item.payload, delivery.sent_ns) for delivery in deliveries] == [
        ("cam/0", 2**64 - 1),
        ("cam/1", 200_000_000),
    ]


def test_age_counts_the_time_between_capture_and_sending() -> None:
    node = Node(replace(LIVE, max_age_ns=500_000_000))
    node.join("d1", credits=3)
    node.offer(0, lag_s=0.6)
    node.offer(1, lag_s=-100)
    assert node.deliveries() == [("d1", "cam/1")]


def test_age_is_counted_without_the_wall_clock() -> None:
    node = Node(replace(LIVE, max_age_ns=500_000_000))
    node.offer(0)
    node.clock.jump_wall(3600)
    node.join("d1")
    assert node.deliveries() == [("d1", "cam/0")]


# ---- losses


def test_frames_of_a_lost_instance_go_to_another_in_order() -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit", credits=2)
    node.offer(0, 1, 2)
    node.deliveries()
    node.join("a2", "audit", credits=3)
    node.deliveries()
    node.dispatcher.leave("a1", "instance-lost")
    node.dispatcher.pump_all(node.now_ns)
    assert node.deliveries() == [("a2", "cam/0"), ("a2", "cam/1")]


def test_frame_that_outlives_its_retries_is_dropped_and_released() -> None:
    node = Node(replace(COMPLETE, retries=1))
    node.offer(0)
    for number in range(2):
        node.join(f"a{number}", "audit")
        assert len(node.deliveries()) == 1
        assert node.acks() == []
        node.dispatcher.leave(f"a{number}", "instance-lost")
    assert node.group("audit")["dropped"] == {"instance-lost": 1}
    assert node.group("audit")["redelivered"] == 1
    assert node.acks() == [("cam", [(0, 0)])]


def test_delivery_that_never_arrived_is_sent_again_after_a_second() -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit", credits=2)
    node.offer(0, 1)
    _, second = node.numbers()
    node.clock.advance(1.0)
    node.report("a1", holding=(second,))
    assert node.deliveries() == []
    node.clock.advance(0.1)
    node.report("a1", holding=(second,))
    assert node.deliveries() == [("a1", "cam/0")]


def test_being_lost_on_the_way_is_no_try_but_comes_to_an_end() -> None:
    node = Node(replace(COMPLETE, retries=0))
    node.join("a1", "audit")
    node.offer(0)
    for _ in range(MAX_LOSSES):
        assert node.deliveries() == [("a1", "cam/0")]
        node.clock.advance(1.1)
        node.report("a1")
    assert node.deliveries() == [("a1", "cam/0")]
    node.clock.advance(1.1)
    node.report("a1")
    assert node.deliveries() == []
    assert node.group("audit")["dropped"] == {"lost-in-transit": 1}


def test_silent_instance_is_given_up_after_five_seconds() -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit")
    node.offer(0)
    node.clock.advance(5.0)
    assert node.dispatcher.tick(node.now_ns) == []
    node.clock.advance(0.1)
    assert node.dispatcher.tick(node.now_ns) == ["a1"]
    assert (node.group("audit")["instances"], node.group("audit")["queued"]) == (0, 1)


def test_report_of_an_unknown_instance_asks_it_to_join_again() -> None:
    assert not Node(LIVE).report("d1")


def test_done_that_is_repeated_or_unknown_counts_once() -> None:
    node = Node(LIVE)
    node.join("d1")
    node.offer(0)
    (number,) = node.numbers()
    for _ in range(3):
        assert node.report("d1", number, number, number + 1, 0)
    assert node.group()["completed"] == 1


# ---- acknowledgements


def test_live_groups_release_a_frame_at_once() -> None:
    node = Node(LIVE)
    node.offer(0)
    assert node.acks() == [("cam", [(0, 0)])]


def test_complete_groups_release_a_frame_when_the_last_of_them_is_through() -> None:
    node = Node(LIVE, COMPLETE, replace(COMPLETE, name="archive"))
    node.join("a1", "audit")
    node.join("b1", "archive")
    node.offer(0)
    node.report("a1", *node.numbers())
    assert node.acks() == []
    node.report("b1", 2, status="failed")
    assert node.acks() == [("cam", [(0, 0)])]


def test_acknowledgement_names_stream_and_epoch() -> None:
    node = Node(LIVE)
    node.offer(4)
    ((origin, ack),) = node.dispatcher.take_acks(node.now_ns)
    assert (origin, ack.stream, ack.epoch, ack.released) == ("cam", 1, 7, [(4, 4)])


def test_emitted_frames_are_neither_acknowledged_nor_taken_for_duplicates() -> None:
    node = Node(LIVE)
    node.offer(0, 0, hops=1)
    assert node.group()["received"] == 2
    assert node.acks() == []


# ---- refusals and the ledger


def test_frame_that_runs_in_a_circle_is_refused() -> None:
    node = Node(LIVE)
    node.offer(0, hops=MAX_HOPS - 1)
    node.offer(0, hops=MAX_HOPS)
    assert node.dispatcher.snapshot()["ingress"] == {
        "accepted": 1,
        "duplicates": 0,
        "rejected": {"hops": 1},
        "messages_refused": 0,
    }


def test_frame_that_nobody_observes_is_counted_and_forgotten() -> None:
    node = Node(LIVE)
    node.offer(0, tag=0x99)
    assert node.dispatcher.snapshot()["ingress"]["rejected"] == {"unobserved": 1}
    assert node.acks() == []


def test_ledger_says_what_became_of_each_frame() -> None:
    node = Node(replace(LIVE, queue=1))
    node.join("d1", credits=3)
    node.offer(*range(5))
    node.report("d1", 1)
    node.report("d1", 2, status="failed")
    node.offer(5)
    assert node.group() == {
        "observe": ["0x10"],
        "mode": "live",
        "received": 6,
        "completed": 1,
        "failed": {"why": 1},
        "dropped": {"overflow": 1},
        "queued": 0,
        "in_flight": 3,
        "redelivered": 0,
        "forwarded": 0,
        "from_peers": 0,
        "instances": 1,
        "stuck": 0,
        "leaving": 0,
        "handler_ms_mean": 1.0,
        "sources": {
            "cam": {
                "0x10": {"received": 6, "completed": 1, "failed": {"why": 1}, "dropped": {"overflow": 1}, "open": 3}
            }
        },
    }


def test_reasons_from_instances_are_bounded_in_number_and_length() -> None:
    node = Node(LIVE)
    node.join("d1")
    for number in range(70):
        node.offer(number)
        node.report("d1", number + 1, status="failed", reason=f"{number} " * 50)
    failed = node.group()["failed"]
    assert len(failed) == 65
    assert failed["other"] == 6
    assert max(map(len, failed)) == 64


def test_sources_beyond_a_thousand_are_counted_together() -> None:
    node = Node(LIVE)
    for number in range(1_003):
        node.offer(0, origin=f"cam-{number}")
    sources = node.group()["sources"]
    assert len(sources) == 1_001
    assert sources["(others)"]["0x10"]["received"] == 3


def test_ledger_without_sources_is_small() -> None:
    node = Node(LIVE)
    node.offer(0)
    assert "sources" not in node.dispatcher.snapshot(sources=False)["groups"]["detect"]


# ---- what waits is bounded


@pytest.fixture
def small_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfield.zipper.group.COMPLETE_QUEUE_FRAMES", MOST_WAITING)


def test_emitted_frames_that_find_no_room_in_a_complete_queue_push_others_out(small_queues: None) -> None:
    node = Node(replace(COMPLETE, queue=1))
    for sequence in range(MOST_WAITING + 2):
        node.offer(sequence, hops=1)
    assert (node.group("audit")["queued"], node.group("audit")["dropped"]) == (MOST_WAITING, {"overflow": 2})


def test_frame_of_a_source_that_finds_no_room_in_a_complete_queue_is_refused_until_there_is(small_queues: None) -> None:
    node = Node(COMPLETE, LIVE)
    node.offer(*range(ONE_SOURCE))
    node.offer(99_999)
    assert node.dispatcher.snapshot()["ingress"]["rejected"] == {"overflow": 1}
    assert node.group("audit")["dropped"] == {}
    assert node.acks() == []
    node.join("a1", "audit")
    node.offer(99_999)  # sent again
    assert (node.group("audit")["received"], node.group("audit")["queued"]) == (ONE_SOURCE + 1, ONE_SOURCE)


def test_last_quarter_of_the_room_is_for_sources_that_have_less_waiting() -> None:
    node = Node(COMPLETE, queue_bytes=12 * 5)
    node.offer(*range(12), origin="cam")  # five bytes each
    assert node.group("audit")["queued"] == 9
    node.offer(0, 1, 2, 3, origin="mic")
    assert node.group("audit")["sources"]["mic"]["0x10"]["open"] == 3
    assert node.dispatcher.snapshot()["ingress"]["rejected"] == {"overflow": 4}


def test_last_frames_in_a_complete_queue_are_those_of_sources_that_have_less_waiting(small_queues: None) -> None:
    node = Node(COMPLETE)
    node.offer(*range(MOST_WAITING), origin="cam")
    assert node.group("audit")["queued"] == ONE_SOURCE
    node.offer(*range(MOST_WAITING), origin="mic")
    node.offer(*range(MOST_WAITING), origin="third")
    assert node.group("audit")["queued"] == MOST_WAITING
    assert node.group("audit")["dropped"] == {}


def test_source_that_comes_again_seldom_is_not_starved_by_one_that_fills_the_room_at_once() -> None:
    node = Node(COMPLETE, queue_bytes=20 * 8)
    node.join("a1", "audit")
    handled = dict.fromkeys(("often", "seldom"), 0)
    node.offer(0, origin="often")
    for step in range(1, 400):
        ((_, payload),) = node.deliveries()
        origin = payload.split("/")[0]
        handled[origin] += 1
        node.report("a1", step)
        node.offer(*range(1_000 * step, 1_000 * step + 5), origin="often")
        # What was refused is not acknowledged, so nothing follows it until it comes again.
        if origin == "seldom" or step % 50 == 0:
            node.offer(1_000 * step, origin="seldom")
    assert handled["seldom"] >= handled["often"] / 2


def test_bytes_that_wait_are_bounded_and_the_largest_live_queue_gives_way() -> None:
    node = Node(
        replace(LIVE, queue=100), replace(LIVE, name="other", observe=frozenset({TAG + 1}), queue=100), queue_bytes=32
    )
    node.offer(0, 1, 2, 3, 4)  # five bytes each
    node.offer(10, tag=TAG + 1)
    assert node.group()["dropped"] == {}
    node.offer(11, tag=TAG + 1)
    assert (node.group()["dropped"], node.group("other")["dropped"]) == ({"overflow": 1}, {})


def test_live_frames_give_way_to_those_that_must_be_kept() -> None:
    node = Node(replace(COMPLETE, observe=frozenset({TAG + 1})), replace(LIVE, queue=100), queue_bytes=12)
    node.offer(0)
    node.offer(1, 2, tag=TAG + 1)
    assert (node.group()["dropped"], node.group("audit")["queued"]) == ({"overflow": 1}, 2)
    node.offer(3, tag=TAG + 1)
    assert (node.group("audit")["queued"], node.group("audit")["dropped"]) == (2, {})
    assert node.dispatcher.snapshot()["ingress"]["rejected"] == {"overflow": 1}


def test_frames_given_back_to_a_full_complete_queue_push_nothing_out() -> None:
    node = Node(COMPLETE, replace(LIVE, observe=frozenset({TAG + 1})), queue_bytes=20)
    node.join("a1", "audit", credits=2)
    node.offer(*range(5))  # five bytes each: two are in flight, three wait
    node.offer(0, origin="mic")
    node.dispatcher.leave("a1", "instance-lost")
    node.dispatcher.pump_all(node.now_ns)
    node.offer(7, tag=TAG + 1)
    assert (node.group("audit")["queued"], node.group("audit")["dropped"]) == (6, {})
    assert node.group()["dropped"] == {"overflow": 1}
    node.offer(8)
    assert node.dispatcher.snapshot()["ingress"]["rejected"] == {"overflow": 1}


def test_frames_given_back_to_a_complete_queue_with_all_its_frames_push_nothing_out(small_queues: None) -> None:
    node = Node(COMPLETE)
    node.join("a1", "audit", credits=2)
    for origin in ("cam", "mic", "third"):
        node.offer(*range(MOST_WAITING), origin=origin)
    assert node.group("audit")["queued"] == MOST_WAITING
    node.dispatcher.leave("a1", "instance-lost")
    node.dispatcher.pump_all(node.now_ns)
    assert node.group("audit")["queued"] == MOST_WAITING + 2
    assert node.group("audit")["dropped"] == {}


def test_a_single_frame_always_finds_room() -> None:
    node = Node(COMPLETE, queue_bytes=1)
    node.offer(0)
    assert node.group("audit")["queued"] == 1


# ---- order


ORDERED = replace(COMPLETE, order="source")


def test_frames_of_one_source_go_to_one_instance_while_it_holds_any() -> None:
    node = Node(ORDERED)
    node.join("a1", "audit", credits=2)
    node.join("a2", "audit", credits=2)
    node.offer(0, 1, 2)
    node.offer(0, 1, origin="other")
    assert node.deliveries() == [("a1", "cam/0"), ("a1", "cam/1"), ("a2", "other/0"), ("a2", "other/1")]
    node.report("a2", 3)
    assert node.deliveries() == []
    node.report("a1", 1)
    assert node.deliveries() == [("a1", "cam/2")]
    node.report("a1", 2, 5)
    node.offer(2, origin="other")
    assert node.deliveries() == [("a2", "other/2")]
    node.offer(3)
    assert node.deliveries() == [("a1", "cam/3")]


def test_delivery_names_the_one_before_it_where_order_matters() -> None:
    node = Node(ORDERED)
    node.join("a1", "audit", credits=4)
    node.offer(0, 1)
    node.offer(0, origin="other")
    node.offer(2)
    assert [(d.number, d.after) for d in node.dispatcher.take_deliveries()] == [(1, 0), (2, 1), (3, 0), (4, 2)]
    node = Node(COMPLETE)
    node.join("a1", "audit", credits=4)
    node.offer(0, 1)
    assert [(d.after, d.is_ordered) for d in node.dispatcher.take_deliveries()] == [(0, False)] * 2


def test_what_followed_a_lost_delivery_comes_again_behind_it() -> None:
    node = Node(ORDERED)
    node.join("a1", "audit", credits=4)
    node.offer(0)
    node.offer(0, origin="other")
    node.deliveries()
    node.clock.advance(1.05)
    node.offer(1)
    node.deliveries()
    node.clock.advance(0.05)
    node.report("a1", holding=(2,))
    assert node.deliveries() == [("a1", "cam/0"), ("a1", "cam/1")]
    assert node.group("audit")["redelivered"] == 2


def test_source_that_waits_for_its_instance_holds_nobody_up() -> None:
    node = Node(ORDERED)
    node.join("a1", "audit", credits=1)
    node.offer(0, 1)
    node.offer(0, origin="other")
    node.join("a2", "audit", credits=1)
    assert node.deliveries() == [("a1", "cam/0"), ("a2", "other/0")]
    assert node.group("audit")["queued"] == 1


# ---- instances that hang


def test_instance_that_is_at_one_frame_for_too_long_loses_its_frames_and_gets_no_more() -> None:
    node = Node(replace(COMPLETE, timeout_ns=1_000_000_000))
    node.join("a1", "audit", credits=2)
    node.offer(0, 1)
    node.deliveries()
    node.clock.advance(1)
    node.report("a1", holding=(1, 2), busy_s=1)
    assert node.dispatcher.take_stuck() == []
    node.clock.advance(0.1)
    assert node.report("a1", holding=(1, 2), busy_s=1.1)
    assert [stuck.instance for stuck in node.dispatcher.take_stuck()] == ["a1"]
    assert node.deliveries() == []
    assert (node.group("audit")["queued"], node.group("audit")["stuck"]) == (2, 1)
    node.join("a2", "audit", credits=2)
    assert node.deliveries() == [("a2", "cam/0"), ("a2", "cam/1")]


def test_stuck_instance_that_goes_on_is_asked_to_join_again() -> None:
    node = Node(replace(COMPLETE, timeout_ns=1_000_000_000))
    node.join("a1", "audit")
    node.offer(0)
    (number,) = node.numbers()
    node.clock.advance(2)
    node.report("a1", holding=(number,), busy_s=2)
    assert node.report("a1", holding=(number,), busy_s=2.5)
    assert not node.report("a1", number)
    assert (node.group("audit")["completed"], node.group("audit")["instances"]) == (0, 0)
    node.join("a1", "audit")
    assert node.deliveries() == [("a1", "cam/0")]


def test_only_the_frame_at_hand_is_held_against_when_an_instance_is_lost() -> None:
    node = Node(replace(COMPLETE, retries=1, dead_letter=0x20))
    node.offer(0, 1)
    for number in range(2):
        node.join(f"a{number}", "audit", credits=2)
        node.dispatcher.leave(f"a{number}", "instance-lost")
    assert node.group("audit")["dropped"] == {"instance-lost": 1}
    assert node.letters() == [("audit", "cam/0", "instance-lost", 2)]
    for number in range(2, 4):
        node.join(f"a{number}", "audit", credits=2)
        node.dispatcher.leave(f"a{number}", "instance-lost")
    assert node.letters() == [("audit", "cam/1", "instance-lost", 2)]


def test_frame_that_came_while_the_instance_hung_already_was_not_tried() -> None:
    node = Node(replace(COMPLETE, retries=0, timeout_ns=1_000_000_000))
    node.join("a1", "audit")
    node.offer(0)
    node.clock.advance(0.4)
    node.report("a1", holding=(1,), busy_s=5)  # it hangs since before it joined again
    assert (node.group("audit")["queued"], node.group("audit")["dropped"]) == (1, {})


# ---- dead letters


def test_frame_that_its_handler_fails_on_becomes_a_dead_letter_at_once() -> None:
    node = Node(replace(COMPLETE, dead_letter=0x20), replace(COMPLETE, name="silent"))
    node.join("a1", "audit")
    node.join("s1", "silent")
    node.offer(0)
    node.report("a1", 1, status="failed", reason="handler")
    node.report("s1", 2, status="failed", reason="handler")
    (burial,) = node.dispatcher.take_burials()
    assert (burial.function, burial.tag, burial.reason, burial.attempts) == ("audit", 0x20, "handler", 1)
    assert node.acks() == [("cam", [(0, 0)])]


def test_live_function_buries_what_it_failed_on_but_not_what_it_drops_by_design() -> None:
    node = Node(replace(LIVE, queue=1, dead_letter=0x20, max_age_ns=500_000_000))
    node.offer(0, 1)
    node.clock.advance(0.5)
    node.dispatcher.tick(node.now_ns)
    assert node.group()["dropped"] == {"overflow": 1, "stale": 1}
    assert node.letters() == []
    node.offer(2)
    node.join("d1")
    node.report("d1", 1, status="failed", reason="trapped")
    assert node.letters() == [("detect", "cam/2", "trapped", 1)]


def test_complete_function_buries_a_frame_whose_deadline_passed() -> None:
    node = Node(replace(COMPLETE, dead_letter=0x20))
    node.offer(0, deadline_s=0.1)
    node.clock.advance(0.1)
    node.dispatcher.tick(node.now_ns)
    assert node.letters() == [("audit", "cam/0", "stale", 0)]


# ---- functions that come and go


def test_function_that_is_added_is_observed_and_may_be_joined() -> None:
    node = Node(LIVE)
    assert "not in this zipper's workflow" in node.join("a1", "audit")
    before = node.dispatcher.routes_version
    node.dispatcher.add_group(replace(COMPLETE, observe=frozenset({TAG + 1})), node.now_ns)
    assert node.dispatcher.routes_version > before
    assert node.dispatcher.observed == [TAG, TAG + 1]
    assert node.join("a1", "audit") is None
    node.offer(0, tag=TAG + 1)
    assert node.deliveries() == [("a1", "cam/0")]


def test_frames_of_a_function_that_is_removed_are_counted_released_and_buried() -> None:
    node = Node(replace(COMPLETE, dead_letter=0x20), LIVE)
    node.join("a1", "audit")
    node.offer(0, 1)
    node.deliveries()
    assert node.dispatcher.remove_group("audit")
    assert node.dispatcher.snapshot()["removed"] == {
        "audit": {"received": 2, "completed": 0, "failed": {}, "dropped": {"removed": 2}}
    }
    assert node.acks() == [("cam", [(0, 1)])]
    assert [(payload, reason) for _, payload, reason, _ in node.letters()] == [
        ("cam/0", "removed"),
        ("cam/1", "removed"),
    ]
    assert not node.report("a1", 1)
    assert not node.dispatcher.remove_group("audit")
    assert node.dispatcher.observed == [TAG]


def test_function_that_comes_back_goes_on_counting() -> None:
    node = Node(LIVE)
    node.offer(0)
    node.dispatcher.remove_group("detect")
    node.dispatcher.add_group(LIVE, node.now_ns)
    node.offer(1)
    assert (node.group()["received"], node.group()["dropped"]) == (2, {"removed": 1})
    assert node.dispatcher.snapshot()["removed"] == {}


def test_other_settings_leave_waiting_frames_and_instances_as_they_are() -> None:
    node = Node(COMPLETE, LIVE)
    node.join("a1", "audit")
    node.offer(0, 1, 2)
    node.deliveries()
    node.dispatcher.set_policies([replace(COMPLETE, order="source", retries=7)], node.now_ns)
    assert list(node.dispatcher.snapshot()["groups"]) == ["audit"]
    assert (node.group("audit")["queued"], node.group("audit")["in_flight"]) == (2, 1)
    node.report("a1", 1)
    assert node.deliveries() == [("a1", "cam/1")]
    node.report("a1", 2)
    node.report("a1", 3)
    assert (node.group("audit")["completed"], node.acks()) == (3, [("cam", [(0, 2)])])


def test_frames_taken_in_as_complete_are_released_though_the_mode_changed_meanwhile() -> None:
    node = Node(COMPLETE)
    node.offer(0, 1, 2, 3)
    node.dispatcher.set_policies([replace(COMPLETE, mode="live", queue=2)], node.now_ns)
    assert node.group("audit")["dropped"] == {"overflow": 2}
    assert node.acks() == [("cam", [(0, 1)])]
    node.join("a1", "audit", credits=2)
    node.report("a1", 1, 2)
    assert node.acks() == [("cam", [(0, 3)])]


def leaves(node: Node, instance: str, *finishing: int, done: tuple[int, ...] = ()) -> bool:
    """The instance leaves, and finishes these deliveries."""
    report = Report(
        instance=instance,
        epoch=7,
        received=max([*finishing, *done], default=0),
        holding=list(finishing),
        done=[Done(number, "completed", "", 5) for number in done],
    )
    return node.dispatcher.retire(report, node.now_ns)


@pytest.mark.parametrize("policy", [LIVE, COMPLETE])
def test_instance_that_leaves_gives_away_what_it_has_not_begun_and_nothing_was_tried(policy: GroupPolicy) -> None:
    node = Node(replace(policy, retries=0))
    node.join("old", policy.name, credits=3)
    node.offer(1, 2, 3)
    assert node.deliveries() == [("old", "cam/1"), ("old", "cam/2"), ("old", "cam/3")]
    node.join("new", policy.name, credits=3)
    assert leaves(node, "old", 2, done=(1,))
    assert node.deliveries() == [("new", "cam/3")]
    node.offer(4)
    assert node.deliveries() == [("new", "cam/4")]
    assert (node.group(policy.name)["instances"], node.group(policy.name)["leaving"]) == (2, 1)
    node.report("old", 2)
    assert leaves(node, "old")
    assert not node.dispatcher.leave("old", "instance-lost"), "its vanishing is no loss"
    node.report("new", 4, 5)
    group = node.group(policy.name)
    assert (group["completed"], group["dropped"], group["redelivered"], group["instances"]) == (4, {}, 0, 1)


def test_instance_that_dies_while_it_leaves_has_tried_what_it_had_begun() -> None:
    node = Node(replace(COMPLETE, retries=0))
    node.join("old", "audit", credits=2)
    node.offer(1, 2)
    leaves(node, "old", 1)
    node.dispatcher.leave("old", "instance-lost")
    group = node.group("audit")
    assert (group["dropped"], group["queued"]) == ({"instance-lost": 1}, 1)


def test_order_is_kept_while_an_instance_leaves() -> None:
    node = Node(replace(COMPLETE, order="source"))
    node.join("old", "audit", credits=3)
    node.offer(1, 2, 3)
    node.join("new", "audit", credits=3)
    node.deliveries()
    leaves(node, "old", 1)
    node.offer(4)
    node.offer(7, origin="other")
    assert node.deliveries() == [("new", "other/7")], "those of `cam` wait for the one that is not finished"
    node.report("old", 1)
    assert node.deliveries() == [("new", "cam/2"), ("new", "cam/3")]


def test_instance_that_is_not_known_cannot_leave() -> None:
    node = Node(COMPLETE)
    assert not leaves(node, "nobody")


def test_peers_are_offered_nothing_of_an_instance_that_leaves() -> None:
    node = Node(COMPLETE)
    node.join("old", "audit")
    node.offer(1)
    leaves(node, "old", 1)
    assert node.dispatcher.neighbours.capacity(node.now_ns).groups == {}


def test_instances_for_tags_that_come_later_are_admitted_once_they_are_expected() -> None:
    node = Node(COMPLETE)
    node.join("old", "audit")
    assert "observes 0x10" in node.join("new", "audit", observe=(0x20,))
    assert node.dispatcher.expect("audit", frozenset({0x20}))
    assert node.join("new", "audit", observe=(0x20,)) is None
    assert node.join("former", "audit", observe=(TAG,)) is None
    assert node.dispatcher.observed == [TAG], "nothing else changes yet"
    node.dispatcher.set_policies([replace(COMPLETE, observe=frozenset({0x20}))], node.now_ns)
    assert node.dispatcher.observed == [0x20]
    assert "observes 0x20" in node.join("late", "audit", observe=(TAG,))
    assert not node.dispatcher.expect("nobody", frozenset({1}))


def test_processes_of_a_function_are_those_that_take_frames() -> None:
    node = Node(COMPLETE)
    for pid, name in enumerate(("a1", "a2"), 1):
        request = JoinRequest(protocol=1, function="audit", instance=name, observe=[], pid=pid)
        node.dispatcher.join(request, node.now_ns)
    node.offer(1)
    leaves(node, "a1", 1)
    assert node.dispatcher.pids_of("audit") == {2}
    assert node.dispatcher.pids_of("nobody") == set()


@pytest.mark.parametrize(
    ("order", "tags", "orders_tags"),
    [("none", {1, 2}, False), ("source", {1, 2}, True), ("source", {1}, False), ("source", set(), True)],
    ids=["no order", "two tags", "one tag", "tags not known yet"],
)
def test_order_between_tags_matters_where_a_function_that_wants_order_observes_several(
    order: Any, tags: set[int], orders_tags: bool
) -> None:
    node = Node(COMPLETE, GroupPolicy("f", frozenset(tags), order=order))
    assert node.dispatcher.orders_tags == orders_tags
    node.dispatcher.remove_group("f")
    assert not node.dispatcher.orders_tags
