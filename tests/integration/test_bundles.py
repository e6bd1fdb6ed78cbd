"""Several messages in one, over QUIC: each is taken for itself, and what is broken takes nothing else along."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from nearfield import Context, Sink, Source, StreamFunction, dial
from nearfield.frame import Header, decode_header, keys
from nearfield.frame.bundle import MAX_MEMBER_BYTES, encode_bundle
from nearfield.transport import Address, Connection, Message, StateDirectory, ensure_server_certificate
from nearfield.zipper import GroupPolicy, Zipper, ZipperSettings

FRAME, RESULT = 0x10, 0x11
LIMIT = 2_000
KEY = keys.frame("default", FRAME, "line-1", "cam")
Eventually = Callable[..., None]


def upper(context: Context) -> None:
    context.emit(RESULT, context.payload.upper())


@contextlib.contextmanager
def dialled(address: str) -> Iterator[Connection]:
    connection = dial(address)
    try:
        yield connection
    finally:
        connection.close()


def header(sequence: int) -> bytes:
    return Header(FRAME, 7, sequence, 0, 0).encode()


@pytest.fixture(autouse=True)
def nothing_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also not when the machine stands still for a second: what arrives twice was sent twice."""
    monkeypatch.setattr("nearfield.source.window.RESEND_AFTER_NS", 10**12)
    monkeypatch.setattr("nearfield.zipper.group.TRANSIT_TIMEOUT_NS", 10**12)


@pytest.fixture
def zipper(free_port: int) -> Iterator[Zipper]:
    zipper = Zipper(
        ZipperSettings(
            name="line-1",
            namespace="default",
            listen=[Address("127.0.0.1", free_port)],
            identity=ensure_server_certificate(StateDirectory.from_environment(), ["127.0.0.1"]),
            policies=[GroupPolicy("upper", frozenset({FRAME}), mode="complete")],
            max_payload_bytes=LIMIT,
        )
    )
    zipper.start()
    yield zipper
    zipper.close()


@pytest.fixture
def address(zipper: Zipper) -> Iterator[str]:
    """Of the zipper, with its function."""
    (listening,) = zipper.settings.listen
    where = f"127.0.0.1:{listening.port}"
    with StreamFunction("upper", where, handler=upper):
        yield where


def settled(zipper: Zipper, completed: int, rejected: dict[str, int]) -> Callable[[], bool]:
    def holds() -> bool:
        ledger: dict[str, Any] = zipper.ledger()
        return (ledger["groups"]["upper"]["completed"], ledger["ingress"]["rejected"]) == (completed, rejected)

    return holds


def test_one_bad_frame_of_a_bundle_is_lost_alone_and_counted_as_one(
    zipper: Zipper, address: str, eventually: Eventually
) -> None:
    payloads = [b"a", b"b", bytes(LIMIT + 1), b"d", b"e"]
    headers = [header(0), b"no header", header(2), encode_bundle([b""], [b""])[1], header(4)]
    payload, attachment = encode_bundle(payloads, headers)
    with dialled(address) as connection, Sink(address, [FRAME, RESULT]) as sink:
        connection.session.publish(KEY, payload, attachment=attachment)
        eventually(settled(zipper, 2, {"malformed": 2, "too-large": 1}))
        eventually(lambda: sink.statistics().arrived >= 7)
        received = [sink.receive(5) for _ in range(5)]
        assert [(frame.tag, frame.payload) for frame in received if frame is not None] == [
            (FRAME, b"a"),
            (FRAME, bytes(LIMIT + 1)),
            (FRAME, b"e"),
            (RESULT, b"A"),
            (RESULT, b"E"),
        ]
        assert (sink.malformed, sink.statistics().arrived) == (2, 7)


