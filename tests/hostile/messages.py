"""Messages as any client of Zenoh with a certificate can send them, past our own classes."""

from __future__ import annotations

from nearfield.frame import Header, keys
from nearfield.transport import Lane, Session

NODE = "node"


def send_frame(
    session: Session,
    tag: int,
    origin: str,
    sequence: int,
    payload: bytes = b"x",
    *,
    stream: int = 1,
    lane: Lane = Lane.FRAMES,
) -> None:
    """One frame, without waiting for an acknowledgement."""
    header = Header(tag, stream, sequence, 0, 0)
    session.publish(keys.frame("default", tag, NODE, origin), payload, attachment=header.encode(), lane=lane)
