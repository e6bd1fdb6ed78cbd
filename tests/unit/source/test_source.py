"""The source's two modes, on a session in memory."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nearfield.clock import ManualClock, SystemClock
from nearfield.errors import RefusedError, TransportError, UsageError
from nearfield.frame import FLAG_ADDRESSED, Header, decode_header, keys
from nearfield.frame.bundle import MAX_MEMBER_BYTES
from nearfield.frame.control import Ack, Granted, encode
from nearfield.source import Source
from nearfield.source.allowance import LEAST_BYTES
from nearfield.source.results import RESULTS_QUEUE
from nearfield.transport import Lane
from tests.doubles import MemoryZipper

TAG, FREE_TAG, OTHER_TAG = 0x10, 0x20, 0x30
Eventually = Callable[..., None]


class Bench:
    """A source, its zipper, and its clock."""

    def __init__(self, **options: Any) -> None:
        self.zipper = MemoryZipper.observing(TAG)
        self.clock = ManualClock()
        options = {"tag": TAG, "clock": self.clock} | options
        self.source = Source("cam", self.zipper.connection, **options)
        self.session = self.zipper.session

    @property
    def sent(self) -> list[int]:
        """Sequence numbers on the wire, repetitions included."""
        frames = self.zipper.session.sent_to("nearfield/default/frames/*/line-1/cam/-")
        return [decode_header(frame.attachment).sequence for frame in frames]

    def sent_to(self, zipper: str) -> list[int]:
        """Those that entered at one zipper."""
        frames = self.session.sent_to(f"nearfield/default/frames/*/{zipper}/cam/-")
        return [decode_header(frame.attachment).sequence for frame in frames]

    def acknowledge(self, *sequences: int, stream: int | None = None, zipper: str = "line-1") -> None:
        ranges = [(sequence, sequence) for sequence in sorted(set(sequences))]
        ack = Ack(stream=self.source.stream if stream is None else stream, epoch=5, released=ranges)
        self.session.deliver(keys.acks("default", zipper, "cam"), encode(ack))


@pytest.fixture
def opened() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def open_bench(**options: Any) -> Bench:
        benches.append(Bench(**options))
        return benches[-1]

    yield open_bench
    for bench in benches:
        bench.source.close()


OpenBench = Callable[..., Bench]


def test_frame_goes_out_under_its_key_with_its_header(opened: OpenBench) -> None:
    bench = opened()
    assert bench.source.send(b"picture", captured_ns=123, deadline_ns=456) == 0
    (frame,) = bench.zipper.session.published
    header = decode_header(frame.attachment)
    assert (frame.key, frame.payload) == ("nearfield/default/frames/16/line-1/cam/-", b"picture")
    assert (header.tag, header.stream, header.sequence) == (TAG, bench.source.stream, 0)
    assert (header.captured_ns, header.sent_ns, header.deadline_ns) == (123, bench.clock.wall_ns(), 456)
    assert (header.hops, header.part, header.flags) == (0, 0, 0)


def test_capture_time_is_now_unless_it_is_given(opened: OpenBench) -> None:
    bench = opened()
    bench.source.send(b"")
    assert decode_header(bench.zipper.session.published[0].attachment).captured_ns == bench.clock.wall_ns()


def test_frames_that_no_function_observes_need_no_window(opened: OpenBench) -> None:
    bench = opened(tag=FREE_TAG, mode="complete", window=1)
    for _ in range(5):
        bench.source.send(b"")
    assert bench.source.in_flight == 0
    assert bench.source.flush(0)
    assert bench.sent == [0, 1, 2, 3, 4]


# ---- live


def test_live_source_keeps_the_newest_of_the_frames_that_wait(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(window=2)
    for _ in range(6):
        bench.source.send(b"")
    assert bench.sent == [0, 1]
    assert bench.source.in_flight == 3
    bench.acknowledge(0)
    eventually(lambda: bench.sent == [0, 1, 5], "the newest frame sent")
    assert bench.source.statistics().replaced == 3
    bench.acknowledge(1, 5)
    assert bench.source.flush(5)
    statistics = bench.source.statistics()
    assert (statistics.offered, statistics.sent, statistics.released, statistics.unacknowledged) == (6, 3, 3, 0)


def test_frame_that_waited_says_for_how_long_whatever_the_wall_clock_does(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(window=1)
    bench.source.send(b"")
    bench.source.send(b"")
    captured_ns = bench.clock.wall_ns()
    bench.clock.advance(0.3)
    bench.clock.jump_wall(-3600)
    bench.acknowledge(0)
    eventually(lambda: len(bench.sent) == 2)
    header = decode_header(bench.zipper.session.published[1].attachment)
    assert (header.captured_ns, header.sent_ns) == (captured_ns, captured_ns + 300_000_000)


def test_newer_frame_does_not_overtake_the_one_that_waited(
    opened: OpenBench, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = opened(window=2)
    publish, entered, gate = bench.zipper.session.publish, threading.Event(), threading.Event()

    def slow_publish(*arguments: Any, **options: Any) -> None:
        if threading.current_thread().name.startswith("source-"):
            entered.set()
            gate.wait(10)
        publish(*arguments, **options)

    monkeypatch.setattr(bench.zipper.session, "publish", slow_publish)
    for _ in range(3):
        bench.source.send(b"")
    bench.acknowledge(0, 1)
    assert entered.wait(10)  # the third frame is on its way out, and there is room for one more
    bench.source.send(b"")
    gate.set()
    eventually(lambda: len(bench.sent) == 4)
    assert bench.sent == [0, 1, 2, 3]


def test_each_tag_keeps_its_own_newest_frame(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(window=1)
    bench.zipper.say([TAG, FREE_TAG], epoch=5)
    for tag in (TAG, TAG, FREE_TAG, TAG, FREE_TAG):
        bench.source.send(b"", tag=tag)
    assert bench.sent == [0]
    bench.acknowledge(0)
    eventually(lambda: bench.sent == [0, 3], "the newest of the tag that waited longest")
    bench.acknowledge(3)
    eventually(lambda: bench.sent == [0, 3, 4], "the newest of the other tag")
    assert bench.source.statistics().replaced == 2


def test_frames_of_two_tags_that_waited_leave_in_the_order_in_which_they_came(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(window=2)
    bench.zipper.say([TAG, OTHER_TAG], epoch=5)
    for tag in (TAG, TAG, TAG, OTHER_TAG, TAG):
        bench.source.send(b"", tag=tag)
    assert bench.sent == [0, 1]
    bench.acknowledge(0, 1)
    eventually(lambda: len(bench.sent) == 4)
    assert bench.sent == [0, 1, 3, 4], "though the tag of the last one waited longest"


def test_two_large_frames_are_on_their_way_while_the_line_is_quick_and_one_when_they_queue(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened()
    picture = bytes(LEAST_BYTES)

    def ways() -> int:
        """How many frames go out before one has to wait."""
        before = bench.source.statistics().sent
        for _ in range(4):
            bench.source.send(picture)
        return bench.source.statistics().sent - before

    def all_confirmed_after(seconds: float) -> None:
        bench.clock.advance(seconds)
        while bench.source.in_flight:
            bench.acknowledge(*bench.sent)

    assert ways() == 2
    all_confirmed_after(0.005)
    assert ways() == 2
    all_confirmed_after(0.2)
    assert ways() == 1
    all_confirmed_after(0.005)
    assert ways() == 2


def test_named_window_is_used_whatever_the_line_does(opened: OpenBench) -> None:
    bench = opened(window=3)
    for _ in range(5):
        bench.source.send(bytes(LEAST_BYTES * 2))
    assert bench.sent == [0, 1, 2]


def test_frames_that_nobody_confirms_wait_for_the_answer_to_a_question_behind_them(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(tag=FREE_TAG)
    for _ in range(6):
        bench.source.send(bytes(LEAST_BYTES))
    assert bench.sent == [0, 1]
    ((key, answer, lane),) = bench.session.questions_behind
    assert (key, lane) == (keys.hello("default", "router"), Lane.FRAMES)
    answer()  # says that the first is through: it was asked behind that one
    eventually(lambda: bench.sent == [0, 1, 5], "the newest of those that waited")
    answer()  # a repetition says nothing
    assert len(bench.session.questions_behind) == 2
    bench.session.questions_behind[1][1]()
    assert bench.source.send(bytes(LEAST_BYTES)) == 6
    assert bench.sent == [0, 1, 5, 6]
    statistics = bench.source.statistics()
    assert (statistics.offered, statistics.sent, statistics.replaced) == (7, 4, 3)


def test_small_frames_that_nobody_confirms_cost_no_question(opened: OpenBench) -> None:
    bench = opened(tag=FREE_TAG)
    for _ in range(1_000):
        bench.source.send(b"x" * 64)
    assert len(bench.sent) == 1_000
    assert bench.session.questions_behind == []


def test_question_that_is_never_answered_holds_a_live_source_up_for_a_second_only(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(tag=FREE_TAG)
    for _ in range(3):
        bench.source.send(bytes(2 * LEAST_BYTES))
    assert bench.sent == [0]
    bench.clock.advance(1.1)
    eventually(lambda: bench.sent == [0, 2], "the frame that waited")


def test_live_source_gives_up_what_is_not_confirmed_within_a_second(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(window=1)
    bench.source.send(b"")
    bench.source.send(b"")
    bench.clock.advance(1.1)
    eventually(lambda: bench.sent == [0, 1], "the frame that waited takes the place")
    assert bench.source.statistics().unacknowledged == 1


def test_live_source_starts_afresh_with_a_new_incarnation_of_the_zipper(opened: OpenBench) -> None:
    bench = opened(window=2)
    bench.source.send(b"")
    bench.source.send(b"")
    bench.zipper.say([TAG], epoch=6)
    assert bench.source.in_flight == 0
    assert bench.source.statistics().unacknowledged == 2


def test_live_source_always_has_room(opened: OpenBench) -> None:
    bench = opened(window=1)
    bench.source.send(b"")
    assert bench.source.wait_for_room(0)


# ---- complete


def test_complete_source_waits_for_room(opened: OpenBench) -> None:
    bench = opened(mode="complete", window=2)
    bench.source.send(b"")
    assert bench.source.wait_for_room(0)
    bench.source.send(b"")
    assert not bench.source.wait_for_room(0)
    with pytest.raises(
        TransportError, match=r"^source `cam`: no room after 0 s: the zipper confirmed none of 2 frames; "
    ):
        bench.source.send(b"", timeout_s=0)
    bench.acknowledge(0)
    assert bench.source.send(b"", timeout_s=0) == 2, "the one that found no room took no number"
    assert bench.sent == [0, 1, 2]


def test_sender_that_waits_goes_on_when_there_is_room(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(mode="complete", window=1)
    bench.source.send(b"")
    sender = threading.Thread(target=bench.source.send, args=(b"",))
    sender.start()
    eventually(lambda: bench.source.statistics().offered == 2, "the second frame waits")
    bench.clock.advance(0.001)
    bench.acknowledge(0)
    sender.join(timeout=10)
    assert bench.sent == [0, 1]


def test_sender_that_waits_ends_when_the_source_is_closed(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(mode="complete", window=1)
    bench.source.send(b"")
    errors: list[str] = []

    def send() -> None:
        try:
            bench.source.send(b"")
        except TransportError as error:
            errors.append(str(error))

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: bench.source.statistics().offered == 2, "the second frame waits")
    bench.source.close()
    sender.join(timeout=10)
    assert errors == ["source `cam` is closed"]


def test_complete_source_repeats_what_is_not_confirmed(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(mode="complete")
    for _ in range(3):
        bench.source.send(b"")
    bench.acknowledge(1)
    bench.clock.advance(1.1)
    eventually(lambda: bench.sent == [0, 1, 2, 0, 2], "both repeated")
    assert bench.source.statistics().resent == 2
    bench.acknowledge(0, 1, 2)
    assert bench.source.flush(5)
    assert bench.source.statistics().released == 3


def test_complete_source_repeats_everything_to_a_new_incarnation(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(mode="complete")
    bench.source.send(b"")
    bench.source.send(b"")
    bench.zipper.say([TAG], epoch=6)
    eventually(lambda: bench.sent == [0, 1, 0, 1], "both repeated")
    assert bench.source.in_flight == 2


def test_complete_source_keeps_frames_while_functions_have_not_joined_a_restarted_zipper(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(mode="complete", window=2)
    bench.source.send(b"")
    bench.zipper.say([], epoch=6)
    bench.zipper.say([], epoch=6)
    bench.source.send(b"")
    assert (bench.source.in_flight, bench.source.statistics().released) == (2, 0)
    bench.zipper.say([TAG], epoch=6)
    bench.clock.advance(1.1)
    eventually(lambda: bench.sent[-2:] == [0, 1], "both repeated")


def test_tags_that_come_to_be_observed_get_a_window(opened: OpenBench) -> None:
    bench = opened(tag=FREE_TAG, mode="complete", window=1)
    bench.source.send(b"")
    bench.zipper.say([TAG, FREE_TAG], epoch=5)
    bench.source.send(b"")
    assert bench.source.in_flight == 1


def test_complete_source_moves_with_its_connection_and_repeats_everything_there(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(mode="complete", window=4)
    bench.source.send(b"0")
    bench.source.send(b"1")
    bench.acknowledge(0)
    bench.zipper.move("line-2", [], epoch=9)
    eventually(lambda: bench.sent_to("line-2") == [1], "what was not confirmed")
    bench.source.send(b"2")  # still observed: the function has only not joined there yet
    assert bench.sent_to("line-2") == [1, 2]
    assert bench.source.in_flight == 2
    bench.acknowledge(1, 2, zipper="line-2")
    assert bench.source.flush(5)
    statistics = bench.source.statistics()
    assert (statistics.sent, statistics.released, statistics.resent) == (3, 3, 1)


def test_interrupted_connection_to_the_same_zipper_makes_a_complete_source_repeat_at_once(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(mode="complete")
    bench.source.send(b"")
    bench.zipper.move("line-1", [TAG], epoch=5)
    eventually(lambda: bench.sent == [0, 0], "the frame once more")


def test_windows_are_as_large_as_documented(opened: OpenBench) -> None:
    bench = opened(mode="complete")
    for _ in range(256):
        bench.source.send(b"", timeout_s=0)
    assert not bench.source.wait_for_room(0)
    bench.acknowledge(*range(256))
    for _ in range(8):
        bench.source.send(bytes(2**20), timeout_s=0)
    assert not bench.source.wait_for_room(0), "8 MB are on their way"
    bench.acknowledge(*range(264))
    bench.source.send(bytes(2**24), timeout_s=0)
    assert not bench.source.wait_for_room(0)


def test_acknowledgement_releases_whole_ranges_and_nothing_between(opened: OpenBench) -> None:
    bench = opened(mode="complete")
    for _ in range(6):
        bench.source.send(b"")
    ack = Ack(stream=bench.source.stream, epoch=5, released=[(0, 1), (3, 9)])
    bench.session.deliver(keys.acks("default", "line-1", "cam"), encode(ack))
    assert (bench.source.in_flight, bench.source.statistics().released) == (1, 5)


# ---- complete: small frames that wait for company


def test_frames_that_wait_for_company_leave_in_time_though_the_program_sends_nothing_more(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(mode="complete")
    for _ in range(10):
        bench.source.send(b"")
    assert bench.sent == list(range(8)), "those that were a quarter of all, at once"
    bench.clock.advance(0.0019)
    assert bench.sent == list(range(8))
    bench.clock.advance(0.0001)
    eventually(lambda: bench.sent == list(range(10)), "the others, after 2 ms")
    assert bench.session.together[-1] == ("nearfield/default/frames/16/line-1/cam/-", 2)


@pytest.mark.parametrize(
    ("ordered", "messages"),
    [(False, [(TAG, 3), (OTHER_TAG, 2)]), (True, [(TAG, 1), (OTHER_TAG, 2), (TAG, 2)])],
)
def test_frames_of_several_tags_leave_together_unless_the_zipper_wants_their_order(
    opened: OpenBench, ordered: bool, messages: list[tuple[int, int]]
) -> None:
    bench = opened(mode="complete")
    bench.zipper.say([TAG, OTHER_TAG], epoch=5, ordered=ordered)
    for _ in range(20):
        bench.source.send(b"")
    before = len(bench.session.together)
    for tag in (TAG, OTHER_TAG, OTHER_TAG, TAG, TAG):
        bench.source.send(b"", tag=tag)
    bench.source.wait_for_room(0)
    assert bench.session.together[before:] == [
        (keys.frame("default", tag, "line-1", "cam"), count) for tag, count in messages
    ]


def test_frames_leave_half_a_millisecond_apart_at_least_when_nothing_is_under_way(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(tag=FREE_TAG, mode="complete")
    bench.source.send(b"")
    bench.source.send(b"")
    bench.source.send(b"")
    assert bench.sent == [0]
    bench.clock.advance(0.0005)
    eventually(lambda: bench.sent == [0, 1, 2])
    bench.clock.advance(0.0005)
    bench.source.send(b"")
    assert bench.sent == [0, 1, 2, 3], "at once again"


def test_frame_that_waited_for_company_says_for_how_long(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(tag=FREE_TAG, mode="complete")
    bench.source.send(b"")
    bench.source.send(b"")
    offered_ns = bench.clock.wall_ns()
    bench.clock.advance(0.004)
    eventually(lambda: len(bench.sent) == 2)
    header = decode_header(bench.session.published[1].attachment)
    assert (header.captured_ns, header.sent_ns) == (offered_ns, offered_ns + 4_000_000)


@pytest.mark.parametrize(
    "hurry",
    [
        lambda source: source.flush(0),
        lambda source: source.wait_for_room(0),
        lambda source: source.close(),
    ],
    ids=["flush", "wait_for_room", "close"],
)
def test_who_asks_for_an_end_of_waiting_has_everything_sent_at_once(
    opened: OpenBench, hurry: Callable[[Source], object]
) -> None:
    bench = opened(mode="complete")
    for _ in range(10):
        bench.source.send(b"")
    assert len(bench.sent) == 8
    hurry(bench.source)
    assert bench.sent == list(range(10))


def test_large_frame_takes_along_those_that_wait_and_stays_behind_them(opened: OpenBench) -> None:
    bench = opened(mode="complete")
    for _ in range(5):
        bench.source.send(b"")
    bench.source.send(bytes(MAX_MEMBER_BYTES + 1))
    assert bench.sent == [0, 1, 2, 3, 4, 5]


def test_frames_of_several_threads_leave_in_the_order_in_which_they_were_numbered(
    opened: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = opened(tag=FREE_TAG, mode="complete", clock=SystemClock())
    monkeypatch.setattr("nearfield.source.linger.MAX_FRAMES", 5)
    numbers: dict[int, list[int]] = {}
    interval_s = sys.getswitchinterval()

    def send(thread: int) -> None:
        numbers[thread] = [bench.source.send(b"%d" % thread) for _ in range(250)]

    senders = [threading.Thread(target=send, args=(thread,)) for thread in range(4)]
    sys.setswitchinterval(1e-5)
    try:
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(timeout=30)
    finally:
        sys.setswitchinterval(interval_s)
    assert bench.source.flush(5)
    assert bench.sent == list(range(1_000))
    payloads = {frame.attachment[16:24]: frame.payload for frame in bench.session.published}
    for thread, own in numbers.items():
        assert own == sorted(own)
        assert all(payloads[number.to_bytes(8, "little")] == b"%d" % thread for number in own)


def test_source_whose_connection_is_gone_closes_all_the_same(
    opened: OpenBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bench = opened(mode="complete")
    for _ in range(5):
        bench.source.send(b"")

    def fail(*_: Any, **__: Any) -> None:
        raise TransportError("cannot publish")

    monkeypatch.setattr(bench.session, "publish_all", fail)
    assert not bench.source.flush(0)
    bench.source.close()
    assert bench.session.is_closed
    assert caplog.messages == ["source `cam`: cannot publish"]


# ---- both


@pytest.mark.parametrize("mode", ["live", "complete"])
@pytest.mark.parametrize(
    ("priority", "lane"), [("high", Lane.FRAMES_HIGH), ("normal", Lane.FRAMES), ("low", Lane.FRAMES_LOW)]
)
def test_priority_is_said_in_the_header_and_chooses_the_lane(
    opened: OpenBench, mode: str, priority: str, lane: Lane
) -> None:
    bench = opened(mode=mode, priority=priority)
    bench.source.send(b"")
    (frame,) = bench.session.published
    assert (decode_header(frame.attachment).priority, frame.lane) == (priority, lane)


def test_idle_source_wakes_for_nothing_and_is_there_when_something_happens(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened(mode="complete")
    eventually(lambda: bench.source._keeper_sleeps, "the keeper sleeps")
    bench.source.send(b"")
    bench.clock.advance(1.1)
    eventually(lambda: bench.sent == [0, 0], "the frame repeated")


# ---- results


def emitted(tag: int, stream: int, sequence: int, *, is_addressed: bool = False) -> bytes:
    flags = FLAG_ADDRESSED if is_addressed else 0
    return Header(TAG, stream, sequence, 0, 0).emitted(tag, 0, 0, flags=flags).encode()


def test_results_are_what_functions_made_of_this_sources_frames_or_addressed_to_it(opened: OpenBench) -> None:
    bench = opened()
    results = bench.source.results(timeout_s=0)
    bench.source.send(b"a frame of its own")
    key = "nearfield/default/frames/17/line-7/cam/detect"
    stream = bench.source.stream
    bench.session.deliver(bench.session.published[0].key, b"own", bench.session.published[0].attachment)
    bench.session.deliver(key, b"earlier incarnation", emitted(17, stream + 1, 0))
    bench.session.deliver(key, b"broken", b"")
    bench.session.deliver("nearfield/default/frames/17/line-7/other/detect", b"another source", emitted(17, stream, 0))
    bench.session.deliver(key, b"result", emitted(17, stream, 0))
    bench.session.deliver(key, b"order", emitted(17, stream + 5, 3, is_addressed=True))
    assert [(frame.payload, frame.zipper) for frame in results] == [(b"result", "line-7"), (b"order", "line-7")]


def test_results_wait_from_the_first_call_on_and_the_oldest_give_way(opened: OpenBench) -> None:
    bench = opened()
    bench.source.results()
    for number in range(RESULTS_QUEUE + 3):
        result = emitted(17, bench.source.stream, number)
        bench.session.deliver("nearfield/default/frames/17/line-1/cam/detect", b"", result)
    assert bench.source.statistics().results_dropped == 3
    assert [frame.sequence for frame in bench.source.results(0)] == list(range(3, RESULTS_QUEUE + 3))


def test_results_end_when_the_source_is_closed(opened: OpenBench) -> None:
    bench = opened()
    results = bench.source.results()
    bench.source.close()
    assert list(results) == []
    with pytest.raises(TransportError, match="is closed"):
        bench.source.results()


# ---- one connection for several


def test_shared_connection_is_closed_with_its_last_user() -> None:
    zipper = MemoryZipper.observing(TAG)
    first, second = (Source(name, zipper.connection, tag=TAG) for name in ("first", "second"))
    first.close()
    first.close()
    assert not zipper.session.is_closed
    second.send(b"")
    assert len(zipper.session.published) == 1
    second.close()
    assert zipper.session.is_closed
    assert zipper.session.subscriptions == []


# ---- what is refused


def test_acknowledgements_of_another_incarnation_release_nothing(opened: OpenBench) -> None:
    bench = opened(mode="complete")
    bench.source.send(b"")
    bench.acknowledge(0, stream=bench.source.stream + 1)
    assert bench.source.in_flight == 1


def test_acknowledgement_that_is_none_is_logged_and_ignored(
    opened: OpenBench, caplog: pytest.LogCaptureFixture
) -> None:
    bench = opened(mode="complete")
    bench.source.send(b"")
    bench.zipper.session.deliver(keys.acks("default", "line-1", "cam"), b"\x00")
    assert bench.source.in_flight == 1
    assert caplog.messages[0].startswith("source `cam`: ack message: ")


def test_source_that_closes_with_unconfirmed_frames_says_so(
    opened: OpenBench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = opened(mode="complete")
    flush = bench.source.flush
    monkeypatch.setattr(bench.source, "flush", lambda: flush(0))
    with bench.source:
        bench.source.send(b"")
    assert caplog.messages == ["source `cam`: closed with 1 frames not confirmed by the zipper"]


def test_closed_source_refuses_to_send(opened: OpenBench) -> None:
    bench = opened()
    bench.source.close()
    bench.source.close()
    assert bench.zipper.session.is_closed
    with pytest.raises(TransportError, match=r"^source `cam` is closed$"):
        bench.source.send(b"")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window: got 0, expected 1 to 1024 frames"),
        ({"window": 1025}, "window: got 1025, expected 1 to 1024 frames"),
        ({"tag": 0xF001}, "tag 0xf001 is reserved"),
        ({"tag": "x"}, "got 'x', expected a tag"),
        ({"priority": "urgent"}, "priority: got 'urgent', expected one of normal, high, low"),
    ],
)
def test_source_that_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    zipper = MemoryZipper.observing()
    with pytest.raises(UsageError, match=message):
        Source("cam", zipper.connection, **options)
    with pytest.raises(UsageError, match="source name: got 'a/b'"):
        Source("a/b", zipper.connection)


def test_frame_that_cannot_be_sent_is_refused_before_it_counts(opened: OpenBench) -> None:
    bench = opened(tag=None, mode="complete")
    with pytest.raises(UsageError, match="send: no tag"):
        bench.source.send(b"")
    with pytest.raises(UsageError, match="captured_ns: got -1, expected nanoseconds"):
        bench.source.send(b"", tag=TAG, captured_ns=-1)
    with pytest.raises(UsageError, match="deadline_ns: got 18446744073709551616, expected"):
        bench.source.send(b"", tag=TAG, deadline_ns=2**64)
    assert (bench.source.statistics().offered, bench.source.in_flight, bench.sent) == (0, 0, [])


# ---- rights


def test_source_without_a_right_is_refused_when_it_is_made_or_sends() -> None:
    granted = Granted(send=(16,), origins=("cam",), functions=(), observe=(), ledger=False, max_payload_bytes=5)
    zipper = MemoryZipper.granting(granted)
    expected = [
        (lambda: Source("door", zipper.connection), "`me` may not send as `door`; expected `cam`"),
        (lambda: Source("cam", zipper.connection, tag=17), "`me` may not send tag 0x11; expected 0x10"),
    ]
    with Source("cam", zipper.connection.retain(), tag=16) as source:
        source.send(b"x")
        expected.append((lambda: source.send(b"x", tag=17), "`me` may not send tag 0x11; expected 0x10"))
        for attempt, text in expected:
            with pytest.raises(RefusedError) as caught:
                attempt()
            assert str(caught.value) == f"zipper `line-1`: {text}; see `rights` in its workflow"
        with pytest.raises(RefusedError, match="`me` may not send 6 bytes in one frame; expected at most 5; see `max_"):
            source.send(b"123456")
        assert source.statistics().offered == 1
        # The connection is the others' still.
        assert not zipper.session.is_closed
        # What is granted later may be sent then.
        zipper.grant(Granted(send=(16, 17), origins=("cam",)))
        zipper.move("line-1", [], epoch=5)
        source.send(b"x", tag=17)
    zipper.connection.release()
    assert [message.key.split("/")[3] for message in zipper.session.sent_to("nearfield/default/frames/*/*/*/*")] == [
        "16",
        "17",
    ]


def test_connection_of_a_source_that_is_refused_ends_with_it() -> None:
    zipper = MemoryZipper.granting(Granted(send=(), origins=()))
    with pytest.raises(RefusedError, match="it is no source"):
        Source("cam", zipper.connection)
    assert zipper.session.is_closed
