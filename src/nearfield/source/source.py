"""Sources: programs that send frames."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Literal, Self

from nearfield.clock import Clock, SystemClock
from nearfield.errors import RemoteProtocolError, TransportError, UsageError
from nearfield.frame import RESERVED_TAGS, Header, check_name, format_tag, keys, parse_tag
from nearfield.frame.control import ACK_HISTORY, Ack, Hello, decode
from nearfield.source.window import Outgoing, Window
from nearfield.transport import DEFAULT_ZIPPER, Connection, Payload, as_connection

_log = logging.getLogger(__name__)

LIVE_WINDOW = 2
COMPLETE_WINDOW = 16
UPKEEP_S = 0.1
_MAX_NS = 2**64 - 1


@dataclass(frozen=True, slots=True)
class SourceStatistics:
    """Counts since the source opened.

    Attributes:
        offered: calls of `send`.
        sent: frames that went out, repetitions not counted.
        released: frames that the zipper took over (observed tags only).
        replaced: frames that a newer one replaced before they could go out (live).
        unacknowledged: frames the zipper never confirmed (live).
        resent: repetitions.
    """

    offered: int
    sent: int
    released: int
    replaced: int
    unacknowledged: int
    resent: int


class Source:
    """Sends frames to a zipper.

    Frames with tags that some function at the zipper observes go through a window: only so many may be on their way
    until the zipper confirms them.

    - ``live``: `send` never waits. When the window is full the frame waits in a single place, and a newer one
      replaces it (counted as `replaced`).
    - ``complete``: `send` waits for room, and frames are kept and sent again until they are confirmed.

    Frames with tags that only sinks receive are sent without a window. Usable from several threads.

    Args:
        name: of the source, unique at its zipper: letters, digits, `-`, `_`, `.`.
        zipper: `host:port`, several separated by commas to try in turn, or a connection of your own.
        tag: default for `send`.
        window: frames on their way at most; None: 2 for ``live``, 16 for ``complete``.

    Raises:
        UsageError: an ill-formed name, tag or address.
        CertificateError, TransportError, RefusedError: see `nearfield.transport.connect`.
    """

    def __init__(
        self,
        name: str,
        zipper: str | Connection = DEFAULT_ZIPPER,
        *,
        tag: int | str | None = None,
        mode: Literal["live", "complete"] = "live",
        window: int | None = None,
        namespace: str = "default",
        clock: Clock | None = None,
    ) -> None:
        self.name = check_name("source", name)
        self.mode = mode
        self._tag = None if tag is None else _sendable(tag)
        if window is not None and not 1 <= window <= ACK_HISTORY:
            raise UsageError(f"window: got {window}, expected 1 to {ACK_HISTORY} frames")
        self._window = Window(window or (LIVE_WINDOW if mode == "live" else COMPLETE_WINDOW))
        self.stream = secrets.randbits(63)
        self._connection = connection = as_connection(zipper, namespace=namespace)
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        # A tag stays observed in `complete` while a zipper restarts and its functions have not joined it again.
        self._observed = set(connection.state.observed)
        self._waiting: Outgoing | None = None
        # While the keeper sends a frame that waited, newer ones must not overtake it.
        self._keeper_sends = False
        self._resend: list[Outgoing] = []
        self._next_sequence = 0
        self._closed = False
        self._offered = self._sent = self._released = self._replaced = self._unacknowledged = self._resent = 0
        self._acks = connection.session.subscribe(
            keys.acks(connection.namespace, connection.zipper, self.name), self._on_ack
        )
        connection.watch(self._on_state)
        self._keeper = threading.Thread(target=self._keep, name=f"source-{name}", daemon=True)
        self._keeper.start()

    # ---- for programs

    def send(
        self,
        payload: bytes,
        *,
        tag: int | str | None = None,
        captured_ns: int | None = None,
        deadline_ns: int = 0,
        timeout_s: float | None = None,
    ) -> int:
        """Send one frame.

        Args:
            payload: opaque bytes; the zipper refuses more than its limit (16 MiB by default).
            tag: kind of data; None: the tag given when the source was made.
            captured_ns: capture time in nanoseconds since the Unix epoch; None: now.
            deadline_ns: when the frame becomes worthless, same scale; 0: never.
            timeout_s: how long `complete` may wait for room; None: for ever.

        Returns:
            The frame's sequence number.

        Raises:
            UsageError: no tag, or one that cannot be sent; a time that is no u64.
            TransportError: the source is closed, or there was no room in time.
        """
        number = self._tag if tag is None else _sendable(tag)
        if number is None:
            raise UsageError("send: no tag; give one to `send` or when the source is made")
        now_ns = self._clock.wall_ns()
        for name, value in (("captured_ns", captured_ns), ("deadline_ns", deadline_ns)):
            if value is not None and not 0 <= value <= _MAX_NS:
                raise UsageError(f"{name}: got {value}, expected nanoseconds from 0 to 2**64 - 1")
        with self._changed:
            self._check_open()
            header = Header(
                tag=number,
                stream=self.stream,
                sequence=self._next_sequence,
                captured_ns=now_ns if captured_ns is None else captured_ns,
                sent_ns=now_ns,
                deadline_ns=deadline_ns,
            )
            self._next_sequence += 1
            self._offered += 1
            frame = Outgoing(header, payload)
            if number in self._observed:
                if self.mode == "live":
                    self._replaced += self._waiting is not None
                    self._waiting = None if self._window.has_room and not self._keeper_sends else frame
                    if self._waiting is not None:
                        return header.sequence
                self._wait_for_room(timeout_s)
                self._window.add(frame, self._clock.monotonic_ns())
            self._sent += 1
        self._publish(frame)
        return header.sequence

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until `send` would not wait; always true in `live`. False: not within the time.

        With several sending threads, another may take the room first.
        """
        if self.mode == "live":
            return True
        with self._changed:
            return self._changed.wait_for(lambda: self._window.has_room or self._closed, timeout_s)

    def flush(self, timeout_s: float | None = 10.0) -> bool:
        """Wait until the zipper has confirmed everything. False: not within the time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (len(self._window) == 0 and self._waiting is None) or self._closed, timeout_s
            )

    def statistics(self) -> SourceStatistics:
        with self._changed:
            return SourceStatistics(
                self._offered, self._sent, self._released, self._replaced, self._unacknowledged, self._resent
            )

    @property
    def in_flight(self) -> int:
        """Frames that the zipper has not confirmed."""
        with self._changed:
            return len(self._window) + (self._waiting is not None)

    @property
    def connection(self) -> Connection:
        return self._connection

    def close(self) -> None:
        """End the source and its connection. Call `flush` before to be sure that all arrived. Idempotent."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._keeper.join(timeout=2.0)
        self._acks.close()
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.flush():
            _log.warning("source `%s`: closed with %d frames not confirmed by the zipper", self.name, self.in_flight)
        self.close()

    # ---- inside

    def _check_open(self) -> None:
        if self._closed:
            raise TransportError(f"source `{self.name}` is closed")

    def _wait_for_room(self, timeout_s: float | None) -> None:
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._window.has_room:
            remaining = None if give_up_at is None else give_up_at - time.monotonic()
            if remaining is not None and remaining <= 0:
                raise TransportError(
                    f"source `{self.name}`: no room after {timeout_s:g} s: the zipper confirmed none of "
                    f"{len(self._window)} frames",
                    hint="is the function that observes this tag running?",
                )
            self._changed.wait(remaining)
            self._check_open()

    def _publish(self, frame: Outgoing) -> None:
        connection = self._connection
        key = keys.FrameKey(connection.namespace, frame.header.tag, connection.zipper, self.name)
        # The frame may have waited here; zippers take the time between capture and sending for its age.
        header = replace(frame.header, sent_ns=self._clock.wall_ns())
        connection.session.publish(str(key), frame.payload, attachment=header.encode())

    def _on_ack(self, key: str, payload: Payload, attachment: bytes) -> None:
        try:
            ack = decode(Ack, payload.to_bytes())
        except RemoteProtocolError as error:
            _log.warning("source `%s`: %s", self.name, error)
            return
        if ack.stream == self.stream:
            with self._changed:
                self._released += self._window.release(ack.released)
                self._changed.notify_all()

    def _on_state(self, state: Hello, is_new: bool) -> None:
        with self._changed:
            if self.mode == "complete":
                self._observed.update(state.observed)
                if is_new:
                    self._resend = self._window.all(self._clock.monotonic_ns())
            else:
                self._observed = set(state.observed)
                if is_new:
                    self._unacknowledged += self._window.clear()
            self._changed.notify_all()

    def _has_work(self) -> bool:
        return self._closed or bool(self._resend) or (self._waiting is not None and self._window.has_room)

    def _keep(self) -> None:
        """Sends what waits, and repairs losses; on a thread of its own, since publishing may wait."""
        while True:
            with self._changed:
                self._keeper_sends = False
                self._changed.wait_for(self._has_work, UPKEEP_S)
                if self._closed:
                    return
                now_ns = self._clock.monotonic_ns()
                due = self._resend or (self._window.overdue(now_ns) if self.mode == "complete" else [])
                self._resend = []
                self._resent += len(due)
                if self.mode == "live":
                    given_up = self._window.give_up(now_ns)
                    self._unacknowledged += given_up
                    if self._waiting is not None and self._window.has_room:
                        due = [self._waiting]
                        self._window.add(self._waiting, now_ns)
                        self._waiting = None
                        self._sent += 1
                        self._keeper_sends = True
                    if given_up or due:
                        self._changed.notify_all()
            for frame in due:
                try:
                    self._publish(frame)
                except TransportError as error:
                    if not self._closed:
                        _log.warning("source `%s`: %s", self.name, error)


