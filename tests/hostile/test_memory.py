"""Whatever a client with a valid certificate sends, the zipper's memory stays bounded, and others are served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from nearfield import Source, dial
from nearfield.frame import keys
from nearfield.frame.control import Capacity, JoinReply, JoinRequest, Report, decode, encode
from nearfield.transport import Lane, Session
from nearfield.zipper.admission import MAX_OBSERVED
from nearfield.zipper.dispatcher import MAX_INSTANCES
from tests.hostile.attacks import Usage
from tests.hostile.messages import NODE, ledger_behind, send_frame
from tests.processes import UPPERCASE, Commands, Node, poll

LIVE, KEPT, TEXT = 0x20, 0x30, 0x10
QUEUE_MB = 64
FUNCTIONS = [
    {"name": "upper", "observe": [TEXT], "run": str(UPPERCASE), "delivery": {"mode": "complete"}},
    {"name": "show", "observe": [LIVE]},
    {"name": "audit", "observe": [KEPT], "delivery": {"mode": "complete"}},
    {"name": "crowd", "observe": [0x40]},
    {"name": "free"},
]
# What all attacks together may leave behind, beside what the workflow allows to wait: generous, since allocators keep
# what was freed, and far less than any of these took before it was bounded.
MORE_MB = 120


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    node = module_commands.node(FUNCTIONS, limits={"queue_bytes": f"{QUEUE_MB}MiB"})
    node.until_instances("upper", 1)
    return node


@pytest.fixture(scope="module")
def before(node: Node) -> Usage:
    ledger_behind(node.connection.session)
    return Usage.of(node.serve.pid)


@pytest.fixture
def attacker(node: Node, before: Usage) -> Iterator[Session]:
    """Another client; afterwards, frames of honest ones are handled, and memory is bounded."""
    with closing(dial(node.address)) as connection:
        yield connection.session
    ledger_behind(node.connection.session)
    after = Usage.of(node.serve.pid)
    assert after.memory_mb < before.memory_mb + QUEUE_MB + MORE_MB, (before, after)
    assert after.threads < before.threads + 20, (before, after)
    completed = node.group("upper")["completed"]
    with Source("honest", node.address, tag=TEXT, mode="complete") as source:
        for number in range(10):
            source.send(b"text %d" % number, timeout_s=30)
        assert source.flush(30)
    assert node.until_settled("upper", completed + 10)["completed"] == completed + 10


@pytest.fixture
def until_counted(node: Node) -> Callable[[str, int], None]:
    """Wait until the zipper has counted so many frames since the test began: taken in for a function, or rejected."""

    def counted(function: str) -> int:
        ledger = ledger_behind(node.connection.session)
        return int(ledger["groups"][function]["received"] + sum(ledger["ingress"]["rejected"].values()))

    before = {function: counted(function) for function in ("show", "audit")}

    def wait(function: str, frames: int) -> None:
        poll(
            lambda: counted(function) >= before[function] + frames,
            lambda: f"{frames} frames counted: {ledger_behind(node.connection.session)['ingress']}",
        )

    return wait


Counted = Callable[[str, int], None]


def test_large_frames_that_wait_for_no_acknowledgement_are_refused_beyond_the_queue(
    node: Node, attacker: Session
) -> None:
    before = sum(ledger_behind(node.connection.session)["ingress"]["rejected"].values())
    for sequence in range(150):
        send_frame(attacker, KEPT, "flood", sequence, bytes(1_000_000))
    # Some may be lost in the transport, which the source would notice.
    poll(lambda: sum(ledger_behind(node.connection.session)["ingress"]["rejected"].values()) >= before + 20, "refused")
    assert node.group("audit")["queued"] <= QUEUE_MB * 1.05


def test_tens_of_thousands_of_small_frames_take_no_more_than_they_hold(
    attacker: Session, until_counted: Counted
) -> None:
    for sequence in range(15_000):
        send_frame(attacker, LIVE, "small", sequence, bytes(100), lane=Lane.REPORTS)
    until_counted("show", 10_000)


def test_tens_of_thousands_of_origins_are_counted_together(
    node: Node, attacker: Session, until_counted: Counted
) -> None:
    for number in range(20_000):
        send_frame(attacker, LIVE, f"cam-{number}", 0)
    until_counted("show", 15_000)
    assert node.group("show")["queued"] <= 8


def test_tens_of_thousands_of_streams_are_forgotten(attacker: Session, until_counted: Counted) -> None:
    for number in range(20_000):
        send_frame(attacker, LIVE, "restless", 0, stream=number)
    until_counted("show", 15_000)


def test_frames_with_tags_that_nobody_observes_never_reach_the_dispatcher(node: Node, attacker: Session) -> None:
    accepted = ledger_behind(node.connection.session)["ingress"]["accepted"]
    for tag in range(0x1000, 0x1000 + 20_000):
        send_frame(attacker, tag, "cam", 0)
    assert ledger_behind(node.connection.session)["ingress"]["accepted"] == accepted


def test_instances_beyond_a_thousand_are_refused(node: Node, attacker: Session) -> None:
    def join(number: int) -> JoinReply:
        request = JoinRequest(protocol=1, function="crowd", instance=f"i{number}", observe=[])
        answer = attacker.ask(keys.join("default", NODE, "crowd"), encode(request), timeout_s=10)
        assert answer is not None
        return decode(JoinReply, answer)

    errors = {join(number).error for number in range(MAX_INSTANCES + 100)}
    assert errors == {None, f"function `crowd` has {MAX_INSTANCES} instances, and takes no more"}
    assert node.group("crowd")["instances"] <= MAX_INSTANCES


def test_instance_that_asks_for_thousands_of_tags_is_refused(node: Node, attacker: Session) -> None:
    for tags in (MAX_OBSERVED + 1, 20_000, 100_000):
        request = JoinRequest(protocol=1, function="free", instance="i", observe=list(range(tags)))
        answer = attacker.ask(keys.join("default", NODE, "free"), encode(request), timeout_s=1)
        expected = f"observe: got {tags} tags, expected at most {MAX_OBSERVED}"
        assert answer is None if tags == 100_000 else decode(JoinReply, answer or b"").error == expected


def test_thousands_of_tokens_end_with_their_session(node: Node, attacker: Session) -> None:
    with ExitStack() as stack:
        for number in range(2_000):
            handle = attacker.announce(keys.alive("default", NODE, f"show/i{number}"))
            stack.callback(handle.close)
        ledger_behind(node.connection.session)


BIG_REPORT = encode(Report(instance="x", epoch=1, received=0, holding=list(range(100_000))))
SMALL_REPORT = encode(Report(instance="x", epoch=1, received=0, holding=[]))
CAPACITY = encode(Capacity(protocol=1, zipper="rogue", epoch=1, stamp_ns=1))


@pytest.mark.parametrize(
    ("key", "payload", "count", "least_refused"),
    [
        (lambda _: keys.reports("default", NODE, "show/nobody"), BIG_REPORT, 100, 90),
        (lambda _: keys.reports("default", NODE, "show/nobody"), bytes(1_000_000), 100, 90),
        (lambda number: keys.reports("default", NODE, f"show/i{number}"), SMALL_REPORT, 10_000, 0),
        (lambda _: keys.capacity("default", "rogue"), bytes(1_000_000), 100, 90),
        (lambda number: keys.capacity("default", f"rogue-{number}"), CAPACITY, 5_000, 0),
        (lambda number: keys.forwarded("default", NODE, f"rogue-{number}"), bytes(1_000_000), 100, 90),
    ],
    ids=["held by the thousand", "large", "of unknown instances", "capacity", "of many zippers", "of peers"],
)
def test_messages_that_are_no_frames_are_bounded_and_counted(
    node: Node, attacker: Session, key: Callable[[int], str], payload: bytes, count: int, least_refused: int
) -> None:
    before = ledger_behind(node.connection.session)["ingress"]["messages_refused"]
    for number in range(count):
        attacker.publish(key(number), payload, lane=Lane.REPORTS)
    poll(
        lambda: ledger_behind(node.connection.session)["ingress"]["messages_refused"] >= before + least_refused,
        "refused and counted",
    )


def test_questions_without_measure_are_answered_within_bounds(node: Node, attacker: Session) -> None:
    answers: list[None] = []
    for _ in range(3_000):
        attacker.ask_behind(keys.ledger("default", NODE), lambda: answers.append(None), lane=Lane.CONTROL, timeout_s=20)
    poll(lambda: len(answers) > 100, "some are answered")
    assert attacker.ask(keys.ledger("default", NODE), bytes(1_000_000), timeout_s=0.5) is None, "no question of ours"
