"""The sink, on a session in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from nearfield.clock import ManualClock
from nearfield.errors import RefusedError, TransportError, UsageError
from nearfield.frame import FLAG_KEPT, Frame, Header
from nearfield.frame.control import Granted
from nearfield.frame.resent import Resent, ResentFrame, encode_resent
from nearfield.sink import AsyncSink, Sink, SinkStatistics
from nearfield.sink.duplicates import Duplicates, identity_of
from tests.doubles import MemoryZipper

Eventually = Callable[..., None]

HEADER = Header(tag=0x11, stream=1, sequence=3, captured_ns=1_000, sent_ns=2_000)
KEY = "nearfield/default/frames/17/line-1/cam/-"


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
        zipper.session.deliver("nearfield/default/frames/16/line-1/cam/-", b"", HEADER.encode())
        zipper.session.deliver(KEY, b"", HEADER.encode())
        assert sink.receive(0) is not None
        assert sink.receive(0) is None


def test_without_tags_everything_is_received_from_every_zipper() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection) as sink:
        zipper.session.deliver("nearfield/default/frames/17/line-2/cam/-", b"", HEADER.encode())
        zipper.session.deliver("nearfield/other/frames/17/line-2/cam/-", b"", HEADER.encode())
        frame = sink.receive(0)
        assert frame is not None
        assert frame.zipper == "line-2"
        assert sink.receive(0) is None


def test_messages_that_are_no_frames_are_counted_and_skipped() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection) as sink:
        zipper.session.deliver(KEY, b"", b"")
        zipper.session.deliver("nearfield/default/frames/x/line-1/cam/-", b"", HEADER.encode())
        zipper.session.deliver("nearfield/default/frames/16/line-1/cam/-", b"", HEADER.encode())
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


def test_slow_program_is_told_why_frames_were_dropped_and_every_message_is_accounted_for() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection, queue=3, dedupe=True) as sink:
        for sequence in (0, 1, 2, 3, 3):
            zipper.session.deliver(KEY, b"", replace(HEADER, sequence=sequence).encode())
        zipper.session.deliver(KEY, b"", b"broken")
        assert sink.receive(0) is not None
        assert sink.receive(0) is None
        zipper.session.deliver(KEY, b"", replace(HEADER, sequence=4).encode())
        assert sink.statistics() == SinkStatistics(
            arrived=7, received=1, queued=1, dropped={"sink-slow": 3}, duplicates=1, malformed=1
        )


def test_sink_that_lost_nothing_names_no_reason() -> None:
    with Sink(MemoryZipper.observing().connection) as sink:
        assert sink.statistics().dropped == {}


# Another source, incarnation, number, tag or part makes another frame; another time or hop does not.
VARIANTS: list[tuple[str, dict[str, int]]] = [
    ("cam", {}),
    ("door", {}),
    ("cam", {"stream": 2}),
    ("cam", {"sequence": 4}),
    ("cam", {"tag": 18}),
    ("cam", {"part": 1}),
]


@pytest.mark.parametrize(("dedupe", "copies"), [(True, 1), (False, 3)])
def test_frames_that_come_again_are_left_out_if_asked(dedupe: bool, copies: int) -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection, dedupe=dedupe) as sink:
        for sent_ns in range(3):
            for origin, changes in VARIANTS:
                header = replace(HEADER, sent_ns=sent_ns, **changes)
                key = f"nearfield/default/frames/{header.tag}/line-{sent_ns}/{origin}/-"
                zipper.session.deliver(key, b"", header.encode())
        received = []
        while (frame := sink.receive(0)) is not None:
            received.append(identity_of(frame))
        assert len(received) == copies * len(VARIANTS)
        assert len(set(received)) == len(VARIANTS)
        assert sink.statistics().duplicates == (3 - copies) * len(VARIANTS)


def test_what_is_remembered_of_frames_is_bounded() -> None:
    duplicates = Duplicates(capacity=3)
    frames = [Frame("cam", "line-1", replace(HEADER, sequence=number), b"") for number in range(5)]
    assert [duplicates.is_new(frame) for frame in frames[:4]] == [True] * 4
    assert len(duplicates) == 3
    assert not duplicates.is_new(frames[1])
    assert duplicates.is_new(frames[4])
    assert not duplicates.is_new(frames[1])  # seen lately, so remembered for longer
    assert duplicates.is_new(frames[0])  # forgotten


def test_frames_that_were_sent_and_did_not_come_are_counted_apart_from_those_the_sink_was_too_slow_for() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection, queue=1) as sink:
        for count in (3, 4, 7, 7, 6, 9):  # 5 and 8 are missing; 6 came late, and 7 twice
            zipper.session.deliver(KEY, b"", replace(HEADER, sender=1, count=count).encode())
        zipper.session.deliver(KEY, b"", HEADER.encode())  # of one that does not count
        zipper.session.deliver(KEY, b"", b"broken")
        assert sink.missed == sink.statistics().missed == 2
        assert sink.statistics().dropped == {"sink-slow": 7}


def test_more_frames_that_were_asked_for_than_the_queue_holds_wait_for_the_program() -> None:
    zipper = MemoryZipper.observing()
    headers = [
        replace(HEADER, sequence=number, flags=FLAG_KEPT, sender=7, count=number + 1).encode() for number in range(102)
    ]
    lost = [ResentFrame("cam", header, b"") for header in headers[1:101]]
    place = "nearfield/default/sent/17/line-1/cam/-/7"
    zipper.session.answers[place] = encode_resent(Resent(through=101, frames=lost))
    with Sink(zipper.connection, queue=16) as sink:
        for header in (headers[0], headers[101]):
            zipper.session.deliver(KEY, b"", header)
        received = set()
        while len(received) < 102 and (frame := sink.receive(10)) is not None:
            received.add(frame.sequence)
        assert received == set(range(102))
        counts = sink.statistics()
        assert (counts.arrived, counts.recovered, counts.missed, counts.dropped) == (102, 100, 0, {})


def test_program_that_takes_nothing_any_more_loses_the_oldest_of_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr("nearfield.sink.sink.ROOM_CHECK_S", 0.001)
    zipper = MemoryZipper.observing()
    headers = [
        replace(HEADER, sequence=number, flags=FLAG_KEPT, sender=7, count=number + 1).encode() for number in range(102)
    ]
    lost = [ResentFrame("cam", header, b"") for header in headers[1:101]]
    zipper.session.answers["nearfield/default/sent/17/line-1/cam/-/7"] = encode_resent(Resent(through=101, frames=lost))
    with Sink(zipper.connection, queue=16) as sink:
        for header in (headers[0], headers[101]):
            zipper.session.deliver(KEY, b"", header)
        eventually(lambda: sink.dropped == 86)
        counts = sink.statistics()
        assert (counts.arrived, counts.queued) == (102, 16)


def test_time_limit_counts_once_however_many_messages_are_left_out() -> None:
    zipper = MemoryZipper.observing()
    with Sink(zipper.connection) as sink:
        stop = threading.Event()

        def disturb() -> None:
            while not stop.wait(0.01):
                zipper.session.deliver(KEY, b"", b"broken")

        disturber = threading.Thread(target=disturb)
        disturber.start()
        try:
            assert sink.receive(0.2) is None
        finally:
            stop.set()
            disturber.join()


def test_asynchronous_sink_receives_iterates_and_closes() -> None:
    zipper = MemoryZipper.observing()

    async def read() -> list[bytes]:
        async with AsyncSink(zipper.connection, [0x11], dedupe=True) as sink:
            for number in (0, 0, 1, 2):
                zipper.session.deliver(KEY, b"%d" % number, replace(HEADER, sequence=number).encode())
            first = await sink.receive(5)
            assert first is not None
            payloads = [first.payload]
            async for frame in sink:
                payloads.append(frame.payload)
                if len(payloads) == 3:
                    await sink.close()
            assert sink.statistics().duplicates == 1
        return payloads

    assert asyncio.run(read()) == [b"0", b"1", b"2"]
    assert zipper.session.is_closed


def test_asynchronous_sink_that_was_not_entered_says_so() -> None:
    with pytest.raises(TransportError, match=r"^the sink is not open; use `async with`$"):
        AsyncSink(MemoryZipper.observing().connection).statistics()


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


# ---- rights


def test_sink_without_tags_receives_exactly_what_it_may() -> None:
    zipper = MemoryZipper.granting(Granted(observe=(17, 19)))
    with Sink(zipper.connection) as sink:
        for tag in (16, 17, 18):
            zipper.session.deliver(
                f"nearfield/default/frames/{tag}/line-1/cam/-", b"", replace(HEADER, tag=tag).encode()
            )
        frame = sink.receive(0)
        assert frame is not None
        assert frame.tag == 17
        assert sink.receive(0) is None
        assert sink.tags == ()


@pytest.mark.parametrize(
    ("observe", "tags", "text"),
    [
        ((17, 19), [17, 18], "`me` may not observe tag 0x12; expected 0x11, 0x13"),
        ((), [], "`me` may not observe anything"),
    ],
)
def test_sink_without_a_right_is_refused_and_ends_its_connection(
    observe: tuple[int, ...], tags: list[int], text: str
) -> None:
    zipper = MemoryZipper.granting(Granted(observe=observe))
    with pytest.raises(RefusedError) as caught:
        Sink(zipper.connection, tags)
    assert str(caught.value) == f"zipper `line-1`: {text}; see `rights` in its workflow"
    assert zipper.session.is_closed
