"""Sources, functions and sinks through a real zipper, over QUIC on the loopback interface, within this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from nearfield import AsyncSource, Context, Sink, Source, StreamFunction, dial
from nearfield.errors import CertificateError, ConfigError, RefusedError, TransportError
from nearfield.frame import FLAG_EMITTED, Header, keys
from nearfield.frame.control import JoinReply, JoinRequest, Report, decode, encode
from nearfield.transport import (
    Address,
    Connection,
    Lane,
    StateDirectory,
    check_listenable,
    ensure_local_identity,
    ensure_server_certificate,
)
from nearfield.zipper import GroupPolicy, Zipper, ZipperSettings

PICTURE, RESULT = 0x10, 0x11
DETECT = GroupPolicy("detect", frozenset({PICTURE}))
AUDIT = GroupPolicy("audit", frozenset({PICTURE}), mode="complete")
Eventually = Callable[..., None]


class Node:
    """One zipper that can be stopped and started again, and the programs around it."""

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"
        self.settings = ZipperSettings(
            name="line-1",
            namespace="default",
            listen=[Address("127.0.0.1", port)],
            identity=ensure_server_certificate(StateDirectory.from_environment(), ["127.0.0.1"]),
            policies=[],
            max_payload_bytes=100_000,
        )
        self.zipper: Zipper | None = None
        self._closers: list[Callable[[], object]] = []

    def is_listenable(self) -> bool:
        """Whether the port is free: the engine lets go of it a moment after its session was closed."""
        try:
            check_listenable(self.settings.listen[0])
        except ConfigError:
            return False
        return True

    def start(self, *policies: GroupPolicy) -> Node:
        self.zipper = Zipper(
            ZipperSettings(
                name=self.settings.name,
                namespace=self.settings.namespace,
                listen=self.settings.listen,
                identity=self.settings.identity,
                policies=policies,
                max_payload_bytes=self.settings.max_payload_bytes,
            )
        )
        self.zipper.start()
        return self

    def stop(self) -> None:
        if self.zipper is not None:
            self.zipper.close()

    def close(self) -> None:
        for close in reversed(self._closers):
            close()
        self.stop()

    def function(self, name: str, handler: Any, observe: tuple[int, ...] = (), **options: Any) -> StreamFunction:
        function = StreamFunction(name, self.address, observe, handler=handler, **options).start()
        self._closers.append(function.stop)
        return function

    def source(self, name: str = "cam", **options: Any) -> Source:
        source = Source(name, self.address, **{"tag": PICTURE} | options)
        self._closers.append(source.close)
        return source

    def sink(self, *tags: int, **options: Any) -> Sink:
        sink = Sink(self.address, tags, **options)
        self._closers.append(sink.close)
        return sink

    def dial(self) -> Connection:
        connection = dial(self.address)
        self._closers.append(connection.close)
        return connection

    def group(self, name: str) -> dict[str, Any]:
        """The group's ledger, whose sums are checked each time."""
        assert self.zipper is not None
        ledger: dict[str, Any] = self.zipper.ledger()["groups"][name]
        settled = ledger["completed"] + sum(ledger["failed"].values()) + sum(ledger["dropped"].values())
        assert ledger["received"] == settled + ledger["queued"] + ledger["in_flight"]
        return ledger

    def rejected(self) -> dict[str, int]:
        assert self.zipper is not None
        counts: dict[str, int] = self.zipper.ledger()["ingress"]["rejected"]
        return counts


@pytest.fixture
def node(free_port: int) -> Iterator[Node]:
    started = Node(free_port)
    yield started
    started.close()


def upper(context: Context) -> None:
    if context.payload == b"fail":
        raise ValueError("no")
    context.emit(RESULT, context.payload.upper())


async def upper_later(context: Context) -> None:
    await asyncio.sleep(0)
    upper(context)


