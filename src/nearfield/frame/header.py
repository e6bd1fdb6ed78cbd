"""The frame header: 64 bytes that travel beside every payload as the sample's attachment.

Layout (little-endian), version 1; `docs/protocol.md` is the public description and `tests/conformance` holds golden
vectors:

====== ==== ============== ==========================================================
offset size field          meaning
====== ==== ============== ==========================================================
0      2    magic          0x4E 0x46 (``NF``)
2      1    version        1
3      1    hops           functions the data has passed since its source; 0 at the source
4      4    tag            u32, equal to the tag in the key
8      8    stream         u64, chosen at random each time a source starts
16     8    sequence       u64, number of the frame within its stream
24     8    captured_ns    u64, when the data was captured: Unix epoch, the source's clock
32     8    sent_ns        u64, captured_ns plus the frame's age when it was sent: the source's clock
40     8    deadline_ns    u64, after this moment the frame is worthless: the source's clock; 0: no deadline
48     4    part           u32, number of this frame among those emitted for one input; 0 at the source
52     4    flags          u32, bit 0: emitted by a function; bit 1: addressed, the origin in the key is the
                           addressee; bits 2 and 3: priority, 0 normal, 1 high, 2 low; bit 4: kept, the sender
                           can be asked for it; bit 5: in order, it is of no use before earlier ones; other bits 0
56     4    sender         u32, chosen at random by the program that publishes frames; 0: it does not count them
60     4    count          u32, number of the frame among those with this tag that the sender published, from 1 on
====== ==== ============== ==========================================================
"""

from __future__ import annotations

import struct
from typing import Literal, get_args

import msgspec

from nearfield.errors import RemoteProtocolError

HEADER_VERSION = 1
HEADER_BYTES = 64
MAGIC = b"NF"
FLAG_EMITTED = 1
# The function chose the origin in the key: the source that is meant, not the one where the data began.
FLAG_ADDRESSED = 2
# Its sender keeps it for a while, and sends it again to a sink that asks.
FLAG_KEPT = 16
# The function keeps the order of each source, and so does a sink that waits for a frame it asked for.
FLAG_IN_ORDER = 32

Priority = Literal["normal", "high", "low"]
"""What a frame waits for on links that are full: only for those of the same priority or a higher one."""
# In the order of their numbers on the wire.
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
_PRIORITY_SHIFT = 2
_PRIORITY_MASK = 3 << _PRIORITY_SHIFT
_KNOWN_FLAGS = FLAG_EMITTED | FLAG_ADDRESSED | FLAG_KEPT | FLAG_IN_ORDER | _PRIORITY_MASK

_LAYOUT = struct.Struct("<2sBBIQQQQQIIII")
assert _LAYOUT.size == HEADER_BYTES
# Tag, flags, sender and count alone.
_COUNTED = struct.Struct("<4xI44xIII")
assert _COUNTED.size == HEADER_BYTES
_MAX_NS = 2**64 - 1
MAX_COUNT = 2**32 - 1


