"""Coverage-guided: whatever comes over the network is taken, or refused with the one error that says why.

Half of the inputs are bytes for a parser; the other half are messages, some of them damaged, for a zipper's decisions,
whose ledger must add up afterwards whatever they said.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["nearfield.frame", "nearfield.zipper", "nearfield.transport.address"]):
    import nearfield.zipper.dispatcher
    import nearfield.zipper.neighbours  # noqa: F401

import msgspec

from nearfield.errors import RemoteProtocolError, UsageError
from nearfield.frame import Header, decode_header, is_name, keys
from nearfield.frame.bundle import decode_bundle, encode_bundle
from nearfield.frame.control import (
    Ack,
    Capacity,
    Done,
    GroupOffer,
    Hello,
    JoinReply,
    JoinRequest,
    LeaveReply,
    Report,
    SentSoFar,
    Wanted,
    decode,
    encode,
)
from nearfield.frame.delivery import DeliveryHeader, decode_delivery
from nearfield.frame.header import counted
from nearfield.frame.received import read_envelope
from nearfield.frame.resent import Resent, ResentFrame, decode_resent, encode_resent
from nearfield.transport.address import parse_address
from nearfield.zipper import Dispatcher, GroupPolicy
from nearfield.zipper.item import Ticket

EPOCH, NOW_NS = 7, 10**12
TAG = 0x10
POLICIES = [
    GroupPolicy("show", frozenset({TAG}), queue=3, max_age_ns=10**9),
    GroupPolicy("audit", frozenset({TAG}), mode="complete", queue=3, order="source", dead_letter=0x99),
    GroupPolicy("free", frozenset()),
]
KINDS = (Ack, Capacity, Hello, JoinReply, JoinRequest, LeaveReply, Report, SentSoFar, Wanted)
HEADER = Header(TAG, 1, 0, 0, 0)
MESSAGES = [
    encode(message)
    for message in (
        JoinRequest(protocol=1, function="show", instance="show/i", observe=[TAG], most_credits=9),
        JoinRequest(protocol=1, function="audit", instance="audit/i", observe=[], pid=9),
        JoinRequest(protocol=1, function="free", instance="free/i", observe=[0x20]),
        Report(instance="show/i", epoch=EPOCH, received=1, holding=[1], done=[Done(1, "completed", "", 5)]),
        Report(instance="audit/i", epoch=EPOCH, received=2, holding=[], done=[Done(2, "failed", "why", 5)], busy_ms=9),
        Capacity(protocol=1, zipper="b", epoch=3, stamp_ns=1, groups={"show": GroupOffer(free=2, observe=[TAG])}),
        Capacity(protocol=1, zipper="b", epoch=3, stamp_ns=2, groups={"far": GroupOffer(free=2, observe=[0x30])}),
        Report(instance="b", epoch=EPOCH, received=2, holding=[], done=[Done(3, "dropped", "returned", 5)]),
    )
]


def one_input(data: bytes) -> None:
    source = atheris.FuzzedDataProvider(data)
    if source.ConsumeBool():
        parse(source.ConsumeIntInRange(0, 8), source.ConsumeBytes(sys.maxsize))
    else:
        decide(source)


def parse(kind: int, data: bytes) -> None:
    """One of the parsers. What it takes, it gives back when it is written again."""
    try:
        match kind:
            case 0:
                assert decode_header(data).encode() == data
            case 1:
                assert str(keys.parse_frame_key(data.decode("utf-8", "replace"))) == data.decode()
            case 2:
                size, attachment = int.from_bytes(data[:2]), data[2:]
                parts = decode_bundle(bytes(size), attachment)
                payload, again = encode_bundle([part for part, _ in parts], [own for _, own in parts])
                assert (payload, again) == (bytes(size), attachment)
            case 3:
                assert decode_delivery(data).encode() == data
            case 4:
                for message in KINDS:
                    decoded = _decoded(message, data)
                    assert decoded is None or decode(message, encode(decoded)) == decoded
            case 5:
                _, _, key, attachment = ("", *data.partition(b"\0"))
                counted(attachment)
                read_envelope(key.decode("utf-8", "replace"), attachment)
            case 7:
                sent_key = keys.parse_sent_key(data.decode("utf-8", "replace"))
                assert str(sent_key) == data.decode()
                assert keys.sent_key_of(sent_key.frame_key("cam"), sent_key.sender) == sent_key
            case 8:
                resent = decode_resent(data)
                assert decode_resent(encode_resent(resent)) == resent
            case _:
                text = data.decode("utf-8", "replace")
                keys.qualified_in(text)
                assert all(map(is_name, text.rsplit("/", 2)[-2:]))
                parse_address(text)
    except RemoteProtocolError as refused:
        assert str(refused)
    except UsageError:
        assert kind == 6


def decide(source: atheris.FuzzedDataProvider) -> None:
    """Events in any order at a zipper."""
    dispatcher: Dispatcher[bytes] = Dispatcher(POLICIES, EPOCH, name="a", queue_bytes=64)
    now_ns = NOW_NS
    for _ in range(source.ConsumeIntInRange(1, 24)):
        now_ns += source.ConsumeIntInRange(0, 3) * 700_000_000
        _event(dispatcher, source, now_ns)
        dispatcher.take_deliveries(), dispatcher.take_burials(), dispatcher.take_stuck()
        for _, ack in dispatcher.take_acks(now_ns):
            encode(ack)
    for group in dispatcher.snapshot()["groups"].values():
        settled = group["completed"] + sum(group["failed"].values()) + sum(group["dropped"].values())
        assert group["received"] == settled + group["queued"] + group["in_flight"], group
    encode({**dispatcher.snapshot(), "peers": dispatcher.neighbours.snapshot(now_ns)})
    encode(dispatcher.neighbours.capacity(now_ns))
    for _, report in dispatcher.neighbours.peers.take_reports(full=True):
        encode(report)


def _event(dispatcher: Dispatcher[bytes], source: atheris.FuzzedDataProvider, now_ns: int) -> None:
    kind = source.ConsumeIntInRange(0, 6)
    if kind == 0:
        header = msgspec.structs.replace(
            HEADER, sequence=source.ConsumeIntInRange(0, 9), hops=source.ConsumeIntInRange(0, 1), tag=_tag(source)
        )
        dispatcher.offer("cam", header, bytes(source.ConsumeIntInRange(0, 40)), now_ns)
        return
    if kind == 1:
        dispatcher.tick(now_ns)
        dispatcher.neighbours.tick(now_ns)
        return
    if kind == 2:
        number = source.ConsumeIntInRange(0, 2**64 - 1)
        delivery = DeliveryHeader(HEADER, number, 3, source.ConsumeIntInRange(0, 2**64 - 1), 0, "cam").encode()
        read = _delivery(delivery[: source.ConsumeIntInRange(0, len(delivery))] or delivery)
        if read is not None:
            ticket = Ticket("b", read.epoch, read.number)
            dispatcher.neighbours.take_over(
                source.PickValueInList(["show", "audit", "far"]), ticket, read.origin, read.header, b"x",
                remaining_us=read.remaining_us, after=read.after, now_ns=now_ns,
            )  # fmt: skip
        return
    message = _message(source)
    if (request := _decoded(JoinRequest, message)) is not None and kind == 3:
        dispatcher.join(request, now_ns)
    elif (report := _decoded(Report, message)) is not None:
        (dispatcher.report if kind < 5 else dispatcher.retire)(report, now_ns)
        dispatcher.neighbours.report(report, now_ns)
    elif (capacity := _decoded(Capacity, message)) is not None:
        dispatcher.neighbours.hear(capacity, now_ns)


def _message(source: atheris.FuzzedDataProvider) -> bytes:
    """One of ours, with a stretch of it replaced; or anything."""
    if source.ConsumeIntInRange(0, 7) == 0:
        return bytes(source.ConsumeBytes(100))
    message = source.PickValueInList(MESSAGES)
    begin = source.ConsumeIntInRange(0, len(message))
    end = min(len(message), begin + source.ConsumeIntInRange(0, 8))
    return bytes(message[:begin] + source.ConsumeBytes(source.ConsumeIntInRange(0, 12)) + message[end:])


def _tag(source: atheris.FuzzedDataProvider) -> int:
    return int(source.PickValueInList([TAG, 0x20, 0x30]))


def _decoded(kind: type, data: bytes) -> object:
    try:
        return decode(kind, data)
    except RemoteProtocolError:
        return None


def _delivery(data: bytes) -> DeliveryHeader | None:
    try:
        return decode_delivery(data)
    except RemoteProtocolError:
        return None


def write_seeds(folder: Path) -> None:
    """Real messages to begin with. A provider takes bytes from the front, and numbers from the end."""
    payloads, attachments = encode_bundle([b"one", b""], [HEADER.encode()] * 2)
    key = keys.frame("default", TAG, "a", "cam")
    seeds = [
        (0, HEADER.encode()),
        (1, key.encode()),
        (1, keys.frame("default", 2**32 - 1, "a", "cam", "show").encode()),
        (2, len(payloads).to_bytes(2) + attachments),
        (3, DeliveryHeader(HEADER, 1, EPOCH, 0, 0, "cam").encode()),
        *((4, message) for message in (*MESSAGES, encode(Ack(stream=1, epoch=EPOCH, released=[(0, 3)])))),
        (4, encode(Hello(protocol=1, zipper="a", epoch=EPOCH, observed=[TAG]))),
        (4, encode(SentSoFar(count=3))),
        (4, encode(Wanted(counts=[(1, 2), (4, 4)], max_age_ms=5))),
        (5, key.encode() + b"\0" + HEADER.encode()),
        (6, b"show/i"),
        (6, b"quic/site-b.example:9900"),
        (7, str(keys.SentKey("default", TAG, "a", "cam", keys.SOURCE, 7)).encode()),
        (7, str(keys.SentKey("default", TAG, "a", keys.SOURCE, "show", 7)).encode()),
        (8, encode_resent(Resent(through=3, frames=[ResentFrame("cam", HEADER.encode(), b"one")]))),
    ]
    for number, (kind, data) in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(data + bytes([kind, 1]))


if __name__ == "__main__":
    if len(sys.argv) > 1 and Path(sys.argv[1]).is_dir():
        write_seeds(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