class Collector:
    """A handler that keeps what it was given, and may be held up."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, context: Context) -> None:
        self.gate.wait(30)
        self.payloads.append(context.payload)


# ---- the way of one frame


@pytest.mark.parametrize("handler", [upper, upper_later], ids=["plain", "async"])
def test_frame_becomes_a_result(node: Node, handler: Any) -> None:
    node.start(DETECT)
    sink = node.sink(RESULT)
    node.function("detect", handler)
    assert node.source().send(b"abc", captured_ns=123) == 0
    frame = sink.receive(10)
    assert frame is not None
    assert (frame.payload, frame.origin, frame.zipper, frame.tag) == (b"ABC", "cam", "line-1", RESULT)
    assert (frame.sequence, frame.header.hops, frame.header.captured_ns) == (0, 1, 123)


def test_decorated_function_names_its_own_tags(node: Node) -> None:
    node.start(GroupPolicy("detect"))
    sink = node.sink(RESULT)
    detect = StreamFunction("detect", node.address, observe=[PICTURE])

    @detect
    def handle(context: Context) -> None:
        upper(context)

    with detect:
        node.source().send(b"abc")
        frame = sink.receive(10)
        assert frame is not None
        assert frame.payload == b"ABC"


def test_functions_follow_one_another(node: Node) -> None:
    node.start(DETECT, GroupPolicy("count", frozenset({RESULT})))
    sink = node.sink(0x12)
    node.function("detect", upper)
    node.function("count", lambda context: context.emit(0x12, str(len(context.payload))))
    node.source().send(b"abc")
    frame = sink.receive(10)
    assert frame is not None
    assert (frame.payload, frame.header.hops) == (b"3", 2)


def test_sink_receives_what_no_function_observes(node: Node, eventually: Eventually) -> None:
    node.start()
    sink, source = node.sink(), node.source()
    source.send(b"\x00\xff")
    frame = sink.receive(10)
    assert frame is not None
    assert (frame.payload, frame.tag) == (b"\x00\xff", PICTURE)


def test_open_sink_misses_nothing_that_is_sent_from_then_on(node: Node) -> None:
    node.start(DETECT)
    source = node.source()
    # Without a wait for its subscription, about one sink in fourteen missed the frame.
    for number in range(40):
        with Sink(node.address, [RESULT]) as sink:
            source.send(b"%d" % number, tag=RESULT)
            frame = sink.receive(10.0)
            assert frame is not None
            assert frame.payload == b"%d" % number


def test_asynchronous_source_delivers(node: Node, eventually: Eventually) -> None:
    node.start(AUDIT)
    collector = Collector()
    node.function("audit", collector)

    async def send() -> None:
        async with AsyncSource("cam", node.address, tag=PICTURE, mode="complete") as source:
            for number in range(5):
                await source.send(b"%d" % number)
            assert await source.flush()
            assert source.source.statistics().released == 5

    asyncio.run(send())
    assert collector.payloads == [b"0", b"1", b"2", b"3", b"4"]


def test_failing_handler_fails_its_frame_and_the_stream_goes_on(node: Node, eventually: Eventually) -> None:
    node.start(DETECT)
    sink = node.sink(RESULT)
    node.function("detect", upper)
    source = node.source(mode="complete")
    for payload in (b"a", b"fail", b"b", b"fail", b"c"):
        source.send(payload)
    assert source.flush()
    assert [frame.payload for frame in (sink.receive(10), sink.receive(10), sink.receive(10)) if frame] == [
        b"A",
        b"B",
        b"C",
    ]
    eventually(lambda: node.group("detect")["in_flight"] == 0)
    ledger = node.group("detect")
    assert (ledger["received"], ledger["completed"], ledger["failed"]) == (5, 3, {"handler": 2})


# ---- delivery


def test_live_source_never_waits_for_a_slow_function(node: Node, eventually: Eventually) -> None:
    node.start(GroupPolicy("detect", frozenset({PICTURE}), queue=4))
    collector = Collector()
    collector.gate.clear()
    node.function("detect", collector)
    source = node.source()
    for number in range(100):  # the handler is not done with one of them before all are sent
        source.send(b"%d" % number)
    assert source.flush()
    statistics = source.statistics()
    assert statistics.offered == 100 == statistics.sent + statistics.replaced
    collector.gate.set()
    eventually(lambda: node.group("detect")["queued"] + node.group("detect")["in_flight"] == 0)
    ledger = node.group("detect")
    # A live frame may get lost on the way; then it was not confirmed.
    assert statistics.released <= ledger["received"] <= statistics.sent
    assert ledger["completed"] == len(collector.payloads)


def test_complete_source_is_held_back_by_a_slow_function(node: Node) -> None:
    node.start(AUDIT)
    collector = Collector()
    collector.gate.clear()
    node.function("audit", collector)
    source = node.source(mode="complete", window=4)
    for number in range(4):
        source.send(b"%d" % number)
    with pytest.raises(TransportError, match=r"no room after 0.1 s"):
        source.send(b"too many", timeout_s=0.1)
    collector.gate.set()
    source.send(b"4", timeout_s=10)
    assert source.flush()
    assert collector.payloads == [b"0", b"1", b"2", b"3", b"4"]


def test_complete_source_loses_nothing_when_an_instance_vanishes(node: Node, eventually: Eventually) -> None:
    node.start(AUDIT)
    leaving, staying = Collector(), Collector()
    leaving.gate.clear()
    staying.gate.clear()
    connection = node.dial()
    first = StreamFunction("audit", connection, handler=leaving).start()
    source = node.source(mode="complete")
    source.send(b"0")
    source.send(b"1")
    eventually(lambda: node.group("audit")["in_flight"] == 2, "the first instance holds two frames")
    node.function("audit", staying)
    for number in range(2, 10):
        source.send(b"%d" % number)
    staying.gate.set()
    connection.close()  # as if the process were gone, in the middle of a frame
    for number in range(10, 30):
        source.send(b"%d" % number)
    assert source.flush(30)
    assert sorted(staying.payloads, key=int) == [b"%d" % number for number in range(30)]
    ledger = node.group("audit")
    assert (ledger["completed"], ledger["instances"]) == (30, 1)
    assert ledger["redelivered"] >= 2
    leaving.gate.set()
    first.stop()


@pytest.mark.parametrize("observe", [(), (PICTURE,)], ids=["tags in the workflow", "tags of the function"])
def test_restarted_zipper_gets_its_functions_and_frames_back(
    node: Node, eventually: Eventually, observe: tuple[int, ...]
) -> None:
    policy = GroupPolicy("audit", frozenset() if observe else frozenset({PICTURE}), mode="complete")
    node.start(policy)
    collector = Collector()
    node.function("audit", collector, observe)
    source = node.source(mode="complete")
    source.send(b"0")
    assert source.flush()
    collector.gate.clear()
    source.send(b"1")
    source.send(b"2")
    eventually(lambda: node.group("audit")["in_flight"] == 2)
    node.stop()
    source.send(b"3")  # while nobody listens
    collector.gate.set()
    eventually(node.is_listenable, "the port is free again")
    node.start(policy)
    assert source.flush(30)
    for number in range(4, 10):
        source.send(b"%d" % number)
    assert source.flush(30)
    # At least once: what was at hand when the zipper went may be handled twice, and nothing is missing.
    assert set(collector.payloads) == {b"%d" % number for number in range(10)}
    ledger = node.group("audit")
    assert (ledger["instances"], ledger["failed"], ledger["dropped"]) == (1, {}, {})
    assert ledger["completed"] == ledger["received"] >= 7
    assert source.statistics().released == 10


def test_sink_goes_on_after_a_restart(node: Node, eventually: Eventually) -> None:
    node.start()
    sink, source = node.sink(PICTURE), node.source()
    source.send(b"before")
    frame = sink.receive(10)
    assert frame is not None
    node.stop()
    eventually(node.is_listenable, "the port is free again")
    node.start()
    received: list[bytes] = []

    def again() -> bool:
        source.send(b"after")
        frame = sink.receive(0.05)
        received.extend([] if frame is None else [frame.payload])
        return b"after" in received

    eventually(again, "a frame after the restart", timeout_s=20)


# ---- what is refused


def test_wildcard_puts_and_broken_headers_are_refused_and_counted(node: Node, eventually: Eventually) -> None:
    node.start(DETECT)
    collector = Collector()
    node.function("detect", collector)
    session = node.dial().session
    header = Header(PICTURE, 1, 0, 0, 0).encode()
    key = str(keys.FrameKey("default", PICTURE, "line-1", "intruder"))
    session.publish(f"nearfield/default/frames/{PICTURE}/*/intruder/-", b"wild", attachment=header)
    session.publish("nearfield/default/frames/**", b"wilder", attachment=header)
    session.publish(key, b"none")
    session.publish(key, b"short", attachment=header[:-1])
    session.publish(key, b"other tag", attachment=Header(PICTURE + 1, 1, 0, 0, 0).encode())
    forged = Header(PICTURE, 1, 0, 0, 0, hops=1, flags=FLAG_EMITTED)
    session.publish(key, b"as if a function had made it", attachment=forged.encode())
    session.publish(f"{key[:-1]}detect", b"as if the source had made it", attachment=header)
    eventually(lambda: node.rejected() == {"malformed": 7})
    session.publish(key, b"good", attachment=header)
    eventually(lambda: collector.payloads == [b"good"])
    assert node.group("detect")["received"] == 1


def test_payload_over_the_limit_is_refused_and_counted(node: Node, eventually: Eventually) -> None:
    node.start(DETECT)
    collector = Collector()
    node.function("detect", collector)
    source = node.source()
    with pytest.raises(RefusedError, match="may not send 100001 bytes in one frame; expected at most 100000"):
        source.send(b"x" * 100_001)
    # Whoever sends it all the same.
    header = Header(PICTURE, 1, 0, 0, 0).encode()
    source.connection.session.publish(
        keys.frame("default", PICTURE, "line-1", "cam"), b"x" * 100_001, attachment=header
    )
    eventually(lambda: node.rejected() == {"too-large": 1})
    source.send(b"x" * 100_000)
    eventually(lambda: len(collector.payloads) == 1)


def test_unknown_function_is_told_which_are_known(node: Node) -> None:
    node.start(DETECT, AUDIT)
    with pytest.raises(RefusedError) as caught:
        node.function("detekt", upper)
    assert str(caught.value) == (
        "zipper `line-1`: function `detekt` is not in this zipper's workflow; listed there: `detect`, `audit`"
    )


def test_messages_that_are_meant_ill_do_not_end_the_zipper(node: Node, eventually: Eventually) -> None:
    node.start(DETECT)
    collector = Collector()
    session = node.dial().session
    join, reports = keys.join("default", "line-1", "detect"), keys.reports("default", "line-1", "detect/x")

    def refusal(question: bytes) -> str:
        answer = session.ask(join, question)
        assert answer is not None
        return decode(JoinReply, answer).error or "admitted"

    for name in ("", "*", "**", "a/b", "a//b", "/", "a#b?", "x" * 10_000):
        request = JoinRequest(protocol=1, function="detect", instance=name, observe=[])
        assert refusal(encode(request)).startswith("join message: instance ")
        report = Report(instance=name, epoch=1, received=0, holding=[])
        session.publish(reports, encode(report), lane=Lane.CONTROL)
    assert refusal(b"").startswith("joinrequest message: ")
    assert refusal(b"[]").startswith("joinrequest message: ")
    other = JoinRequest(protocol=1, function="audit", instance="x", observe=[])
    assert refusal(encode(other)) == "join message: got `audit`, expected `detect`"
    newer = JoinRequest(protocol=9, function="detect", instance="x", observe=[])
    assert refusal(encode(newer)) == "protocol: got version 9, expected 1; update the older side"
    session.publish(reports, b"\xff", lane=Lane.CONTROL)
    node.function("detect", collector)
    node.source().send(b"fine")
    eventually(lambda: collector.payloads == [b"fine"])
    assert node.zipper is not None
    assert node.zipper.failure is None


def test_client_of_another_authority_learns_why_it_is_refused(node: Node, tmp_path_factory: Any) -> None:
    node.start()
    foreign = ensure_local_identity(StateDirectory(tmp_path_factory.mktemp("foreign")))
    with pytest.raises(CertificateError, match="authority"):
        dial(node.address, identity=foreign)


def test_namespace_that_is_not_served_is_named(node: Node) -> None:
    node.start()
    with pytest.raises(
        RefusedError, match=r"^127\.0\.0\.1:\d+: no zipper answers in namespace `other`; `local-.*` may have no"
    ):
        dial(node.address, namespace="other", timeout_s=1.0)


def test_address_without_a_zipper_is_named(node: Node) -> None:
    with pytest.raises(TransportError, match=r"^127\.0\.0\.1:\d+: nothing listens there; is the zipper running\?$"):
        dial(node.address, timeout_s=0.1)


def test_second_zipper_on_one_port_is_refused(node: Node, free_port: int) -> None:
    node.start()
    with pytest.raises(
        TransportError, match=r"^127\.0\.0\.1:\d+: cannot listen: .*; is another zipper running there\?$"
    ):
        Node(free_port).start()


# ---- what is told


def test_anybody_may_ask_for_the_ledger(node: Node, eventually: Eventually) -> None:
    node.start(DETECT)
    node.function("detect", upper)
    node.source().send(b"abc")
    eventually(lambda: node.group("detect")["completed"] == 1)
    answer = node.dial().session.ask(keys.ledger("default", "line-1"))
    assert answer is not None
    ledger = msgspec.json.decode(answer)
    assert ledger["zipper"] == "line-1"
    assert ledger["groups"]["detect"]["completed"] == 1


def test_second_of_two_addresses_is_tried(node: Node, free_port: int) -> None:
    node.start()
    silent = "127.0.0.1:1"
    connection = dial(f"{silent},{node.address}")
    assert connection.zipper == "line-1"
    assert connection.is_heard
    connection.close()
    connection.close()
