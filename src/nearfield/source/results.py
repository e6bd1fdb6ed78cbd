"""Backflow: what functions made of a source's frames, and what they address to it."""

from __future__ import annotations

import logging

from nearfield.errors import RemoteProtocolError
from nearfield.frame import Frame, Header, keys
from nearfield.frame.received import read_envelope
from nearfield.queues import Mailbox, QueueClosed
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import Connection, Payload

_log = logging.getLogger(__name__)

RESULTS_QUEUE = 1_024


class Results:
    """Receives from the moment it is made until `close`. Of results that are not taken in time the oldest give way.

    Args:
        origin: name of the source.
        stream: its incarnation; results of earlier ones are left out.
    """

    def __init__(self, connection: Connection, origin: str, stream: int) -> None:
        self._stream = stream
        self._mailbox: Mailbox[tuple[keys.FrameKey, Header, Payload]] = Mailbox(RESULTS_QUEUE)
        self._warn = RepeatedWarning(_log)
        self._handle = connection.session.subscribe(keys.frames_of_origin(connection.namespace, origin), self._on_frame)

    @property
    def dropped(self) -> int:
        return self._mailbox.dropped

    def take(self, timeout_s: float | None) -> Frame | None:
        """The next one, waiting for it up to `timeout_s` (None: for ever). None: none in time, or closed."""
        try:
            entry = self._mailbox.take(timeout_s)
        except QueueClosed:
            return None
        if entry is None:
            return None
        key, header, payload = entry
        return Frame(key.origin, key.zipper, header, payload.to_bytes())

    def close(self) -> None:
        """Idempotent."""
        self._handle.close()
        self._mailbox.close()

    def _on_frame(self, key: str, payload: Payload, attachment: bytes) -> None:
        try:
            frame_key, header = read_envelope(key, attachment)
        except RemoteProtocolError as error:
            self._warn("malformed frame ignored: %s", error)
            return
        # The source's own frames come by here too, without having left this process.
        if header.is_emitted and (header.stream == self._stream or header.is_addressed):
            self._mailbox.put((frame_key, header, payload))
