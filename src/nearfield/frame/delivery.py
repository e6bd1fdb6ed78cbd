"""The attachment of a dispatched frame: its header, and what the dispatcher adds."""

from __future__ import annotations

import functools
import struct

import msgspec

from nearfield.errors import RemoteProtocolError
from nearfield.frame.header import HEADER_BYTES, Header, decode_header
from nearfield.frame.names import is_name

# delivery number, epoch of the zipper, remaining time, delivery before; the origin's name follows.
_EXTRA = struct.Struct("<QQQQ")
_FIXED_BYTES = HEADER_BYTES + _EXTRA.size


class DeliveryHeader(msgspec.Struct, frozen=True, gc=False):
    """Attributes:
    header: of the frame, `sent_ns` moved on by the time that it spent at the zipper.
    number: identifies the delivery within the epoch; it only grows.
    epoch: incarnation of the zipper that sent it.
    remaining_us: microseconds until the frame is worthless, counted from here on by the receiver; 0: no limit.
    after: number of the delivery before it of the same source, where order matters: an instance that did not get that
        one ignores this one, which will come again behind it. 0: none, or order does not matter.
    origin: name of the source.
    """

    header: Header
    number: int
    epoch: int
    remaining_us: int
    after: int
    origin: str

    def encode(self) -> bytes:
        header = self.header
        return encode_delivery(
            header, header.sent_ns, self.number, self.epoch, self.remaining_us, self.after, self.origin
        )


def encode_delivery(
    header: Header, sent_ns: int, number: int, epoch: int, remaining_us: int, after: int, origin: str
) -> bytes:
    """The attachment of a delivery, with `sent_ns` in place of the header's own."""
    return header.encode(sent_ns) + _EXTRA.pack(number, epoch, remaining_us, after) + origin.encode()


def decode_delivery(data: bytes) -> DeliveryHeader:
    """Parse what a zipper sent.

    Raises:
        RemoteProtocolError: too short, a header that is none, or an origin that is no name.
    """
    if len(data) <= _FIXED_BYTES:
        raise RemoteProtocolError(f"delivery: got {len(data)} bytes, expected more than {_FIXED_BYTES}")
    number, epoch, remaining_us, after = _EXTRA.unpack_from(data, HEADER_BYTES)
    origin = _read_origin(data[_FIXED_BYTES:])
    return DeliveryHeader(decode_header(data[:HEADER_BYTES]), number, epoch, remaining_us, after, origin)


@functools.lru_cache(maxsize=4_096)
def _read_origin(data: bytes) -> str:
    origin = data.decode("utf-8", "replace")
    if not is_name(origin):
        raise RemoteProtocolError(f"delivery: origin {origin[:80]!r} is no name")
    return origin