class Header(msgspec.Struct, frozen=True, gc=False):
    """What a frame says about itself, apart from its origin, which is part of the key.

    Attributes:
        tag: kind of data, 0 to 2**32 - 1.
        stream: incarnation of the source; (origin, stream, sequence) identifies an input frame for good.
        sequence: number within the stream; it only grows.
        captured_ns: nanoseconds since the Unix epoch, by the source's clock.
        sent_ns: when this very frame was sent, nanoseconds since the Unix epoch, on the time line of the source:
            whoever passes data on adds the time it took by a clock of its own, so that clocks are never compared.
        deadline_ns: nanoseconds since the Unix epoch by the source's clock, or 0 for none.
        hops: number of functions passed.
        part: number among the frames emitted for one input.
        flags: bit set, see `FLAG_EMITTED`, `FLAG_ADDRESSED`, `FLAG_KEPT`, `FLAG_IN_ORDER` and `flags_of`.
        sender: of the program that published it; 0: not said.
        count: number among the frames with this tag that the sender published; a receiver that finds one missing knows
            that it was lost on the way.
    """

    tag: int
    stream: int
    sequence: int
    captured_ns: int
    sent_ns: int
    deadline_ns: int = 0
    hops: int = 0
    part: int = 0
    flags: int = 0
    sender: int = 0
    count: int = 0

    @property
    def priority(self) -> Priority:
        return PRIORITIES[(self.flags & _PRIORITY_MASK) >> _PRIORITY_SHIFT]

    @property
    def is_emitted(self) -> bool:
        """Whether a function made it."""
        return bool(self.flags & FLAG_EMITTED)

    @property
    def is_addressed(self) -> bool:
        """Whether the origin in the key is the source that is meant, rather than the one where the data began."""
        return bool(self.flags & FLAG_ADDRESSED)

    def encode(self, sent_ns: int | None = None, count: int | None = None) -> bytes:
        """The 64 bytes. Raises struct.error when a field does not fit, which is a defect of the caller.

        Args:
            sent_ns, count: in place of the header's own.
        """
        return _LAYOUT.pack(
            MAGIC,
            HEADER_VERSION,
            self.hops,
            self.tag,
            self.stream,
            self.sequence,
            self.captured_ns,
            self.sent_ns if sent_ns is None else sent_ns,
            self.deadline_ns,
            self.part,
            self.flags,
            self.sender,
            self.count if count is None else count,
        )

    def emitted(
        self,
        tag: int,
        part: int,
        sent_ns: int,
        *,
        flags: int = 0,
        sender: int = 0,
    ) -> Header:
        """The header of a frame that a function emits while it handles the frame with this header.

        Stream, sequence, capture time and deadline follow the data; `hops` grows by one.

        Args:
            flags: further ones; of this header's own, only `FLAG_ADDRESSED` goes on.
            sender: the instance that emits.
        """
        return Header(
            tag=tag,
            stream=self.stream,
            sequence=self.sequence,
            captured_ns=self.captured_ns,
            sent_ns=sent_ns,
            deadline_ns=self.deadline_ns,
            hops=self.hops + 1,
            part=part,
            flags=(self.flags & FLAG_ADDRESSED) | FLAG_EMITTED | flags,
            sender=sender,
        )


def flags_of(priority: Priority) -> int:
    """The bits of `flags` that say the priority."""
    return PRIORITIES.index(priority) << _PRIORITY_SHIFT


def later(moment_ns: int, by_ns: int) -> int:
    """A moment of the source's time line, moved on; the last one that a header can hold, if it would be after that."""
    return min(moment_ns + by_ns, _MAX_NS)


def decode_header(data: bytes) -> Header:
    """Parse the bytes of a peer.

    Raises:
        RemoteProtocolError: wrong size, magic or version, or a reserved bit is set.
    """
    if len(data) != HEADER_BYTES:
        raise RemoteProtocolError(f"header: got {len(data)} bytes, expected {HEADER_BYTES}")
    magic, version, hops, tag, stream, sequence, captured, sent, deadline, part, flags, sender, count = _LAYOUT.unpack(
        data
    )
    if magic != MAGIC:
        raise RemoteProtocolError(f"header: got magic {magic!r}, expected {MAGIC!r}")
    if version != HEADER_VERSION:
        raise RemoteProtocolError(f"header: got version {version}, expected {HEADER_VERSION}; update the older side")
    if flags & ~_KNOWN_FLAGS or flags & _PRIORITY_MASK == _PRIORITY_MASK:
        raise RemoteProtocolError(f"header: reserved bits are set (flags {flags:#x})")
    return Header(
        tag=tag,
        stream=stream,
        sequence=sequence,
        captured_ns=captured,
        sent_ns=sent,
        deadline_ns=deadline,
        hops=hops,
        part=part,
        flags=flags,
        sender=sender,
        count=count,
    )


Counted = tuple[int, int, int, int]
"""Tag, flags, sender and count of a header; zeros when it is none."""

_NOT_COUNTED = (0, 0, 0, 0)


def counted(data: bytes) -> Counted:
    """Read from an encoded header, without a look at the rest of it."""
    return _COUNTED.unpack(data) if len(data) == HEADER_BYTES else _NOT_COUNTED
