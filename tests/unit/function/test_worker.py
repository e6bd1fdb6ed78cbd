"""The worker, on a session in memory: joining, handling, reporting, joining again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import pytest

from nearfield.clock import ManualClock
from nearfield.errors import (
    GuestError,
    GuestMemoryExceeded,
    GuestTimeout,
    GuestTrapped,
    HandlerFailed,
    InferenceError,
    InternalError,
    MediaError,
    NearfieldError,
    RefusedError,
    TransportError,
)
from nearfield.frame import Frame, Header, Priority, decode_header, flags_of, keys
from nearfield.frame.control import Granted, JoinReply, JoinRequest, LeaveReply, Report, decode, encode
from nearfield.frame.delivery import DeliveryHeader
from nearfield.function import Context, PythonFunction, Worker, WorkerSettings
from nearfield.function.handled import failure_reason
from nearfield.transport import Lane, Permission
from tests.doubles import MemoryZipper

TAG = 0x10
EPOCH = 5
JOIN = keys.join("default", "line-1", "detect")
LEAVE = keys.leave("default", "line-1", "detect")
Eventually = Callable[..., None]


def upper(context: Context) -> None:
    if context.payload == b"fail":
        raise ValueError("no")
    context.emit(0x11, context.payload.upper())
    context.emit(0x12, b"2")


class Several(PythonFunction):
    """A Python function that may be called on several threads at once."""

    def __init__(self, handler: Any, concurrency: int) -> None:
        super().__init__(handler)
        self.concurrency = concurrency


class Bench:
    """A worker whose zipper is the test."""

    def __init__(self, handler: Any = upper, *, concurrency: int = 1, **settings: Any) -> None:
        self.zipper = MemoryZipper.observing(TAG, epoch=EPOCH)
        self.session = self.zipper.session
        self.session.answers[JOIN] = lambda _: encode(JoinReply(epoch=self.zipper.epoch, observe=[TAG]))
        self.clock = ManualClock()
        self.handled: list[tuple[Frame, NearfieldError | None]] = []
        self.worker = Worker(
            WorkerSettings("detect", **settings),
            handler if hasattr(handler, "handle") else Several(handler, concurrency),
            self.zipper.connection,
            clock=self.clock,
            on_frame=lambda frame, error, _: self.handled.append((frame, error)),
        )
        self.errors: list[BaseException] = []
        self.thread = threading.Thread(target=self._run)

    def start(self) -> Bench:
        self.worker.join()
        self.thread.start()
        return self

    def _run(self) -> None:
        try:
            self.worker.run()
        except NearfieldError as error:
            self.errors.append(error)

    def deliver_together(self, first: int, payloads: Sequence[bytes]) -> None:
        """A bundle of deliveries, numbered from `first`; an empty payload stands for one that is broken."""
        messages = []
        for number, payload in enumerate(payloads, start=first):
            header = Header(TAG, 1, number, self.clock.wall_ns(), self.clock.wall_ns())
            attachment = DeliveryHeader(header, number, EPOCH, 0, 0, "cam").encode()
            messages.append((payload, attachment if payload else b"garbage"))
        self.session.deliver_all(keys.dispatch("default", "line-1", f"detect/{self.worker.instance}"), messages)

    def deliver(
        self, number: int, payload: bytes, *, epoch: int = EPOCH, remaining_us: int = 0, after: int = 0
    ) -> None:
        header = Header(TAG, 1, number, self.clock.wall_ns(), self.clock.wall_ns())
        attachment = DeliveryHeader(header, number, epoch, remaining_us, after, "cam").encode()
        self.session.deliver(keys.dispatch("default", "line-1", f"detect/{self.worker.instance}"), payload, attachment)

    def ask_to_join_again(self) -> None:
        self.session.deliver(keys.dispatch("default", "line-1", f"detect/{self.worker.instance}"), b"")

    def done(self) -> dict[int, tuple[str, str]]:
        """Everything ever reported done: number -> (status, reason)."""
        reports = self.session.sent_to(keys.reports("default", "line-1"))
        return {
            done.delivery: (done.status, done.reason)
            for message in reports
            for done in decode(Report, message.payload).done
        }

    def leaves(self) -> list[Report]:
        return [decode(Report, question) for key, question in self.session.questions if key == LEAVE]

    def joins(self) -> list[JoinRequest]:
        return [decode(JoinRequest, question) for key, question in self.session.questions if key == JOIN]


@pytest.fixture(autouse=True)
def quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfield.function.worker.HEARTBEAT_S", 0.02)


@pytest.fixture
def opened() -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def open_bench(*arguments: Any, **settings: Any) -> Bench:
        benches.append(Bench(*arguments, **settings))
        return benches[-1]

    yield open_bench
    for bench in benches:
        bench.worker.stop()
        if bench.thread.ident is not None:
            bench.thread.join(timeout=10)


OpenBench = Callable[..., Bench]


def test_worker_says_what_it_is_when_it_joins(opened: OpenBench) -> None:
    bench = opened(observe=(0x12, TAG), emit=frozenset({0x11}), credits=3)
    bench.worker.join()
    (request,) = bench.joins()
    assert (request.function, request.instance) == ("detect", bench.worker.instance)
    assert (request.credits, request.most_credits, request.concurrency) == (3, 3, 1)
    assert (request.observe, request.emit, request.runtime) == ([TAG, 0x12], [0x11], "python")
    assert request.concurrency == 1
    assert bench.worker.observe == [TAG]
    assert bench.session.announced == {keys.alive("default", "line-1", f"detect/{bench.worker.instance}")}


def test_two_workers_of_one_function_have_two_names(opened: OpenBench) -> None:
    assert opened().worker.instance != opened().worker.instance


def test_refusal_to_join_gives_the_zippers_reason(opened: OpenBench) -> None:
    bench = opened()
    bench.session.answers[JOIN] = encode(JoinReply(error="function `detect` is not here"))
    with pytest.raises(RefusedError, match=r"^zipper `line-1`: function `detect` is not here$"):
        bench.worker.join()


def test_worker_without_a_right_does_not_even_ask(opened: OpenBench) -> None:
    bench = opened()
    permission = Permission("me", "line-1", Granted(functions=("count",)))
    bench.zipper.connection.permission = permission
    with pytest.raises(RefusedError) as caught:
        bench.worker.join()
    assert str(caught.value) == (
        "zipper `line-1`: `me` may not run function `detect`; expected `count`; see `rights` in its workflow"
    )
    assert (bench.session.questions, bench.session.announced) == ([], set())


def test_what_is_larger_than_we_may_send_fails_its_frame_and_nothing_of_it_leaves(
    opened: OpenBench, eventually: Callable[..., None]
) -> None:
    bench = opened()
    bench.zipper.connection.permission = Permission("me", "line-1", Granted(max_payload_bytes=4))
    bench.start()
    bench.deliver(1, b"large")
    bench.deliver(2, b"four")
    eventually(lambda: len(bench.done()) == 2, "two reports")
    assert bench.done() == {1: ("failed", "max_payload"), 2: ("completed", "")}
    sent = [message.payload for message in bench.session.published if "/frames/" in message.key]
    assert sent == [b"FOUR", b"2"]


def test_zipper_that_does_not_answer_is_named(opened: OpenBench) -> None:
    bench = opened()
    bench.session.answers.clear()
    with pytest.raises(TransportError, match=r"^zipper `line-1` does not answer the request to join$"):
        bench.worker.join()


def test_frame_is_handled_its_results_leave_and_it_is_reported(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    bench.deliver(1, b"abc")
    eventually(lambda: bench.done() == {1: ("completed", "")})
    first, second = bench.session.sent_to("nearfield/default/frames/*/*/*/*")
    assert (first.key, first.payload) == ("nearfield/default/frames/17/line-1/cam/detect", b"ABC")
    assert (second.key, second.payload) == ("nearfield/default/frames/18/line-1/cam/detect", b"2")
    headers = [decode_header(message.attachment) for message in (first, second)]
    assert [(header.sequence, header.hops, header.part) for header in headers] == [(1, 1, 0), (1, 1, 1)]
    statistics = bench.worker.statistics()
    assert (statistics.completed, statistics.failed, statistics.dropped, statistics.emitted) == (1, 0, 0, 2)
    assert [(frame.payload, error) for frame, error in bench.handled] == [(b"abc", None)]


def test_failing_handler_fails_its_frame_and_the_next_goes_on(
    opened: OpenBench, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    bench = opened().start()
    bench.deliver(1, b"fail")
    bench.deliver(2, b"abc")
    eventually(lambda: bench.done() == {1: ("failed", "handler"), 2: ("completed", "")})
    assert [message.payload for message in bench.session.sent_to("nearfield/default/frames/*/*/*/*")] == [b"ABC", b"2"]
    assert "frame cam/1, tag 0x10" in caplog.text
    assert isinstance(bench.handled[0][1], HandlerFailed)


class Gate:
    """A handler that is held up, and keeps what it was given."""

    def __init__(self) -> None:
        self.contexts: list[Context] = []
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, context: Context) -> None:
        self.contexts.append(context)
        self.entered.set()
        self.opened.wait(10)
        context.emit(0x11, b"")


def test_frame_that_is_worthless_when_its_turn_comes_is_dropped_unhandled(
    opened: OpenBench, eventually: Eventually
) -> None:
    gate = Gate()
    bench = opened(gate).start()
    bench.deliver(1, b"first")
    assert gate.entered.wait(10)
    bench.deliver(2, b"late", remaining_us=200_000)
    bench.deliver(3, b"just", remaining_us=200_001)
    bench.clock.advance(0.2)
    bench.clock.jump_wall(3600)
    gate.opened.set()
    eventually(lambda: bench.done() == {1: ("completed", ""), 2: ("dropped", "stale"), 3: ("completed", "")})
    assert [context.payload for context in gate.contexts] == [b"first", b"just"]


def test_handler_is_told_when_its_frame_becomes_worthless(opened: OpenBench, eventually: Eventually) -> None:
    gate = Gate()
    gate.opened.set()
    bench = opened(gate).start()
    bench.deliver(1, b"")
    bench.deliver(2, b"", remaining_us=1_500_000)
    eventually(lambda: len(bench.done()) == 2)
    assert [context.ends_at_s for context in gate.contexts] == [None, bench.clock.monotonic_ns() / 1e9 + 1.5]


@pytest.mark.parametrize(
    ("remaining_us", "outcome"),
    [(1_000_000, ("dropped", "stale")), (3_000_000, ("failed", "timeout")), (0, ("failed", "timeout"))],
)
def test_guest_that_is_ended_with_its_frame_has_not_failed(
    opened: OpenBench, eventually: Eventually, remaining_us: int, outcome: tuple[str, str]
) -> None:
    class SlowGuest:
        runtime = "nearfield-v1"
        concurrency = 1

        def handle(self, context: Context) -> None:
            bench.clock.advance(2)
            raise GuestTimeout("used up its deadline")

        def close(self) -> None: ...

    bench = opened(SlowGuest()).start()
    bench.deliver(1, b"", remaining_us=remaining_us)
    eventually(lambda: bench.done() == {1: outcome})


def test_results_carry_the_age_of_their_frame_by_the_workers_own_clock(
    opened: OpenBench, eventually: Eventually
) -> None:
    gate = Gate()
    bench = opened(gate).start()
    sent_ns = bench.clock.wall_ns()
    bench.deliver(1, b"")
    assert gate.entered.wait(10)
    bench.clock.advance(0.2)
    bench.clock.jump_wall(3600)
    gate.opened.set()
    eventually(lambda: bench.done())
    (result,) = bench.session.sent_to("nearfield/default/frames/*/*/*/*")
    assert decode_header(result.attachment).sent_ns == sent_ns + 200_000_000


def test_only_declared_tags_may_be_emitted(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(emit=frozenset({0x11})).start()
    bench.deliver(1, b"abc")
    eventually(lambda: bench.done() == {1: ("failed", "handler")})
    assert bench.session.sent_to("nearfield/default/frames/*/*/*/*") == []


def test_deliveries_that_are_repeated_broken_or_of_another_zipper_are_ignored(
    opened: OpenBench, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    bench = opened().start()
    bench.deliver(1, b"abc")
    bench.deliver(1, b"abc")
    bench.deliver(2, b"abc", epoch=EPOCH + 1)
    bench.session.deliver(keys.dispatch("default", "line-1", f"detect/{bench.worker.instance}"), b"abc", b"garbage")
    bench.deliver(3, b"last")
    eventually(lambda: bench.done() == {1: ("completed", ""), 3: ("completed", "")})
    assert [frame.payload for frame, _ in bench.handled] == [b"abc", b"last"]
    assert "delivery ignored: delivery: got 7 bytes" in caplog.text


def test_heartbeats_say_what_is_held(opened: OpenBench, eventually: Eventually) -> None:
    gate, entered = threading.Event(), threading.Event()

    def wait(context: Context) -> None:
        entered.set()
        gate.wait(10)

    bench = opened(wait).start()
    bench.deliver(1, b"")
    bench.deliver(2, b"")
    assert entered.wait(10)
    bench.clock.advance(1.5)
    reports = keys.reports("default", "line-1")
    eventually(lambda: bench.session.sent_to(reports), "a heartbeat while the handler works")
    report = decode(Report, bench.session.sent_to(reports)[-1].payload)
    assert (report.holding, report.received, report.busy_ms) == ([1, 2], 2, 1_500)
    gate.set()
    eventually(lambda: len(bench.done()) == 2)


def test_worker_joins_again_when_the_zipper_does_not_know_it(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    bench.ask_to_join_again()
    eventually(lambda: len(bench.joins()) == 2, "a second request to join")
    bench.deliver(1, b"abc")
    eventually(lambda: bench.done() == {1: ("completed", "")})


def test_frames_that_were_taken_back_while_a_handler_hung_are_not_handled(
    opened: OpenBench, eventually: Eventually
) -> None:
    gate = Gate()
    bench = opened(gate).start()
    bench.deliver(1, b"hangs")
    bench.deliver(2, b"taken back")
    assert gate.entered.wait(10)
    bench.ask_to_join_again()
    eventually(lambda: len(bench.joins()) == 2)
    bench.deliver(3, b"new")
    gate.opened.set()
    eventually(lambda: bench.done().get(3) == ("completed", ""))
    assert [context.payload for context in gate.contexts] == [b"hangs", b"new"]


def test_a_handler_that_hangs_is_reported_as_such_after_joining_again(
    opened: OpenBench, eventually: Eventually
) -> None:
    gate = Gate()
    bench = opened(gate).start()
    bench.deliver(1, b"hangs")
    assert gate.entered.wait(10)
    bench.ask_to_join_again()
    eventually(lambda: len(bench.joins()) == 2)
    bench.clock.advance(3)

    def busy_ms() -> list[int]:
        reports = bench.session.sent_to(keys.reports("default", "line-1"))
        return [decode(Report, message.payload).busy_ms for message in reports]

    eventually(lambda: 3_000 in busy_ms())
    gate.opened.set()


def test_frame_whose_predecessor_got_lost_is_left_for_later(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    bench.deliver(1, b"a")
    bench.deliver(3, b"c", after=2)  # 2 got lost
    bench.deliver(4, b"d", after=3)
    bench.deliver(5, b"b", after=1)
    bench.deliver(6, b"c", after=5)
    eventually(lambda: len(bench.done()) == 3)
    assert set(bench.done()) == {1, 5, 6}
    assert [frame.payload for frame, _ in bench.handled] == [b"a", b"b", b"c"]


def test_worker_joins_a_restarted_zipper_once(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    bench.zipper.epoch = EPOCH + 1
    bench.ask_to_join_again()
    eventually(lambda: len(bench.joins()) == 2)
    # The restarted zipper's state arrives after its answer to the join: the worker knows that epoch already.
    bench.zipper.say([TAG], epoch=EPOCH + 1)
    bench.deliver(1, b"abc", epoch=EPOCH + 1)
    eventually(lambda: bench.done() == {1: ("completed", "")})
    before = len(bench.session.sent_to(keys.reports("default", "line-1")))
    eventually(lambda: len(bench.session.sent_to(keys.reports("default", "line-1"))) >= before + 2, "two heartbeats")
    assert len(bench.joins()) == 2


def test_new_epoch_in_the_zippers_state_makes_the_worker_join(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    bench.zipper.say([TAG], epoch=EPOCH + 1)
    eventually(lambda: len(bench.joins()) == 2)
    bench.deliver(7, b"abc", epoch=EPOCH + 1)
    eventually(lambda: bench.done() == {7: ("completed", "")})


def test_worker_moves_with_its_connection_to_another_zipper(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    instance = bench.worker.instance
    assert bench.session.announced == {keys.alive("default", "line-1", f"detect/{instance}")}
    other = keys.join("default", "line-2", "detect")
    bench.session.answers[other] = encode(JoinReply(epoch=9, observe=[TAG]))
    bench.zipper.move("line-2", [TAG], epoch=9)
    eventually(lambda: [key for key, _ in bench.session.questions].count(other) == 1, "asked to join there")
    alive = keys.alive("default", "line-2", f"detect/{instance}")
    eventually(lambda: bench.session.announced == {alive}, "alive there only")
    bench.deliver(1, b"late", epoch=EPOCH)  # of the zipper that was left: nobody listens any more
    header = Header(TAG, 1, 0, 0, 0)
    attachment = DeliveryHeader(header, 1, 9, 0, 0, "cam").encode()
    eventually(lambda: bench.session.sent_to(keys.reports("default", "line-2", f"detect/{instance}")), "reports there")
    bench.session.deliver(keys.dispatch("default", "line-2", f"detect/{instance}"), b"abc", attachment)
    eventually(lambda: len(bench.handled) == 1)
    assert [bench.handled[0][0].payload, bench.handled[0][0].zipper] == [b"abc", "line-2"]
    results = bench.session.sent_to("nearfield/default/frames/*/line-2/cam/detect")
    assert [message.payload for message in results] == [b"ABC", b"2"]


def test_result_for_another_source_leaves_under_its_name_and_says_so(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened(lambda context: context.emit(0x11, b"turn left", to="cam-2")).start()
    bench.deliver(1, b"")
    eventually(lambda: bench.done() == {1: ("completed", "")})
    (message,) = bench.session.sent_to("nearfield/default/frames/*/*/*/*")
    assert message.key == "nearfield/default/frames/17/line-1/cam-2/detect"
    assert decode_header(message.attachment).is_addressed


@pytest.mark.parametrize("of_frame", ["high", "normal"])
@pytest.mark.parametrize(
    ("priority", "lane", "reports"),
    [
        ("high", Lane.FRAMES_HIGH, Lane.REPORTS_HIGH),
        ("normal", Lane.FRAMES, Lane.REPORTS),
        ("low", Lane.FRAMES_LOW, Lane.REPORTS_LOW),
    ],
)
def test_results_have_the_priority_of_the_function_and_reports_the_same_so_that_they_never_overtake(
    opened: OpenBench, eventually: Eventually, priority: Priority, lane: Lane, reports: Lane, of_frame: Priority
) -> None:
    bench = opened(priority=priority).start()
    header = Header(TAG, 1, 0, 0, 0, flags=flags_of(of_frame))
    attachment = DeliveryHeader(header, 1, EPOCH, 0, 0, "cam").encode()
    bench.session.deliver(keys.dispatch("default", "line-1", f"detect/{bench.worker.instance}"), b"abc", attachment)
    eventually(lambda: bench.done() == {1: ("completed", "")})
    results = bench.session.sent_to("nearfield/default/frames/*/*/*/*")
    assert {message.lane for message in results} == {lane}
    assert {decode_header(message.attachment).priority for message in results} == {priority}
    assert {message.lane for message in bench.session.sent_to(keys.reports("default", "line-1"))} == {reports}


def test_epoch_that_changes_while_the_worker_asks_is_taken_over(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened()

    def answer(_: bytes) -> bytes:
        bench.zipper.say([TAG], epoch=EPOCH + 1)
        return encode(JoinReply(epoch=EPOCH + 1, observe=[TAG]))

    bench.session.answers[JOIN] = answer
    bench.start()
    bench.deliver(1, b"abc", epoch=EPOCH + 1)
    eventually(lambda: bench.done() == {1: ("completed", "")})


def test_worker_tries_again_until_a_restarted_zipper_answers_sensibly(
    opened: OpenBench, eventually: Eventually
) -> None:
    bench = opened().start()
    answers = iter([None, b"garbage", encode(JoinReply(epoch=EPOCH, observe=[TAG]))])
    bench.session.answers[JOIN] = lambda _: next(answers)
    bench.ask_to_join_again()
    eventually(lambda: len(bench.joins()) == 4, "three more requests to join")
    bench.deliver(1, b"abc")
    eventually(lambda: bench.done() == {1: ("completed", "")})


def test_worker_that_is_not_admitted_any_longer_ends_with_the_reason(opened: OpenBench) -> None:
    bench = opened().start()
    bench.session.answers[JOIN] = encode(JoinReply(error="function `detect` is not here"))
    bench.ask_to_join_again()
    bench.thread.join(timeout=10)
    assert [str(error) for error in bench.errors] == ["zipper `line-1`: function `detect` is not here"]


class Gates:
    """A handler that lets each frame through when the test says so; emits it again."""

    def __init__(self) -> None:
        self.entered: list[bytes] = []
        self.opened = {bytes([letter]): threading.Event() for letter in b"abcdefgh"}

    def __call__(self, context: Context) -> None:
        self.entered.append(context.payload)
        assert self.opened[context.payload].wait(10)
        if context.payload == b"b":
            raise ValueError("b is bad")
        context.emit(0x11, context.payload)

    def open(self, letters: bytes) -> None:
        for letter in letters:
            self.opened[bytes([letter])].set()


def test_worker_asks_for_one_frame_more_than_it_handles_at_a_time(opened: OpenBench) -> None:
    for concurrency, credits, asked in ((1, 1, 1), (1, 2, 2), (4, 2, 5), (4, 9, 9), (1, None, 2), (4, None, 5)):
        bench = opened(concurrency=concurrency, credits=credits)
        bench.worker.join()
        assert (bench.joins()[0].credits, bench.joins()[0].concurrency) == (asked, concurrency)


def test_worker_takes_more_frames_while_it_is_quick_unless_a_number_is_named(opened: OpenBench) -> None:
    for credits, most in ((None, 256), (1, 1), (300, 300)):
        bench = opened(credits=credits)
        bench.worker.join()
        assert bench.joins()[0].most_credits == most


def test_several_frames_at_a_time_leave_in_the_order_in_which_they_came(
    opened: OpenBench, eventually: Eventually
) -> None:
    gates = Gates()
    bench = opened(gates, concurrency=3).start()
    for number, letter in enumerate(b"abcd", start=1):
        bench.deliver(number, bytes([letter]))
    eventually(lambda: sorted(gates.entered) == [b"a", b"b", b"c"], "three at a time")
    gates.open(b"cbd")
    eventually(lambda: len(gates.entered) == 4, "the next one")
    assert bench.done() == {}
    assert bench.handled == []
    gates.open(b"a")
    eventually(lambda: len(bench.done()) == 4)
    expected = {1: ("completed", ""), 2: ("failed", "handler"), 3: ("completed", ""), 4: ("completed", "")}
    assert list(bench.done().items()) == list(expected.items())
    assert [message.payload for message in bench.session.sent_to("nearfield/default/frames/*/*/*/*")] == [
        b"a",
        b"c",
        b"d",
    ]
    assert [frame.payload for frame, _ in bench.handled] == [b"a", b"b", b"c", b"d"]
    statistics = bench.worker.statistics()
    assert (statistics.completed, statistics.failed, statistics.emitted) == (3, 1, 3)


def test_a_stale_frame_takes_its_turn_too(opened: OpenBench, eventually: Eventually) -> None:
    gates = Gates()
    bench = opened(gates, concurrency=2).start()
    bench.deliver(1, b"a")
    bench.deliver(2, b"e")
    eventually(lambda: sorted(gates.entered) == [b"a", b"e"])
    bench.deliver(3, b"c", remaining_us=1_000_000)
    bench.deliver(4, b"d")
    bench.clock.advance(2.0)
    gates.open(b"e")
    eventually(lambda: sorted(gates.entered) == [b"a", b"d", b"e"])
    gates.open(b"d")
    assert bench.done() == {}
    gates.open(b"a")
    eventually(lambda: len(bench.done()) == 4)
    completed = ("completed", "")
    assert list(bench.done().items()) == [(1, completed), (2, completed), (3, ("dropped", "stale")), (4, completed)]


def test_heartbeats_tell_how_long_the_oldest_of_several_frames_takes(opened: OpenBench, eventually: Eventually) -> None:
    gates = Gates()
    bench = opened(gates, concurrency=2).start()

    def busy_ms() -> int | None:
        messages = bench.session.sent_to(keys.reports("default", "line-1"))
        return decode(Report, messages[-1].payload).busy_ms if messages else None

    bench.deliver(1, b"a")
    eventually(lambda: gates.entered == [b"a"])
    bench.clock.advance(1.5)
    bench.deliver(2, b"c")
    eventually(lambda: gates.entered == [b"a", b"c"])
    bench.clock.advance(0.5)
    eventually(lambda: busy_ms() == 2_000)
    gates.open(b"a")
    eventually(lambda: busy_ms() == 500)
    gates.open(b"c")
    eventually(lambda: busy_ms() == 0)


def test_stopped_worker_finishes_all_frames_at_hand(opened: OpenBench, eventually: Eventually) -> None:
    gates = Gates()
    bench = opened(gates, concurrency=3).start()
    for number, letter in enumerate(b"acde", start=1):
        bench.deliver(number, bytes([letter]))
    eventually(lambda: len(gates.entered) == 3)
    bench.worker.stop()
    gates.open(b"edca")
    bench.thread.join(timeout=10)
    assert list(bench.done()) == [1, 2, 3]
    assert bench.session.announced == set()


def test_an_error_of_ours_on_any_thread_ends_the_worker(opened: OpenBench) -> None:
    def fail(frame: Frame, error: NearfieldError | None, handler_ns: int) -> None:
        raise InternalError("gone")

    bench = opened(concurrency=3)
    bench.worker._on_frame = fail
    bench.start()
    bench.deliver(1, b"x")
    bench.thread.join(timeout=10)
    assert [str(error) for error in bench.errors] == ["gone"]


class Held:
    """A handler that waits at each frame until the test lets it go on."""

    def __init__(self) -> None:
        self.gate, self.entered = threading.Event(), threading.Semaphore(0)

    def __call__(self, context: Context) -> None:
        self.entered.release()
        assert self.gate.wait(10)

    def has_begun(self, count: int) -> bool:
        return all(self.entered.acquire(timeout=10) for _ in range(count))


@pytest.mark.parametrize("concurrency", [1, 2])
def test_stopped_worker_says_at_once_what_it_still_finishes_and_leaves_when_it_has(
    opened: OpenBench, eventually: Eventually, concurrency: int
) -> None:
    held = Held()
    bench = opened(held, concurrency=concurrency).start()
    bench.session.answers[LEAVE] = encode(LeaveReply())
    for number in (1, 2, 3, 4):
        bench.deliver(number, b"")
    assert held.has_begun(concurrency)
    bench.worker.stop()
    eventually(lambda: bench.leaves(), "it says that it leaves")
    begun = list(range(1, concurrency + 1))
    assert bench.leaves()[0].holding == begun
    bench.deliver(5, b"")
    held.gate.set()
    bench.thread.join(timeout=10)
    assert bench.done() == dict.fromkeys(begun, ("completed", ""))
    assert [(leave.holding, [done.delivery for done in leave.done]) for leave in bench.leaves()[1:]] == [([], begun)]
    assert bench.session.announced == set()


def test_idle_worker_leaves_with_one_question(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    bench.session.answers[LEAVE] = encode(LeaveReply())
    bench.deliver(1, b"x")
    eventually(lambda: bench.done(), "the frame is done")
    bench.worker.stop()
    bench.thread.join(timeout=10)
    assert [(leave.holding, [done.delivery for done in leave.done]) for leave in bench.leaves()] == [([], [1])]


@pytest.mark.parametrize("answer", [None, encode(LeaveReply(error="not known")), b"no answer of ours"])
def test_worker_goes_whatever_the_zipper_answers(opened: OpenBench, eventually: Eventually, answer: bytes) -> None:
    held = Held()
    bench = opened(held).start()
    bench.session.answers[LEAVE] = answer
    bench.deliver(1, b"")
    bench.deliver(2, b"")
    assert held.has_begun(1)
    bench.worker.stop()
    eventually(lambda: bench.leaves(), "it says that it leaves")
    held.gate.set()
    bench.thread.join(timeout=10)
    assert not bench.thread.is_alive()
    assert bench.errors == []
    assert bench.done() == {1: ("completed", "")}
    assert bench.session.announced == set()


def test_worker_that_leaves_is_heard_until_it_has_finished(opened: OpenBench, eventually: Eventually) -> None:
    held = Held()
    bench = opened(held).start()
    bench.session.answers[LEAVE] = encode(LeaveReply())
    bench.deliver(1, b"")
    assert held.has_begun(1)
    bench.worker.stop()
    eventually(lambda: bench.leaves(), "it says that it leaves")
    reports = keys.reports("default", "line-1", f"detect/{bench.worker.instance}")
    before = len(bench.session.sent_to(reports))
    eventually(lambda: len(bench.session.sent_to(reports)) >= before + 3, "heartbeats")
    held.gate.set()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GuestTrapped("x"), "trapped"),
        (GuestTimeout("x"), "timeout"),
        (GuestMemoryExceeded("x"), "memoryexceeded"),
        (GuestError("x"), "error"),
        (HandlerFailed("x"), "handler"),
        (InferenceError("x"), "inference"),
        (MediaError("x"), "media"),
    ],
)
def test_failure_has_a_short_class_for_the_ledger(error: NearfieldError, reason: str) -> None:
    assert failure_reason(error) == reason


def test_reports_are_messages_of_the_protocol(opened: OpenBench, eventually: Eventually) -> None:
    bench = opened().start()
    bench.deliver(1, b"abc")
    eventually(lambda: bench.done())
    key = keys.reports("default", "line-1", f"detect/{bench.worker.instance}")
    report = msgspec.json.decode(bench.session.sent_to(key)[0].payload)
    assert set(report) == {"instance", "epoch", "received", "holding", "done", "busy_ms"}


# ---- results and reports that travel together

RESULTS = "nearfield/default/frames/17/line-1/cam/detect"


def reports_of(bench: Bench) -> list[Report]:
    return [decode(Report, message.payload) for message in bench.session.sent_to(keys.reports("default", "line-1"))]


def assert_results_are_ahead_of_reports(bench: Bench) -> None:
    """Whatever is reported completed has left before."""
    left: set[int] = set()
    for message in list(bench.session.published):
        if message.key == RESULTS:
            left.add(decode_header(message.attachment).sequence)
        elif "/reports/" in message.key:
            done = decode(Report, message.payload).done
            assert {each.delivery for each in done if each.status == "completed"} <= left


@pytest.fixture
def no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearfield.function.worker.HEARTBEAT_S", 60.0)


def test_results_of_quick_frames_leave_together_and_with_one_report(
    opened: OpenBench, eventually: Eventually, no_heartbeats: None
) -> None:
    bench = opened().start()
    bench.deliver_together(1, [b"a", b"b", b"fail", b"d"])
    eventually(lambda: len(bench.done()) == 4)
    assert bench.session.together == [(RESULTS, 3), (RESULTS.replace("17", "18"), 3)]
    assert [message.payload for message in bench.session.sent_to(RESULTS)] == [b"A", b"B", b"D"]
    (report,) = reports_of(bench)
    assert [(each.delivery, each.status) for each in report.done] == [
        (1, "completed"),
        (2, "completed"),
        (3, "failed"),
        (4, "completed"),
    ]
    assert_results_are_ahead_of_reports(bench)


def test_results_with_several_tags_leave_in_order_where_the_zipper_wants_that(
    opened: OpenBench, eventually: Eventually, no_heartbeats: None
) -> None:
    bench = opened().start()
    bench.zipper.say([TAG], EPOCH, ordered=True)
    bench.deliver_together(1, [b"a", b"b"])
    eventually(lambda: len(bench.done()) == 2)
    assert bench.session.together == [(RESULTS, 1), (RESULTS.replace("17", "18"), 1)] * 2
    assert_results_are_ahead_of_reports(bench)


def test_results_of_slow_frames_leave_one_by_one(
    opened: OpenBench, eventually: Eventually, no_heartbeats: None
) -> None:
    def handle(context: Context) -> None:
        bench.clock.advance(0.001)
        context.emit(0x11, context.payload)

    bench = opened(handle).start()
    bench.deliver_together(1, [b"a", b"b", b"c"])
    eventually(lambda: len(bench.done()) == 3)
    assert bench.session.together == [(RESULTS, 1)] * 3
    assert [len(report.done) for report in reports_of(bench)] == [1, 2, 3]


def test_reports_leave_before_half_of_the_credits_wait_for_them(
    opened: OpenBench, eventually: Eventually, no_heartbeats: None
) -> None:
    bench = opened(credits=6).start()
    bench.deliver_together(1, [b"%d" % number for number in range(8)])
    eventually(lambda: len(bench.done()) == 8)
    assert [size for key, size in bench.session.together if key == RESULTS] == [3, 3, 2]


def test_large_results_leave_before_they_are_reported(
    opened: OpenBench, eventually: Eventually, no_heartbeats: None
) -> None:
    bench = opened(lambda context: context.emit(0x11, bytes(30_000))).start()
    bench.deliver_together(1, [b"a", b"b", b"c"])
    eventually(lambda: len(bench.done()) == 3)
    assert bench.session.together == [(RESULTS, 2), (RESULTS, 1)]
    assert len(reports_of(bench)) == 1


def test_results_do_not_wait_for_a_frame_that_hangs(opened: OpenBench, eventually: Eventually) -> None:
    gate = Gate()

    def handle(context: Context) -> None:
        if context.payload == b"hangs":
            gate(context)
        context.emit(0x11, context.payload)

    bench = opened(handle).start()
    bench.deliver_together(1, [b"quick", b"hangs"])
    assert gate.entered.wait(10)
    eventually(lambda: bench.done() == {1: ("completed", "")}, "the result, with a heartbeat")
    assert [message.payload for message in bench.session.sent_to(RESULTS)] == [b"quick"]
    assert_results_are_ahead_of_reports(bench)
    gate.opened.set()


def test_worker_that_is_stopped_lets_go_what_it_has_done(opened: OpenBench, no_heartbeats: None) -> None:
    def handle(context: Context) -> None:
        context.emit(0x11, context.payload)
        if context.payload == b"b":
            bench.worker.stop()

    bench = opened(handle).start()
    bench.deliver_together(1, [b"a", b"b", b"never"])
    bench.thread.join(timeout=10)
    assert [message.payload for message in bench.session.sent_to(RESULTS)] == [b"a", b"b"]
    assert list(bench.done()) == [1, 2]
    assert_results_are_ahead_of_reports(bench)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_no_report_overtakes_its_results_whatever_comes_together(
    opened: OpenBench, eventually: Eventually, monkeypatch: pytest.MonkeyPatch, concurrency: int
) -> None:
    monkeypatch.setattr("nearfield.function.worker.HEARTBEAT_S", 0.001)
    chance = random.Random(5)

    def handle(context: Context) -> None:
        bench.clock.advance(chance.choice([0, 0, 0, 0.001, 0.003]))
        context.emit(0x11, context.payload)

    bench = opened(handle, concurrency=concurrency).start()
    number = 1
    while number < 300:
        count = chance.randint(1, 12)
        bench.deliver_together(number, [b"x"] * count)
        number += count
    eventually(lambda: len(bench.done()) == number - 1)
    sequences = [decode_header(message.attachment).sequence for message in bench.session.sent_to(RESULTS)]
    assert sequences == list(range(1, number)), "each once, and in order"
    assert_results_are_ahead_of_reports(bench)


def test_broken_delivery_takes_none_of_its_bundle_along(
    opened: OpenBench, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    bench = opened().start()
    bench.deliver_together(1, [b"a", b"", b"c"])
    eventually(lambda: bench.done() == {1: ("completed", ""), 3: ("completed", "")})
    assert "delivery ignored" in caplog.text
