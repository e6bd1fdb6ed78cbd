"""The attachment of a dispatched frame: its header, and what the dispatcher adds."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from nearfield.errors import RemoteProtocolError
from nearfield.frame.header import HEADER_BYTES, Header, decode_header
from nearfield.frame.names import is_name

# delivery number, epoch of the zipper; the origin's name follows.
_EXTRA = struct.Struct("<QQ")
_FIXED_BYTES = HEADER_BYTES + _EXTRA.size


@dataclass(frozen=True, slots=True)
class DeliveryHeader:
    """Attributes:
    header: of the frame.
    number: identifies the delivery within the epoch; it only grows.
    epoch: incarnation of the zipper that sent it.
    origin: name of the source.
    """

    header: Header
    number: int
    epoch: int
    origin: str

    def encode(self) -> bytes:
        return self.header.encode() + _EXTRA.pack(self.number, self.epoch) + self.origin.encode()


def decode_delivery(data: bytes) -> DeliveryHeader:
    """Parse what a zipper sent.

    Raises:
        RemoteProtocolError: too short, a header that is none, or an origin that is no name.
    """
    if len(data) <= _FIXED_BYTES:
        raise RemoteProtocolError(f"delivery: got {len(data)} bytes, expected more than {_FIXED_BYTES}")
    number, epoch = _EXTRA.unpack_from(data, HEADER_BYTES)
    origin = data[_FIXED_BYTES:].decode("utf-8", "replace")
    if not is_name(origin):
        raise RemoteProtocolError(f"delivery: origin {origin[:80]!r} is no name")
    return DeliveryHeader(decode_header(data[:HEADER_BYTES]), number, epoch, origin)
