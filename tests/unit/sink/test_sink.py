"""The sink, on a session in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from nearfield.clock import ManualClock
from nearfield.errors import UsageError
from nearfield.frame import Frame, Header
from nearfield.sink import Sink
from tests.doubles import MemoryZipper

HEADER = Header(tag=0x11, stream=1, sequence=3, captured_ns=1_000, sent_ns=2_000)
KEY = "nearfield/default/frames/17/line-1/cam"


def test_frame_comes_out_as_it_was_sent() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection, [0x11], clock=ManualClock(wall_ns=1_500)) as sink:
        zipper.session.deliver(KEY, b"result", HEADER.encode())
        frame = sink.receive(0)
        assert frame == Frame("cam", "line-1", HEADER, b"result")
        assert sink.latency_ns(frame) == 500
        assert sink.receive(0) is None


def test_only_wanted_tags_are_received_each_once() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection, ["0x11", 17, 0x12]) as sink:
        assert sink.tags == (0x11, 0x12)
        zipper.session.deliver("nearfield/default/frames/16/line-1/cam", b"", HEADER.encode())
        zipper.session.deliver(KEY, b"", HEADER.encode())
        assert sink.receive(0) is not None
        assert sink.receive(0) is None


def test_without_tags_everything_is_received_from_every_zipper() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection) as sink:
        zipper.session.deliver("nearfield/default/frames/17/line-2/cam", b"", HEADER.encode())
        zipper.session.deliver("nearfield/other/frames/17/line-2/cam", b"", HEADER.encode())
        frame = sink.receive(0)
        assert frame is not None
        assert frame.zipper == "line-2"
        assert sink.receive(0) is None


def test_messages_that_are_no_frames_are_counted_and_skipped() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection) as sink:
        zipper.session.deliver(KEY, b"", b"")
        zipper.session.deliver("nearfield/default/frames/x/line-1/cam", b"", HEADER.encode())
        zipper.session.deliver("nearfield/default/frames/16/line-1/cam", b"", HEADER.encode())
        zipper.session.deliver(KEY, b"good", HEADER.encode())
        frame = sink.receive(0)
        assert frame is not None
        assert frame.payload == b"good"
        assert sink.malformed == 3


def test_slow_program_loses_the_oldest_and_is_told_how_many() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection, queue=2) as sink:
        for number in range(5):
            zipper.session.deliver(KEY, b"%d" % number, HEADER.encode())
        assert sink.dropped == 3
        assert [frame.payload for frame in (sink.receive(0), sink.receive(0)) if frame] == [b"3", b"4"]


def test_iteration_ends_when_the_sink_is_closed() -> None:
    zipper = MemoryZipper.observing()
    sink = Sink(zipper.connection)
    payloads: list[bytes] = []
    reader = threading.Thread(target=lambda: payloads.extend(frame.payload for frame in sink))
    reader.start()
    zipper.session.deliver(KEY, b"1", HEADER.encode())
    zipper.session.deliver(KEY, b"2", HEADER.encode())
    sink.close()
    sink.close()
    reader.join(timeout=10)
    assert payloads == [b"1", b"2"]
    assert zipper.session.subscriptions == [] or zipper.session.is_closed


def test_asynchronous_iteration_gives_frames_and_ends() -> None:
    zipper = MemoryZipper.observing()

    async def read() -> list[bytes]:
        payloads = []
        with Sink(zipper.connection) as sink:
            zipper.session.deliver(KEY, b"1", HEADER.encode())
            zipper.session.deliver(KEY, b"2", HEADER.encode())
            async for frame in sink:
                payloads.append(frame.payload)
                if len(payloads) == 2:
                    sink.close()
        return payloads

    assert asyncio.run(read()) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda connection: Sink(connection, queue=0), "queue: got 0, expected at least 1 frame"),
        (lambda connection: Sink(connection, ["x"]), "got 'x', expected a tag"),
    ],
)
def test_sink_that_cannot_work_is_refused(make: Callable[[object], Sink], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make(MemoryZipper.observing().connection)
