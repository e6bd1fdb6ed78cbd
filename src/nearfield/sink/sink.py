"""Sinks: programs that receive frames."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from nearfield.clock import Clock, SystemClock
from nearfield.errors import RemoteProtocolError, UsageError
from nearfield.frame import Frame, keys, parse_tag, read_frame
from nearfield.queues import Mailbox, QueueClosed
from nearfield.recovery import Arrival, Recoverer
from nearfield.sink.duplicates import Duplicates
from nearfield.sink.statistics import SINK_SLOW, SinkStatistics
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import DEFAULT_ZIPPER, Connection, Message, Payload, as_connection

_log = logging.getLogger(__name__)

DEFAULT_QUEUE = 1_024
# Frames that were asked for wait so long for room in the queue.
ROOM_CHECK_S = 0.02
ROOM_CHECKS = 50


class Sink:
    """Receives the frames of some tags, from wherever in the mesh they enter.

    Iterate over it, or call `receive`. A program that is slower than its frames loses the oldest ones, which are
    counted as "sink-slow"; nobody else is held up by it. One consumer at a time. When its zipper is gone it goes on
    with the next of its addresses.

    Frames may be lost on their way here: while a connection moves, while this process stands still, and on lines or
    machines that are too busy. Sources and functions in `complete` keep what they sent for up to 30 s, and the sink
    asks them for what it misses (`recovered`). Such frames come late, behind others that were sent after them; where a
    function has `order: source`, what it emits waits for them instead, for about a second at most. What nobody
    has any more is counted as `missed`, and so is all that is lost in `live`.

    Args:
        zipper: `host:port`, several separated by commas to try in turn, or a connection of your own, which several
            sources and sinks may share; it is closed with the last of them.
        tags: such as `[0x11]`; none: every tag that it has a right to.
        queue: frames kept for a slow program, at most.
        dedupe: leave out frames that came before. Where delivery is at least once, the same frame may come twice: with
            the same origin, stream, sequence, tag and part. The latest 16,384 are remembered.

    Attributes:
        tags: what it receives; empty: every tag that it has a right to.
    """

    def __init__(
        self,
        zipper: str | Connection = DEFAULT_ZIPPER,
        tags: Iterable[int | str] = (),
        *,
        queue: int = DEFAULT_QUEUE,
        dedupe: bool = False,
        namespace: str = "default",
        clock: Clock | None = None,
    ) -> None:
        if queue < 1:
            raise UsageError(f"queue: got {queue}, expected at least 1 frame")
        self.tags = tuple(dict.fromkeys(map(parse_tag, tags)))
        self._arrived = self._received = self._duplicate = self._malformed = 0
        self._duplicates = Duplicates() if dedupe else None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._waiting = 0  # frames that were asked for and find no room
        self._connection = connection = as_connection(zipper, namespace=namespace)
        self._clock = clock or SystemClock()
        self._mailbox: Mailbox[tuple[str, Payload, bytes]] = Mailbox(queue)
        self._warn = RepeatedWarning(_log)
        namespace = connection.namespace
        try:
            connection.permission.check_observe(self.tags)
            allowed = self.tags or connection.permission.observable()
        except BaseException:
            connection.release()
            raise
        expressions = (
            [keys.all_frames(namespace)] if allowed is None else [keys.frames_of_tag(namespace, tag) for tag in allowed]
        )
        self._recoverer = Recoverer(connection, allowed, self._on_late)
        self._handles = [connection.session.subscribe_all(expression, self._on_frames) for expression in expressions]

    @property
    def dropped(self) -> int:
        """Frames that were lost because this sink was too slow."""
        return self._mailbox.dropped

    @property
    def missed(self) -> int:
        """Frames that were sent and did not reach this sink, and will not."""
        return self._recoverer.lost

    @property
    def recovered(self) -> int:
        """Frames that were lost on their way here, and came because this sink asked their sender for them."""
        return self._recoverer.recovered

    @property
    def malformed(self) -> int:
        """Received messages that were no frames."""
        return self._malformed

    @property
    def connection(self) -> Connection:
        return self._connection

    def statistics(self) -> SinkStatistics:
        """Counts; exact as long as nothing arrives."""
        recoverer = self._recoverer
        return SinkStatistics(
            arrived=self._arrived + recoverer.recovered,
            received=self._received,
            queued=len(self._mailbox) + recoverer.held + self._waiting,
            dropped={SINK_SLOW: self._mailbox.dropped} if self._mailbox.dropped else {},
            duplicates=self._duplicate + recoverer.repeated,
            malformed=self._malformed,
            missed=recoverer.lost,
            recovered=recoverer.recovered,
        )

    def receive(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame, waiting up to `timeout_s` (None: for ever). None: none came in time, or it is closed."""
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            remaining = None if give_up_at is None else max(0.0, give_up_at - time.monotonic())
            try:
                entry = self._mailbox.take(remaining)
            except QueueClosed:
                return None
            if entry is None:
                return None
            frame = self._parse(*entry)
            if frame is not None:
                self._received += 1
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
        self._closed.set()
        self._mailbox.close()
        for handle in self._handles:
            handle.close()
        self._recoverer.close()
        self._connection.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _on_frames(self, key: str, messages: Sequence[Message]) -> None:
        new = self._recoverer.note(key, messages)
        with self._lock:
            self._arrived += len(messages)
        self._mailbox.put_all([(key, payload, attachment) for payload, attachment in new])

    def _on_late(self, arrivals: Sequence[Arrival]) -> None:
        # They must not push out others while the program is about to take some; but it may take none any more.
        size = max(1, self._mailbox.capacity // 2)
        is_taking = True
        for begin in range(0, len(arrivals), size):
            some = arrivals[begin : begin + size]
            self._waiting = len(arrivals) - begin
            is_taking = is_taking and self._has_room(len(some))
            self._waiting -= len(some)
            self._mailbox.put_all(some)

    def _has_room(self, frames: int) -> bool:
        """Wait for room in the queue. False: there was none within a second."""
        for _ in range(ROOM_CHECKS):
            if len(self._mailbox) + frames <= self._mailbox.capacity or self._closed.wait(ROOM_CHECK_S):
                return True
        return False

    def _parse(self, key: str, payload: Payload, attachment: bytes) -> Frame | None:
        try:
            frame = read_frame(key, payload, attachment)
        except RemoteProtocolError as error:
            self._malformed += 1
            self._warn("malformed frame ignored: %s", error)
            return None
        if self._duplicates is not None and not self._duplicates.is_new(frame):
            self._duplicate += 1
            return None
        return frame
