"""Bundles: what goes in comes out, in order; any bytes give messages or the one named error."""

from __future__ import annotations

import contextlib
import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.errors import RemoteProtocolError
from nearfield.frame import keys
from nearfield.frame.bundle import (
    MAX_BUNDLE_BYTES,
    MAX_MEMBER_BYTES,
    MAX_MESSAGES,
    by_key,
    decode_bundle,
    encode_bundle,
    in_bundles,
    is_bundle,
)

MESSAGES = st.lists(st.tuples(st.binary(max_size=80), st.binary(max_size=80)), min_size=1, max_size=20)
SIZES = st.one_of(
    st.integers(0, 100),
    st.sampled_from([MAX_MEMBER_BYTES - 1, MAX_MEMBER_BYTES, MAX_MEMBER_BYTES + 1, MAX_BUNDLE_BYTES + 1]),
)


@given(MESSAGES)
def test_messages_come_out_as_they_went_in(messages: list[tuple[bytes, bytes]]) -> None:
    payload, attachment = encode_bundle([each for each, _ in messages], [each for _, each in messages])
    assert is_bundle(attachment)
    assert decode_bundle(payload, attachment) == messages


@given(
    payload=st.binary(max_size=200), attachment=st.one_of(st.binary(max_size=200), st.binary().map(b"NB\1\0".__add__))
)
def test_any_bytes_give_messages_or_the_one_error(payload: bytes, attachment: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        messages = decode_bundle(payload, attachment)
        assert encode_bundle([each for each, _ in messages], [each for _, each in messages]) == (payload, attachment)


@given(messages=MESSAGES, data=st.data())
def test_one_changed_byte_of_magic_version_or_sizes_is_refused(
    messages: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    payload, attachment = encode_bundle([each for each, _ in messages], [each for _, each in messages])
    position = data.draw(st.one_of(st.integers(0, 3), st.integers(8, 8 + 8 * len(messages) - 1)))
    changed = bytearray(attachment)
    changed[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RemoteProtocolError, match=r"^bundle: "):
        decode_bundle(payload, bytes(changed))


@given(st.lists(st.tuples(SIZES, st.integers(0, 100)), max_size=60))
def test_parts_keep_the_order_and_the_limits_and_large_messages_travel_alone(sizes: list[tuple[int, int]]) -> None:
    messages = [(bytes(payload), bytes(attachment)) for payload, attachment in sizes]
    parts = [list(part) for part in in_bundles(messages)]
    assert [message for part in parts for message in part] == messages
    assert all(parts)
    for part in parts:
        if len(part) > 1:
            assert all(len(payload) <= MAX_MEMBER_BYTES for payload, _ in part)
            assert sum(len(payload) + len(attachment) for payload, attachment in part) <= MAX_BUNDLE_BYTES
    for part, following in itertools.pairwise(parts):
        together = sum(len(payload) + len(attachment) for payload, attachment in [*part, following[0]])
        is_large = any(len(payload) > MAX_MEMBER_BYTES for payload, _ in [*part, following[0]])
        assert is_large or together > MAX_BUNDLE_BYTES, "parted without need"


def test_parts_hold_so_many_messages_at_most() -> None:
    messages = [(b"", b"")] * (2 * MAX_MESSAGES + 1)
    parts = [list(part) for part in in_bundles(messages)]
    assert [len(part) for part in parts] == [MAX_MESSAGES, MAX_MESSAGES, 1]
    for part in parts:
        assert decode_bundle(*encode_bundle([b""] * len(part), [b""] * len(part))) == part


@pytest.mark.parametrize(
    ("attachment", "message"),
    [
        (b"", "got 0 bytes, expected 8 at least"),
        (b"NB\1\0\1\0\0", "got 7 bytes, expected 8 at least"),
        (b"NF\1\0\1\0\0\0" + bytes(8), r"got b'NF\\x01\\x00', expected version 1"),
        (b"NB\2\0\1\0\0\0" + bytes(8), r"got b'NB\\x02\\x00', expected version 1"),
        (b"NB\1\1\1\0\0\0" + bytes(8), r"got b'NB\\x01\\x01', expected version 1"),
        (b"NB\1\0\0\0\0\0", "got 0 messages"),
        (struct.pack("<2sBBI", b"NB", 1, 0, MAX_MESSAGES + 1) + bytes(8 * (MAX_MESSAGES + 1)), "got 1025 messages"),
        (b"NB\1\0\xff\xff\xff\xff" + bytes(8), "got 4294967295 messages in 16 bytes of attachment"),
        (b"NB\1\0\1\0\0\0" + bytes(7), "got 1 messages in 15 bytes of attachment"),
        (struct.pack("<2sBBIII", b"NB", 1, 0, 1, 4, 0), "the sizes of its 1 messages do not add up"),
        (struct.pack("<2sBBIII", b"NB", 1, 0, 1, 2, 0), "do not add up"),
        (struct.pack("<2sBBIII", b"NB", 1, 0, 1, 3, 1), "do not add up"),
        (struct.pack("<2sBBIII", b"NB", 1, 0, 1, 3, 0) + b"x", "do not add up"),
        (struct.pack("<2sBBIIIII", b"NB", 1, 0, 2, 4, 2**32 - 1, 0, 0), "do not add up"),
    ],
)
def test_bundle_that_is_none_is_refused_by_name(attachment: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^bundle: .*{message}"):
        decode_bundle(b"abc", attachment)


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["cam-1", "cam-2"])), max_size=30), st.booleans())
def test_gathering_by_key_keeps_each_message_and_the_order_that_is_asked_for(
    frames: list[tuple[int, str]], in_order: bool
) -> None:
    messages = [(keys.frame("default", tag, "z", origin), number) for number, (tag, origin) in enumerate(frames)]
    gathered = by_key(messages, in_order=in_order)
    came = [(key, number) for key, together in gathered for number in together]
    assert sorted(came) == sorted(messages)
    for key in {key for key, _ in messages}:
        assert [each for each in came if each[0] == key] == [each for each in messages if each[0] == key]
        runs = sum(each == key for each, _ in gathered)
        neighbours = [each for each, _ in messages if keys.origin_in(each) == keys.origin_in(key)]
        assert runs == (sum(each == key for each, _ in itertools.groupby(neighbours)) if in_order else 1)
    if in_order:
        for origin in ("cam-1", "cam-2"):
            of_origin = [number for key, number in came if keys.origin_in(key) == origin]
            assert of_origin == sorted(of_origin)