class AsyncSource:
    """`Source` for asyncio programs: the same, with `await` where it may wait."""

    def __init__(
        self,
        name: str,
        zipper: str | Connection = DEFAULT_ZIPPER,
        *,
        tag: int | str | None = None,
        mode: Literal["live", "complete"] = "live",
        window: int | None = None,
        namespace: str = "default",
    ) -> None:
        self._open = partial(Source, name, zipper, tag=tag, mode=mode, window=window, namespace=namespace)
        self._source: Source | None = None

    @property
    def source(self) -> Source:
        """The source beneath, for statistics. Raises TransportError before `async with` was entered."""
        if self._source is None:
            raise TransportError("the source is not open; use `async with`")
        return self._source

    async def send(
        self,
        payload: bytes,
        *,
        tag: int | str | None = None,
        captured_ns: int | None = None,
        deadline_ns: int = 0,
        timeout_s: float | None = None,
    ) -> int:
        """See `Source.send`."""
        return await asyncio.to_thread(
            self.source.send, payload, tag=tag, captured_ns=captured_ns, deadline_ns=deadline_ns, timeout_s=timeout_s
        )

    async def flush(self, timeout_s: float | None = 10.0) -> bool:
        """See `Source.flush`."""
        return await asyncio.to_thread(self.source.flush, timeout_s)

    async def close(self) -> None:
        """See `Source.close`."""
        if self._source is not None:
            await asyncio.to_thread(self._source.close)

    async def __aenter__(self) -> Self:
        self._source = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.flush()
        await self.close()


def _sendable(tag: int | str) -> int:
    number = parse_tag(tag)
    if number in RESERVED_TAGS:
        raise UsageError(f"tag {format_tag(number)} is reserved; 0xf000 to 0xffff belong to the framework")
    return number
