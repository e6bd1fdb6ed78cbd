"""Results that go back to their source, orders to another one, and duplicates that a sink leaves out: real sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nearfield import AsyncSink, AsyncSource, Context, Sink, Source, StreamFunction, dial
from nearfield.frame import Header, keys
from nearfield.transport import Address, StateDirectory, ensure_server_certificate
from nearfield.zipper import GroupPolicy, Zipper, ZipperSettings
from tests.processes import Commands
from tests.unit.sandbox.kit import own_guest, write

PICTURE, RESULT, ORDER = 0x10, 0x11, 0x12

# Sends each frame to the source that it names: one byte says how long the name is, then come the name and the rest.
FORWARDER = own_guest(
    """(local $length i32) (local $rest i32)
    (drop (call $frame_read (i32.const 0) (i32.const 65536)))
    (local.set $length (i32.load8_u (i32.const 0)))
    (local.set $rest (i32.add (i32.const 1) (local.get $length)))
    (drop (call $emit_to (i32.const 0x12) (i32.const 1) (local.get $length)
      (local.get $rest) (i32.sub (call $frame_size) (local.get $rest))))
    (i32.const 0)"""
)
Eventually = Callable[..., None]


def answer(context: Context) -> None:
    context.emit(RESULT, context.payload.upper())
    if context.payload == b"to the other":
        context.emit(ORDER, "turn left", to="cam-2")


@pytest.fixture
def address(free_port: int) -> Iterator[str]:
    """A zipper with one function."""
    zipper = Zipper(
        ZipperSettings(
            name="line-1",
            namespace="default",
            listen=[Address("127.0.0.1", free_port)],
            identity=ensure_server_certificate(StateDirectory.from_environment(), ["127.0.0.1"]),
            policies=[GroupPolicy("answer", frozenset({PICTURE}), mode="complete")],
        )
    )
    zipper.start()
    where = f"127.0.0.1:{free_port}"
    with StreamFunction("answer", where, handler=answer):
        yield where
    zipper.close()


def test_source_receives_the_results_of_its_own_frames_and_orders_from_others(address: str) -> None:
    with (
        Source("cam-1", address, tag=PICTURE, mode="complete") as first,
        Source("cam-2", address, tag=PICTURE, mode="complete") as second,
    ):
        own, others = first.results(timeout_s=20), second.results(timeout_s=20)
        second.send(b"mine")
        assert second.flush()
        for payload in (b"a", b"to the other", b"c"):
            first.send(payload)
        assert first.flush()
        assert [(next(own).payload, frame_number) for frame_number in range(3)] == [
            (b"A", 0),
            (b"TO THE OTHER", 1),
            (b"C", 2),
        ]
        result, order = next(others), next(others)
        assert (result.payload, result.sequence, result.origin) == (b"MINE", 0, "cam-2")
        assert (order.payload, order.tag, order.origin) == (b"turn left", ORDER, "cam-2")
        assert order.header.is_addressed
        assert not result.header.is_addressed
        assert order.header.stream == first.stream


def letter(to: str, text: bytes) -> bytes:
    """A frame for the guest above."""
    return bytes([len(to)]) + to.encode() + text


def test_a_guest_sends_to_the_source_that_it_names_and_to_no_other(commands: Commands, tmp_path: Path) -> None:
    guest = str(write(tmp_path, FORWARDER))
    function = {
        "name": "forward",
        "observe": [PICTURE],
        "emit": [ORDER],
        "run": guest,
        "delivery": {"mode": "complete"},
    }
    node = commands.node([function])
    node.until_instances("forward", 1)
    with (
        Sink(node.address, [ORDER]) as sink,
        Source("cam-1", node.address, tag=PICTURE, mode="complete") as first,
        Source("cam-2", node.address, tag=PICTURE, mode="complete") as second,
    ):
        own, others = first.results(timeout_s=20), second.results(timeout_s=20)
        # Each hears itself: from here on each hears everything that is meant for it.
        for source, results in ((first, own), (second, others)):
            source.send(letter(source.name, b"begin"))
            assert next(results).payload == b"begin"
        orders = [("cam-2", b"left"), ("cam-1", b"own"), ("cam/2", b"x"), ("", b"x"), ("cam-2", b"right")]
        for to, text in (*orders, ("cam-1", b"end"), ("cam-2", b"end")):
            first.send(letter(to, text))
        assert [next(own).payload for _ in range(2)] == [b"own", b"end"]
        received = [next(others) for _ in range(3)]
        assert [frame.payload for frame in received] == [b"left", b"right", b"end"]
        assert {(frame.tag, frame.origin, frame.header.is_addressed) for frame in received} == {(ORDER, "cam-2", True)}
        seen = [frame.origin for _ in range(7) if (frame := sink.receive(20))]
        assert sorted(seen) == ["cam-1"] * 3 + ["cam-2"] * 4
    # What was for no name left nothing behind but a warning.
    assert node.until_settled("forward", 9)["completed"] == 9
    node.serve.says("function `forward`: 1 emitted frames were refused")


def test_results_end_when_none_comes_in_time(address: str) -> None:
    with Source("cam-1", address, tag=PICTURE, mode="complete") as source:
        results = source.results(timeout_s=0.1)
        assert list(results) == []


def test_asynchronous_source_and_sink_receive_results(address: str) -> None:
    async def scene() -> tuple[list[bytes], list[bytes]]:
        async with (
            AsyncSink(address, [RESULT]) as sink,
            AsyncSource("cam-1", address, tag=PICTURE, mode="complete", priority="high") as source,
        ):
            results = source.results(timeout_s=20)
            for payload in (b"a", b"b"):
                await source.send(payload)
            assert await source.flush()
            own = [(await anext(results)).payload for _ in range(2)]
            seen = [frame.payload for frame in (await sink.receive(20), await sink.receive(20)) if frame]
            assert source.statistics().released == 2
            return own, seen

    assert asyncio.run(scene()) == ([b"A", b"B"], [b"A", b"B"])


def test_sink_leaves_out_what_is_handled_and_sent_a_second_time(address: str, eventually: Eventually) -> None:
    connection = dial(address)
    with Sink(address, [RESULT], dedupe=True) as deduping, Sink(address, [RESULT]) as plain:
        result = Header(PICTURE, 1, 7, 0, 0).emitted(RESULT, 0, 0)
        key = str(keys.FrameKey("default", RESULT, "line-1", "cam", "detect"))
        for _ in range(3):
            connection.session.publish(key, b"result", attachment=result.encode())
        connection.session.publish(key, b"last", attachment=Header(PICTURE, 1, 8, 0, 0).emitted(RESULT, 0, 0).encode())
        assert [frame.payload for _ in range(2) if (frame := deduping.receive(20))] == [b"result", b"last"]
        assert [frame.payload for _ in range(4) if (frame := plain.receive(20))] == [b"result"] * 3 + [b"last"]
        assert (deduping.statistics().duplicates, plain.statistics().duplicates) == (2, 0)
    connection.close()


def test_sources_and_sinks_share_a_connection(address: str) -> None:
    connection = dial(address)
    with Sink(connection, [RESULT]) as sink, Source("cam-1", connection, tag=PICTURE, mode="complete") as source:
        with Source("cam-2", connection, tag=PICTURE, mode="complete") as other:
            other.send(b"other")
            assert other.flush()
        results = source.results(timeout_s=20)
        source.send(b"own")
        assert next(results).payload == b"OWN"
        assert [frame.origin for _ in range(2) if (frame := sink.receive(20))] == ["cam-2", "cam-1"]
    assert connection.session.router_ids() == []
