"""Bundles: several small messages with one key that travel as one. Building and taking apart, no I/O.

Sending one message costs more than a hundred small ones hold. The payload of a bundle is that of its messages, one
after the other; its attachment says where each ends, and holds their attachments (little-endian):

====== ==== ============ ============================================================
offset size field        meaning
====== ==== ============ ============================================================
0      2    magic        0x4E 0x42 (``NB``)
2      1    version      1
3      1    reserved     0
4      4    count        u32, messages, 1 to 1,024
8      4·n  payloads     u32 each: bytes of the message's payload
8+4·n  4·n  attachments  u32 each: bytes of the message's attachment
8+8·n       attachments  one after the other
====== ==== ============ ============================================================
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeVar

from nearfield.errors import RemoteProtocolError
from nearfield.frame import keys

MAGIC = b"NB"
BUNDLE_VERSION = 1
MAX_MESSAGES = 1_024
# Larger payloads travel alone: there, what a message costs beside its bytes does not matter.
MAX_MEMBER_BYTES = 4_096
# A bundle should fit into one batch of the transport (64 KiB).
MAX_BUNDLE_BYTES = 48 * 1_024

_HEAD = struct.Struct("<2sBBI")

PayloadType = TypeVar("PayloadType", bound=Sized)
MessageType = TypeVar("MessageType")


def in_bundles(messages: Sequence[tuple[PayloadType, bytes]]) -> Iterator[Sequence[tuple[PayloadType, bytes]]]:
    """Part messages, (payload, attachment) each, into those that should travel together. Keeps their order."""
    begin = size = 0
    for position, (payload, attachment) in enumerate(messages):
        own = len(payload) + len(attachment)
        is_large = len(payload) > MAX_MEMBER_BYTES
        if position > begin and (is_large or size + own > MAX_BUNDLE_BYTES or position - begin == MAX_MESSAGES):
            yield messages[begin:position]
            begin, size = position, 0
        if is_large:
            yield messages[position : position + 1]
            begin = position + 1
        else:
            size += own
    if begin < len(messages):
        yield messages[begin:]


def by_key(messages: Iterable[tuple[str, MessageType]], *, in_order: bool) -> list[tuple[str, list[MessageType]]]:
    """Gather messages, each with its frame key, that may travel together. Keeps the order under each key.

    Args:
        in_order: keeps the order of frames of one origin under different keys too: only neighbours travel together.
    """
    gathered: list[tuple[str, list[MessageType]]] = []
    latest: dict[str, tuple[str, list[MessageType]]] = {}
    for key, message in messages:
        line = keys.origin_in(key) if in_order else key
        run = latest.get(line)
        if run is None or run[0] != key:
            run = latest[line] = (key, [])
            gathered.append(run)
        run[1].append(message)
    return gathered


def encode_bundle(payloads: Sequence[bytes], attachments: Sequence[bytes]) -> tuple[bytes, bytes]:
    """(payload, attachment) of the bundle of 1 to `MAX_MESSAGES` messages, given theirs."""
    sizes = struct.pack(f"<{2 * len(payloads)}I", *map(len, payloads), *map(len, attachments))
    head = _HEAD.pack(MAGIC, BUNDLE_VERSION, 0, len(payloads))
    return b"".join(payloads), b"".join((head, sizes, *attachments))


def is_bundle(attachment: bytes) -> bool:
    """Whether a message is a bundle, or means to be one."""
    return attachment.startswith(MAGIC)


def decode_bundle(payload: bytes, attachment: bytes) -> list[tuple[bytes, bytes]]:
    """(payload, attachment) of each message of a peer's bundle.

    Raises:
        RemoteProtocolError: it is none, or its sizes do not add up.
    """
    if len(attachment) < _HEAD.size:
        raise RemoteProtocolError(f"bundle: got {len(attachment)} bytes, expected {_HEAD.size} at least")
    magic, version, reserved, count = _HEAD.unpack_from(attachment)
    if magic != MAGIC or version != BUNDLE_VERSION or reserved:
        raise RemoteProtocolError(f"bundle: got {attachment[:4]!r}, expected version {BUNDLE_VERSION}")
    begin = _HEAD.size + 8 * count
    if not 1 <= count <= MAX_MESSAGES or len(attachment) < begin:
        raise RemoteProtocolError(f"bundle: got {count} messages in {len(attachment)} bytes of attachment")
    sizes = struct.unpack_from(f"<{2 * count}I", attachment, _HEAD.size)
    if sum(sizes[:count]) != len(payload) or sum(sizes[count:]) != len(attachment) - begin:
        raise RemoteProtocolError(f"bundle: the sizes of its {count} messages do not add up to its own")
    return list(zip(_parts(payload, 0, sizes[:count]), _parts(attachment, begin, sizes[count:]), strict=True))


def _parts(data: bytes, begin: int, sizes: Iterable[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[begin : begin + size]
        begin += size
