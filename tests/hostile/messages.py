"""Messages as any client of Zenoh with a certificate can send them, past our own classes."""

from __future__ import annotations

from typing import Any

import msgspec

from nearfield.frame import Header, keys
from nearfield.transport import Lane, Session

NODE = "node"
# A question waits behind the thousands of frames that came before it.
PATIENCE_S = 30.0


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


def ledger_behind(session: Session) -> dict[str, Any]:
    """The zipper's ledger, once it has looked at all that came before the question."""
    answer = session.ask(keys.ledger("default", NODE), timeout_s=PATIENCE_S)
    assert answer is not None, "the zipper gives no ledger"
    ledger: dict[str, Any] = msgspec.json.decode(answer)
    return ledger
