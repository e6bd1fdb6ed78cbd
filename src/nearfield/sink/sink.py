"""Sinks: programs that receive frames."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from types import TracebackType
from typing import Self

from nearfield.clock import Clock, SystemClock
from nearfield.errors import RemoteProtocolError, UsageError
from nearfield.frame import Frame, decode_header, keys, parse_tag
from nearfield.queues import Mailbox, QueueClosed
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import DEFAULT_ZIPPER, Connection, Payload, as_connection

_log = logging.getLogger(__name__)

DEFAULT_QUEUE = 1_024


class Sink:
    """Receives the frames of some tags, from wherever in the mesh they enter.

    Iterate over it, or call `receive`. A program that is slower than its frames loses the oldest ones; `dropped`
    counts them. One consumer at a time.

    Args:
        zipper: `host:port`, several separated by commas to try in turn, or a connection of your own.
        tags: such as `[0x11]`; none: every tag.
        queue: frames kept for a slow program, at most.

    Attributes:
        tags: what it receives; empty: every tag.
        malformed: received messages that were no frames.
    """

    def __init__(
        self,
        zipper: str | Connection = DEFAULT_ZIPPER,
        tags: Iterable[int | str] = (),
        *,
        queue: int = DEFAULT_QUEUE,
        namespace: str = "default",
        clock: Clock | None = None,
    ) -> None:
        if queue < 1:
            raise UsageError(f"queue: got {queue}, expected at least 1 frame")
        self.tags = tuple(dict.fromkeys(map(parse_tag, tags)))
        self.malformed = 0
        self._connection = connection = as_connection(zipper, namespace=namespace)
        self._clock = clock or SystemClock()
        self._mailbox: Mailbox[tuple[str, Payload, bytes]] = Mailbox(queue)
        self._warn = RepeatedWarning(_log)
        namespace = connection.namespace
        expressions = [keys.frames_of_tag(namespace, tag) for tag in self.tags] or [keys.all_frames(namespace)]
        self._handles = [connection.session.subscribe(expression, self._on_frame) for expression in expressions]
        connection.session.settle()

    @property
    def dropped(self) -> int:
        """Frames that were lost because this sink was too slow."""
        return self._mailbox.dropped

    @property
    def connection(self) -> Connection:
        return self._connection

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, waiting up to `timeout_s` (None: for ever). None: none came in time, or it is closed."""
        while True:
            try:
                entry = self._mailbox.take(timeout_s)
            except QueueClosed:
                return None
            if entry is None:
                return None
            frame = self._parse(*entry)
            if frame is not None:
                return frame

    def latency_ns(self, frame: Frame) -> int:
        """Nanoseconds from capture until now. Comparable between machines only as far as their clocks agree."""
        return frame.age_ns(self._clock.wall_ns())

    def __iter__(self) -> Iterator[Frame]:
        while (frame := self.receive()) is not None:
            yield frame

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (frame := await asyncio.to_thread(self.receive)) is not None:
            yield frame

    def close(self) -> None:
        """End the sink and its connection; an iteration under way ends. Idempotent."""
        self._mailbox.close()
        for handle in self._handles:
            handle.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _on_frame(self, key: str, payload: Payload, attachment: bytes) -> None:
        self._mailbox.put((key, payload, attachment))

    def _parse(self, key: str, payload: Payload, attachment: bytes) -> Frame | None:
        try:
            frame_key = keys.parse_frame_key(key)
            header = decode_header(attachment)
            if header.tag != frame_key.tag:
                raise RemoteProtocolError(f"header: got tag {header.tag}, expected {frame_key.tag} as in the key")
        except RemoteProtocolError as error:
            self.malformed += 1
            self._warn("malformed frame ignored: %s", error)
            return None
        return Frame(frame_key.origin, frame_key.zipper, header, payload.to_bytes())