def test_bundle_whose_table_is_broken_is_one_malformed_message(
    zipper: Zipper, address: str, eventually: Eventually
) -> None:
    payload, attachment = encode_bundle([b"a", b"b", b"c"], [header(0), header(1), header(2)])
    with dialled(address) as connection, Sink(address, [FRAME]) as sink:
        connection.session.publish(KEY, payload + b"!", attachment=attachment)
        eventually(settled(zipper, 0, {"malformed": 1}))
        connection.session.publish(KEY, payload, attachment=attachment)
        eventually(settled(zipper, 3, {"malformed": 1}))
        assert [getattr(sink.receive(5), "payload", None) for _ in range(3)] == [b"a", b"b", b"c"]
        assert sink.malformed == 1


def test_every_frame_of_a_bundle_under_a_key_that_is_none_is_refused(
    zipper: Zipper, address: str, eventually: Eventually
) -> None:
    payload, attachment = encode_bundle([b"a", b"b"], [header(0), header(1)])
    with dialled(address) as connection:
        connection.session.publish(KEY.replace("cam", "*"), payload, attachment=attachment)
        eventually(settled(zipper, 0, {"malformed": 2}))


def test_messages_arrive_in_order_together_where_they_are_small(address: str, eventually: Eventually) -> None:
    arrived: list[list[tuple[bytes, bytes]]] = []
    single: list[tuple[bytes, bytes]] = []

    def on_messages(key: str, messages: Sequence[Message]) -> None:
        arrived.append([(payload.to_bytes(), attachment) for payload, attachment in messages])

    large = bytes(MAX_MEMBER_BYTES + 1)
    messages = [(b"a", b"1"), (b"", b""), (large, b"3"), (b"d", b"4"), (b"e" * MAX_MEMBER_BYTES, b""), (large, b"")]
    with dialled(address) as sending, dialled(address) as receiving:
        receiving.session.subscribe_all("nearfield/default/test", on_messages)
        receiving.session.subscribe(
            "nearfield/default/test", lambda _, payload, attachment: single.append((payload.to_bytes(), attachment))
        )
        sending.session.publish_all("nearfield/default/test", messages)
        eventually(lambda: len(single) == len(messages))
        assert arrived == [messages[:2], messages[2:3], messages[3:5], messages[5:]]
        assert single == messages


def test_frames_and_results_that_travel_together_reach_source_and_sink_each_once_and_in_order(
    zipper: Zipper, address: str, eventually: Eventually
) -> None:
    count = 1_000
    with Sink(address, [FRAME, RESULT], queue=2 * count) as sink:
        with Source("cam", address, tag=FRAME, mode="complete") as source:
            results = source.results(timeout_s=20)
            senders = [
                threading.Thread(target=lambda: [source.send(b"x") for _ in range(count // 2)]) for _ in range(2)
            ]
            for sender in senders:
                sender.start()
            for sender in senders:
                sender.join(timeout=60)
            assert source.flush(30)
            assert [next(results).sequence for _ in range(count)] == list(range(count))
            assert source.statistics().released == count
        eventually(lambda: sink.statistics().arrived == 2 * count)
        frames = [frame for _ in range(2 * count) if (frame := sink.receive(5)) is not None]
    for tag in (FRAME, RESULT):
        assert [frame.sequence for frame in frames if frame.tag == tag] == list(range(count))
    group = zipper.ledger()["groups"]["upper"]
    assert (group["received"], group["completed"], group["redelivered"]) == (count, count, 0)


def test_frames_of_a_bundle_carry_their_own_headers(address: str, eventually: Eventually) -> None:
    """Nothing of one frame is said of another."""
    seen: list[tuple[int, bytes]] = []
    with dialled(address) as receiving, Source("cam", address, tag=FRAME, mode="complete") as source:
        receiving.session.subscribe_all(
            KEY,
            lambda _, messages: seen.extend(
                (decode_header(attachment).captured_ns, payload.to_bytes()) for payload, attachment in messages
            ),
        )
        for number in range(100):
            source.send(b"%d" % number, captured_ns=number)
        assert source.flush(20)
        eventually(lambda: len(seen) == 100)
    assert seen == [(number, b"%d" % number) for number in range(100)]
