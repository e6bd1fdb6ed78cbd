"""From a message as it arrived to a frame."""

from __future__ import annotations

from typing import Protocol

from nearfield.errors import RemoteProtocolError
from nearfield.frame.frame import Frame
from nearfield.frame.header import Header, decode_header
from nearfield.frame.keys import FrameKey, parse_frame_key


class Copyable(Protocol):
    """A payload that has not been copied yet."""

    def to_bytes(self) -> bytes: ...


def read_envelope(key: str, attachment: bytes) -> tuple[FrameKey, Header]:
    """What key and attachment of a message say.

    Raises:
        RemoteProtocolError: no frame's key, no header, or the two name different tags or senders.
    """
    frame_key = parse_frame_key(key)
    return frame_key, read_header(frame_key, attachment)


def read_header(frame_key: FrameKey, attachment: bytes) -> Header:
    """What the attachment of a message with this key says.

    Raises:
        RemoteProtocolError: no header, or one of another tag or sender.
    """
    header = decode_header(attachment)
    if header.tag != frame_key.tag:
        raise RemoteProtocolError(f"header: got tag {header.tag}, expected {frame_key.tag} as in the key")
    if header.is_emitted != frame_key.is_emitted:
        raise RemoteProtocolError(f"header: got flags {header.flags:#x}, expected those of a frame by `{frame_key.by}`")
    return header


def read_frame(key: str, payload: Copyable, attachment: bytes) -> Frame:
    """A received message as a frame.

    Raises:
        RemoteProtocolError: see `read_envelope`.
    """
    frame_key, header = read_envelope(key, attachment)
    return Frame(frame_key.origin, frame_key.zipper, header, payload.to_bytes())
