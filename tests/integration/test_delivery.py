"""What a function's delivery settings do, through a real zipper on the loopback interface, within this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from nearfield import Context, Sink, Source, StreamFunction
from nearfield.frame import Priority
from nearfield.frame.dead_letter import read_dead_letter
from nearfield.transport import Address, StateDirectory, ensure_server_certificate
from nearfield.zipper import GroupPolicy, StuckInstance, Zipper, ZipperSettings

PICTURE, RESULT, LETTER, OTHER = 0x10, 0x11, 0x12, 0x13
TAGS = frozenset({PICTURE})
Eventually = Callable[..., None]


class Line:
    """A zipper with one function, and the programs around it."""

    def __init__(self, port: int, stack: ExitStack) -> None:
        self.port = port
        self.stack = stack
        self.stuck: list[StuckInstance] = []

    def start(self, tags: frozenset[int] = TAGS, also: Sequence[GroupPolicy] = (), **policy: Any) -> None:
        self.zipper = Zipper(
            ZipperSettings(
                name="line-1",
                namespace="default",
                listen=[Address("127.0.0.1", self.port)],
                identity=ensure_server_certificate(StateDirectory.from_environment(), ["127.0.0.1"]),
                policies=[GroupPolicy("f", tags, **policy), *also],
                on_stuck=lambda _, stuck: self.stuck.append(stuck),
            )
        )
        self.zipper.start()
        self.stack.callback(self.zipper.close)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def function(self, handler: Any, name: str = "f", **options: Any) -> StreamFunction:
        return self.stack.enter_context(StreamFunction(name, self.address, handler=handler, **options))

    def source(self, name: str = "cam", **options: Any) -> Source:
        options = {"tag": PICTURE, "mode": "complete"} | options
        source = Source(name, self.address, **options)
        self.stack.callback(source.close)
        return source

    def sink(self, tag: int) -> Sink:
        return self.stack.enter_context(Sink(self.address, [tag]))

    def group(self) -> dict[str, Any]:
        ledger: dict[str, Any] = self.zipper.ledger()["groups"]["f"]
        settled = ledger["completed"] + sum(ledger["failed"].values()) + sum(ledger["dropped"].values())
        assert ledger["received"] == settled + ledger["queued"] + ledger["in_flight"]
        return ledger


@pytest.fixture
def line(free_port: int) -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(free_port, stack)


class Gate:
    """Held up at the payloads it is told to hang on; keeps what it handled."""

    def __init__(self, *hang_on: bytes) -> None:
        self.hang_on = hang_on
        self.handled: list[bytes] = []
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, context: Context) -> None:
        if context.payload in self.hang_on:
            self.entered.set()
            self.opened.wait(30)
        self.handled.append(context.payload)


def test_frame_that_a_handler_fails_on_becomes_a_dead_letter_and_the_others_go_on(line: Line) -> None:
    line.start(mode="complete", dead_letter=LETTER)
    letters = line.sink(LETTER)

    def fail_on_one_in_ten(context: Context) -> None:
        if context.sequence % 10 == 9:
            raise ValueError("no")

    line.function(fail_on_one_in_ten)
    source = line.source()
    for number in range(20):
        source.send(b"payload\n%d" % number)
    assert source.flush(30)
    for number in (9, 19):
        frame = letters.receive(10)
        assert frame is not None
        letter, payload = read_dead_letter(frame.payload)
        assert (letter.function, letter.reason, letter.attempts) == ("f", "handler", 1)
        assert (letter.tag, letter.origin, letter.sequence) == (PICTURE, "cam", number)
        assert payload == b"payload\n%d" % number
        assert (frame.origin, frame.sequence, frame.header.hops) == ("cam", number, 1)
    assert letters.receive(0.1) is None
    assert (line.group()["completed"], line.group()["failed"]) == (18, {"handler": 2})


def test_frames_of_an_instance_that_hangs_are_handled_elsewhere_and_it_comes_back(
    line: Line, eventually: Eventually
) -> None:
    line.start(mode="complete", timeout_ns=1_000_000_000)
    hanging, working = Gate(b"0"), Gate()
    line.function(hanging)
    source = line.source()
    source.send(b"0")
    source.send(b"1")
    assert hanging.entered.wait(10)
    eventually(lambda: line.group()["in_flight"] == 2)
    eventually(lambda: line.group()["stuck"] == 1, "the instance is found to be stuck")
    assert line.group()["queued"] == 2
    assert len(line.stuck) == 1
    line.function(working)
    assert source.flush(30)
    assert working.handled == [b"0", b"1"]
    hanging.opened.set()
    eventually(lambda: (line.group()["instances"], line.group()["stuck"]) == (2, 0), "it joined again")
    for number in range(2, 30):
        source.send(b"%d" % number)
    assert source.flush(30)
    # What it still held may be handled before it learns that it was taken away: at least once.
    later = set(hanging.handled[1:] + working.handled[2:]) - {b"1"}
    assert sorted(later, key=int) == [b"%d" % number for number in range(2, 30)]
    ledger = line.group()
    assert (ledger["received"], ledger["completed"], ledger["redelivered"]) == (30, 30, 2)


def test_frames_of_each_source_are_handled_in_order_by_several_instances(line: Line) -> None:
    line.start(mode="complete", order="source")
    lock, handled = threading.Lock(), []

    def keep(context: Context) -> None:
        with lock:
            handled.append((context.origin, context.sequence))

    for _ in range(3):
        line.function(keep, credits=3)
    sources = [line.source(f"cam-{number}") for number in range(4)]
    for _ in range(50):
        for source in sources:
            source.send(b"")
    assert all(source.flush(30) for source in sources)
    for source in sources:
        sequences = [sequence for origin, sequence in handled if origin == source.name]
        assert sequences == list(range(50))


@pytest.mark.parametrize("priority", ["high", "low"])
@pytest.mark.parametrize("sizes", [(50, 50), (50, 50_000)], ids=["small frames in bundles", "large between small ones"])
def test_frames_of_a_source_are_handled_in_order_whatever_their_tags(
    line: Line, sizes: tuple[int, int], priority: Priority
) -> None:
    tags = (PICTURE, OTHER)
    line.start(frozenset(tags), mode="complete", order="source")
    handled: list[int] = []
    for _ in range(2):
        line.function(lambda context: handled.append(context.sequence), credits=32)
    source = line.source(priority=priority)
    for number in range(600):
        source.send(bytes(sizes[number % 2]), tag=tags[number % 2])
    assert source.flush(30)
    assert handled == list(range(600))


def test_results_with_several_tags_are_handled_in_order_though_reports_overtake_them(
    line: Line, eventually: Eventually
) -> None:
    g = GroupPolicy("g", frozenset({RESULT, OTHER}), "complete", order="source")
    line.start(mode="complete", order="source", also=[g])
    handled: list[tuple[int, int]] = []

    def emit(context: Context) -> None:
        for number in range(3):
            context.emit((RESULT, OTHER)[number % 2], bytes(1 + 20_000 * (context.sequence % 2)))

    for _ in range(2):
        line.function(emit, credits=4)
    line.function(lambda context: handled.append((context.sequence, context.header.part)), name="g", credits=32)
    source = line.source()
    for _ in range(300):
        source.send(b"")
    # All are reported done by then, and not all of their results need have come in.
    assert source.flush(30)
    eventually(lambda: len(handled) >= 900, timeout_s=30)
    assert handled == [(sequence, part) for sequence in range(300) for part in range(3)]


def test_frame_that_is_worthless_before_its_turn_is_not_handled(line: Line, eventually: Eventually) -> None:
    line.start(mode="complete")
    gate = Gate(b"first")
    line.function(gate)
    source = line.source()
    source.send(b"first")
    assert gate.entered.wait(10)
    now_ns = time.time_ns()
    source.send(b"second")
    source.send(b"short", captured_ns=now_ns, deadline_ns=now_ns + 300_000_000)
    source.send(b"long", captured_ns=now_ns, deadline_ns=2**64 - 1)
    eventually(lambda: sum(line.group()["dropped"].values()) == 1, "the late one is dropped while it waits")
    gate.opened.set()
    assert source.flush(30)
    assert gate.handled == [b"first", b"second", b"long"]
    assert line.group()["dropped"] == {"stale": 1}


def test_functions_come_and_go_on_a_running_zipper(line: Line, eventually: Eventually) -> None:
    line.start(mode="complete")
    source = line.source()
    handled: list[bytes] = []
    assert source.connection.state.observed == [PICTURE]
    line.zipper.add_function(GroupPolicy("g", frozenset({RESULT}), "complete"))
    eventually(lambda: source.connection.state.observed == [PICTURE, RESULT], "sources learn of the new tag")
    line.stack.enter_context(StreamFunction("g", line.address, handler=lambda context: handled.append(context.payload)))
    source.send(b"for g", tag=RESULT)
    source.send(b"for f")
    eventually(lambda: handled == [b"for g"])
    # The two have different tags, and so no order: what came after the removal would wait for the function's return.
    eventually(lambda: line.group()["queued"] == 1)
    assert line.zipper.remove_function("f")
    assert not line.zipper.remove_function("f")
    assert source.flush(30), "what a removed function had is released"
    assert line.zipper.ledger()["removed"]["f"]["dropped"] == {"removed": 1}
    eventually(lambda: source.connection.state.observed == [RESULT])
    line.zipper.set_policies([GroupPolicy("f", TAGS, "complete"), GroupPolicy("g", frozenset({RESULT}), "complete")])
    line.function(lambda context: context.emit(RESULT, b"from f"))
    source.send(b"for f again")
    eventually(lambda: handled == [b"for g", b"from f"], "the functions that stayed went on")
    assert line.group()["received"] == 2
