"""Dead letters: frames that a function could not handle, published under a tag of their own.

The payload is one line of JSON, a line feed, and the payload of the frame as it was.
"""

from __future__ import annotations

import zlib

import msgspec

from nearfield.errors import RemoteProtocolError
from nearfield.frame.header import Header


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Why a frame was given up.

    Attributes:
        function: that could not handle it.
        reason: as in the ledger: "handler", "timeout", "instance-lost".
        attempts: how many instances had it at hand.
        tag, origin, sequence, captured_ns: of the frame.
    """

    function: str
    reason: str
    attempts: int
    tag: int
    origin: str
    sequence: int
    captured_ns: int


def dead_letter_of(header: Header, origin: str, *, function: str, reason: str, attempts: int) -> DeadLetter:
    """The letter for the frame with this header."""
    return DeadLetter(
        function=function,
        reason=reason,
        attempts=attempts,
        tag=header.tag,
        origin=origin,
        sequence=header.sequence,
        captured_ns=header.captured_ns,
    )


def dead_letter_header(header: Header, tag: int, function: str, sent_ns: int) -> Header:
    """The header of the dead letter about the frame with this header.

    Its part number is the same whenever the same function gives the same frame up, and differs from that of others.
    """
    part = zlib.crc32(f"{function}/{header.tag}/{header.part}".encode())
    return header.emitted(tag, part, sent_ns)


def write_dead_letter(letter: DeadLetter, payload: bytes) -> bytes:
    """The payload of a dead letter."""
    return msgspec.json.encode(letter) + b"\n" + payload


def read_dead_letter(data: bytes) -> tuple[DeadLetter, bytes]:
    """Take the payload of a dead letter apart: why, and the payload of the frame.

    Raises:
        RemoteProtocolError: it is none.
    """
    line, separator, payload = data.partition(b"\n")
    try:
        letter = msgspec.json.decode(line, type=DeadLetter)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"dead letter: {error}") from error
    if not separator:
        raise RemoteProtocolError("dead letter: got one line only, expected the frame's payload behind it")
    return letter, payload
