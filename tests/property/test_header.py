"""Headers and deliveries: what is written is read back; any bytes give one of them or the one named error."""

from __future__ import annotations

import contextlib

from hypothesis import example, given
from hypothesis import strategies as st

from nearfield.errors import RemoteProtocolError
from nearfield.frame import (
    FLAG_ADDRESSED,
    FLAG_EMITTED,
    FLAG_IN_ORDER,
    FLAG_KEPT,
    HEADER_BYTES,
    PRIORITIES,
    Header,
    decode_header,
    flags_of,
)
from nearfield.frame.delivery import DeliveryHeader, decode_delivery

U8, U32, U64 = (st.integers(0, 2**bits - 1) for bits in (8, 32, 64))
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}", fullmatch=True)
HEADERS = st.builds(
    Header,
    tag=U32,
    stream=U64,
    sequence=U64,
    captured_ns=U64,
    sent_ns=U64,
    deadline_ns=U64,
    hops=U8,
    part=U32,
    flags=st.builds(
        lambda priority, *others: flags_of(priority) | sum(others),
        st.sampled_from(PRIORITIES),
        *(st.sampled_from([0, flag]) for flag in (FLAG_EMITTED, FLAG_ADDRESSED, FLAG_KEPT, FLAG_IN_ORDER)),
    ),
    sender=U32,
    count=U32,
)
DELIVERIES = st.builds(DeliveryHeader, HEADERS, U64, U64, U64, U64, NAMES)
PREFIXES = st.sampled_from([b"", b"NF", b"NF\x01", b"NF\x01\x00"])
# Any bytes, and bytes that look right for a while.
BYTES = st.binary(max_size=200) | st.builds(lambda start, rest: start + rest, PREFIXES, st.binary(max_size=150))


@given(HEADERS)
def test_header_is_read_back_as_it_was_written(header: Header) -> None:
    data = header.encode()
    assert len(data) == HEADER_BYTES
    assert decode_header(data) == header


@given(BYTES)
@example(b"NF\x01" + bytes(61))
def test_any_bytes_are_a_header_or_refused_by_name(data: bytes) -> None:
    try:
        header = decode_header(data)
    except RemoteProtocolError as error:
        assert str(error).startswith("header: ")
    else:
        assert header.encode() == data


@given(HEADERS, st.integers(0, HEADER_BYTES * 8 - 1))
def test_one_flipped_bit_changes_the_header_or_is_refused(header: Header, bit: int) -> None:
    data = bytearray(header.encode())
    data[bit // 8] ^= 1 << bit % 8
    with contextlib.suppress(RemoteProtocolError):
        assert decode_header(bytes(data)) != header


@given(DELIVERIES)
def test_delivery_is_read_back_as_it_was_written(delivery: DeliveryHeader) -> None:
    assert decode_delivery(delivery.encode()) == delivery


@given(st.binary(max_size=200) | st.builds(lambda one, rest: one.encode()[:96] + rest, DELIVERIES, st.binary()))
def test_any_bytes_are_a_delivery_or_refused_by_name(data: bytes) -> None:
    try:
        delivery = decode_delivery(data)
    except RemoteProtocolError as error:
        assert str(error).startswith(("delivery: ", "header: "))
    else:
        assert delivery.encode() == data


@given(HEADERS.filter(lambda header: header.hops < 255), U32, U32, U64, st.sampled_from([0, FLAG_KEPT, FLAG_IN_ORDER]))
def test_emitted_header_follows_the_data(header: Header, tag: int, part: int, sent_ns: int, flags: int) -> None:
    emitted = header.emitted(tag, part, sent_ns, flags=flags)
    assert (emitted.tag, emitted.part, emitted.sent_ns) == (tag, part, sent_ns)
    assert (emitted.stream, emitted.sequence) == (header.stream, header.sequence)
    assert (emitted.captured_ns, emitted.deadline_ns) == (header.captured_ns, header.deadline_ns)
    assert (emitted.hops, emitted.flags) == (
        header.hops + 1,
        header.flags & FLAG_ADDRESSED | FLAG_EMITTED | flags,
    )
    assert decode_header(emitted.encode()) == emitted
