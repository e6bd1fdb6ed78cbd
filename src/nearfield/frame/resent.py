"""A sender's answer to a sink that missed some of its frames: MessagePack, since payloads are bytes.

Unknown fields are ignored, so that a newer side may say more. `docs/protocol.md` is the public description.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from nearfield.errors import RemoteProtocolError
from nearfield.frame.header import MAX_COUNT
from nearfield.frame.names import MAX_NAME_LENGTH


class ResentFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One frame as it was published.

    Attributes:
        origin: of the frame, as in its key.
        header: the 64 bytes.
        payload: its bytes.
    """

    origin: Annotated[str, Meta(max_length=MAX_NAME_LENGTH)]
    header: bytes
    payload: bytes


class Resent(msgspec.Struct, frozen=True, kw_only=True):
    """Of the frames that were asked for, those that fit into one answer.

    Attributes:
        through: the answer is final up to this count: what was asked for, is no greater and is not among `frames`, the
            sender does not have.
        frames: in ascending order of their counts.
    """

    through: Annotated[int, Meta(ge=0, le=MAX_COUNT)]
    frames: list[ResentFrame]


_decode = msgspec.msgpack.Decoder(Resent).decode
encode_resent = msgspec.msgpack.Encoder().encode


def decode_resent(data: bytes) -> Resent:
    """Parse a sender's answer.

    Raises:
        RemoteProtocolError: no MessagePack, fields missing, of a wrong type or out of bounds.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteProtocolError(f"resent message: {error}") from error
