"""What is malformed, of another version, too large, or sent twice, on every key of a real zipper."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from nearfield import Sink, dial
from nearfield.frame import Header, keys
from nearfield.frame.control import Capacity, GroupOffer, JoinReply, JoinRequest, Report, decode, encode
from nearfield.transport import Connection, Lane
from tests.hostile.messages import NODE, send_frame
from tests.processes import UPPERCASE, Commands, Node, poll

LIVE, KEPT, RESULT = 0x20, 0x10, 0x11
LIMIT = 4_096
FUNCTIONS = [
    {"name": "upper", "observe": [KEPT], "emit": [RESULT], "run": str(UPPERCASE), "delivery": {"mode": "complete"}},
    {"name": "show", "observe": [LIVE], "emit": [0x21], "run": str(UPPERCASE)},
]
BIG = b"9" * 400
NESTED = b"[" * 50_000


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    node = module_commands.node(FUNCTIONS, limits={"max_payload": f"{LIMIT}B"})
    for function in ("upper", "show"):
        node.until_instances(function, 1)
    return node


@pytest.fixture
def client(node: Node) -> Iterator[Connection]:
    """Of a stranger with a valid certificate. Afterwards the zipper handles frames as before."""
    with closing(dial(node.address)) as connection:
        yield connection
    received = node.group("upper")["received"]
    with closing(dial(node.address)) as connection:
        send_frame(connection.session, KEPT, f"honest-{received}", 0)
        node.until_settled("upper", received + 1)
    assert node.serve.status is None, node.serve.describe()


def rejected(node: Node) -> dict[str, int]:
    reasons: dict[str, int] = node.ledger()["ingress"]["rejected"]
    return reasons


def header(tag: int = KEPT, **fields: int) -> bytes:
    return Header(tag, fields.pop("stream", 1), fields.pop("sequence", 0), 0, 0, **fields).encode()


GARBAGE = [
    b"",
    b"\0",
    b"{}",
    b"null",
    b"\xff\xfe",
    NESTED,
    b'{"instance":"i","epoch":1,"received":1,"holding":[],"more":' + NESTED,
    b'{"instance":"i","epoch":1,"received":1,"holding":[],"done":[[1,"completed","",' + BIG + b"]]}",
    b'{"protocol":1,"zipper":"z","epoch":' + BIG + b',"stamp_ns":1}',
    random.Random(1).randbytes(2_000),
]
QUESTIONS = [
    keys.join("default", NODE, "upper"),
    keys.leave("default", NODE, "upper"),
    keys.ledger("default", NODE),
]
MESSAGES = [
    keys.reports("default", NODE, "upper/i"),
    keys.capacity("default", "rogue"),
    keys.forwarded("default", NODE, "rogue"),
    keys.forward("default", NODE, "rogue", "upper"),
    keys.acks("default", NODE, "cam"),
    keys.state("default", NODE),
    keys.dispatch("default", NODE, "upper/i"),
    keys.frame("default", KEPT, NODE, "cam"),
    keys.frame("default", KEPT, NODE, "cam", "upper"),
    keys.frame("default", LIVE, NODE, "*"),
    "nearfield/default/**",
    f"nearfield/default/reports/{NODE}/upper/" + "i" * 5_000,
]


def test_garbage_on_every_key_stops_nothing(node: Node, client: Connection) -> None:
    before = rejected(node).get("malformed", 0)
    for key in MESSAGES:
        for payload in GARBAGE:
            for attachment in (b"", payload[:500]):
                client.session.publish(key, payload, attachment=attachment, lane=Lane.REPORTS)
    # On keys of frames: two for each payload and key, and what was sent to all of them.
    poll(lambda: rejected(node).get("malformed", 0) >= before + 4 * len(GARBAGE), "malformed frames counted")
    hello = keys.hello("default", client.session.router_ids()[0])
    for key in (*QUESTIONS, hello):
        for question in GARBAGE:
            answer = client.session.ask(key, question, timeout_s=5)
            assert answer is not None, key
            assert key == hello or key == keys.ledger("default", NODE) or decode(JoinReply, answer).error


@pytest.mark.parametrize(
    ("attachment", "reason"),
    [
        (header()[:-1], "malformed"),
        (header() + b"\0", "malformed"),
        (b"XX" + header()[2:], "malformed"),
        (header()[:2] + b"\2" + header()[3:], "malformed"),
        (header(flags=1 << 31), "malformed"),
        (header(LIVE), "malformed"),
        (header(hops=255), "hops"),
    ],
    ids=["short", "long", "magic", "version", "reserved bits", "another tag", "hops"],
)
def test_header_that_is_none_is_counted_and_reaches_no_function(
    node: Node, client: Connection, attachment: bytes, reason: str
) -> None:
    before, received = rejected(node).get(reason, 0), node.group("upper")["received"]
    client.session.publish(keys.frame("default", KEPT, NODE, "cam"), b"x", attachment=attachment)
    poll(lambda: rejected(node).get(reason, 0) == before + 1, f"counted as {reason}")
    assert node.group("upper")["received"] == received


def test_payload_beyond_the_limit_is_refused_and_one_of_its_size_is_not(node: Node, client: Connection) -> None:
    before, received = rejected(node).get("too-large", 0), node.group("upper")["received"]
    # The one of 1 MiB does not get past the router, which leaves a margin of 64 KiB for what is counted.
    for sequence, size in enumerate((LIMIT, 2**20, LIMIT + 1, LIMIT + 60_000, 1)):
        send_frame(client.session, KEPT, "large", sequence, bytes(size))
    assert node.until_settled("upper", received + 2)["received"] == received + 2
    assert rejected(node)["too-large"] == before + 2


def test_another_version_is_refused_with_the_reason(node: Node, client: Connection) -> None:
    request = JoinRequest(protocol=2, function="upper", instance="i", observe=[])
    answer = client.session.ask(keys.join("default", NODE, "upper"), encode(request))
    assert answer is not None
    assert decode(JoinReply, answer).error == "protocol: got version 2, expected 1; update the older side"
    offers = {"upper": GroupOffer(free=9, observe=[KEPT])}
    capacity = Capacity(protocol=2, zipper="rogue", epoch=1, stamp_ns=1, groups=offers)
    client.session.publish(keys.capacity("default", "rogue"), encode(capacity), lane=Lane.CONTROL)
    # A question behind it: what was said before has been taken in.
    assert "rogue" not in node.ledger()["peers"]


def test_report_for_an_instance_of_another_function_counts_for_nobody(node: Node, client: Connection) -> None:
    before = node.group("upper")
    report = Report(instance="upper/i", epoch=node.ledger()["epoch"], received=9, holding=[], done=[])
    client.session.publish(keys.reports("default", NODE, "show/i"), encode(report), lane=Lane.REPORTS)
    assert node.group("upper")["instances"] == before["instances"]


# ---- frames that come again


@pytest.mark.parametrize(("function", "tag", "result"), [("upper", KEPT, RESULT), ("show", LIVE, 0x21)])
def test_replayed_frame_is_handled_once_counted_and_known_by_its_id(
    node: Node, client: Connection, function: str, tag: int, result: int
) -> None:
    duplicates, received = node.ledger()["ingress"]["duplicates"], node.group(function)["received"]
    with Sink(node.address, [tag]) as every, Sink(node.address, [tag, result], dedupe=True) as once:
        for sequence in range(20):
            send_frame(client.session, tag, f"replayed-{function}", sequence, b"text %d" % sequence, stream=5)
            node.until_settled(function, received + sequence + 1)  # else a `live` function may drop some
        with closing(dial(node.address)) as second:  # another session of an identity with a right to the name
            for session in (client.session, second.session):
                for sequence in range(20):
                    send_frame(session, tag, f"replayed-{function}", sequence, b"another text", stream=5)
            poll(lambda: node.ledger()["ingress"]["duplicates"] == duplicates + 40, "counted")
        group = node.until_settled(function, received + 20)
        assert group["received"] == received + 20
        # Copies for sinks are not confirmed: on a machine that is busy, some are missing.
        poll(lambda: every.statistics().arrived > 20, "the router brings replayed ones to sinks of the tag itself")
        seen = []
        while (frame := once.receive(timeout_s=1)) is not None:
            seen.append(frame)
        originals = [frame.sequence for frame in seen if frame.tag == tag]
        results = [frame.payload for frame in seen if frame.tag == result]
        assert len(originals) == len(set(originals)) <= 20, "each once"
        assert len(results) == len(set(results)) >= 10
        assert set(results) <= {b"TEXT %d" % number for number in range(20)}, "of the first, not of the replayed ones"


def test_replayed_frame_of_complete_mode_is_acknowledged_again(node: Node, client: Connection) -> None:
    acks: list[bytes] = []
    handle = client.session.subscribe(
        keys.acks("default", NODE, "lost-ack"), lambda key, payload, _: acks.append(payload.to_bytes())
    )
    for _ in range(2):
        count = len(acks)
        send_frame(client.session, KEPT, "lost-ack", 0, stream=6)
        poll(lambda: len(acks) > count, "acknowledged")  # noqa: B023 - polled at once
    handle.close()
