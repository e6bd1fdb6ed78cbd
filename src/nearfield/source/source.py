"""Sources: programs that send frames."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Literal, Self

from nearfield.clock import Clock, SystemClock
from nearfield.errors import RemoteProtocolError, TransportError, UsageError
from nearfield.frame import (
    FLAG_KEPT,
    PRIORITIES,
    RESERVED_TAGS,
    Frame,
    Header,
    Priority,
    check_name,
    flags_of,
    format_tag,
    keys,
    parse_tag,
)
from nearfield.frame.bundle import by_key
from nearfield.frame.control import MAX_WINDOW, Ack, Hello, decode
from nearfield.frame.header import MAX_COUNT, later
from nearfield.recovery import KeptFrame, Resender
from nearfield.source.allowance import Allowance, Fence
from nearfield.source.linger import Linger
from nearfield.source.results import Results
from nearfield.source.statistics import SourceStatistics
from nearfield.source.window import RESEND_AFTER_NS, OutgoingFrame, Window
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import DEFAULT_ZIPPER, FRAME_LANES, REPORT_LANES, Connection, Payload, as_connection

_log = logging.getLogger(__name__)

LIVE_WINDOW = 2
COMPLETE_WINDOW = 256
COMPLETE_WINDOW_BYTES = 8 * 2**20
UPKEEP_S = 0.1
_MAX_NS = 2**64 - 1


class Source:
    """Sends frames to a zipper, and to the next one of its addresses when that is gone.

    - ``live``: `send` never waits. One or two frames are on their way at a time, two only while the line carries them
      without a queue; a frame that finds no room waits here, and a newer one with its tag replaces it (counted as
      `replaced`). So what arrives is fresh, however slow the line.
    - ``complete``: for tags that some function at the zipper observes, `send` waits for room, and frames are kept and
      sent again until they are confirmed, also to another zipper. Frames with tags that only sinks receive are sent
      once; like all others they are kept for up to 30 s for sinks that notice that they missed some.

    Usable from several threads.

    Args:
        name: of the source, unique at its zipper: letters, digits, `-`, `_`, `.`.
        zipper: `host:port`, several separated by commas to try in turn, or a connection of your own, which several
            sources and sinks may share; it is closed with the last of them.
        tag: default for `send`.
        priority: frames with a higher one do not wait for those with a lower one, on any link.
        window: frames on their way at most; None: one or two for ``live``, 256 for ``complete``,
            fewer when they hold more than 8 MB together.

    Raises:
        UsageError: an ill-formed name, tag or address; an unknown priority.
        CertificateError, TransportError, RefusedError: see `nearfield.transport.connect`; or we have no right to send
            under this name, or this tag.
    """

    def __init__(
        self,
        name: str,
        zipper: str | Connection = DEFAULT_ZIPPER,
        *,
        tag: int | str | None = None,
        mode: Literal["live", "complete"] = "live",
        priority: Priority = "normal",
        window: int | None = None,
        namespace: str = "default",
        clock: Clock | None = None,
    ) -> None:
        self.name = check_name("source", name)
        self.mode = mode
        self._tag = None if tag is None else _sendable(tag)
        if window is not None and not 1 <= window <= MAX_WINDOW:
            raise UsageError(f"window: got {window}, expected 1 to {MAX_WINDOW} frames")
        if priority not in PRIORITIES:
            raise UsageError(f"priority: got {priority!r}, expected one of {', '.join(PRIORITIES)}")
        self._flags, self._lane = flags_of(priority), FRAME_LANES[priority]
        if mode == "complete":
            self._flags |= FLAG_KEPT
        if window is not None:
            self._window = Window(window)
        elif mode == "live":
            self._window = Window(LIVE_WINDOW)
        else:
            self._window = Window(COMPLETE_WINDOW, COMPLETE_WINDOW_BYTES)
        # Who names a window knows the line, and wants it used.
        self._adapts = mode == "live" and window is None
        self._allowance, self._fence = Allowance(), Fence()
        self.stream = secrets.randbits(63)
        self._sender = secrets.randbits(32) or 1
        self._counts: dict[int, int] = {}
        self._clock = clock or SystemClock()
        self._warn = RepeatedWarning(_log)
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)  # for `send`, `flush`
        self._work = threading.Condition(self._lock)  # for the keeper
        self._keeper_sleeps = False
        # It wakes in time for frames that wait for company.
        self._keeper_lingers = False
        # While the keeper sends frames that waited, newer ones must not overtake them.
        self._keeper_sends = False
        self._waiting: dict[int, OutgoingFrame] = {}
        self._linger = Linger()  # in `complete`
        # Taken before `_lock`, never while that is held.
        self._publishing = threading.Lock()
        self._resend: list[OutgoingFrame] = []
        self._next_sequence = 0
        self._closed = False
        self._offered = self._sent = self._released = self._replaced = self._unacknowledged = self._resent = 0
        self._results: Results | None = None
        self._results_lock = threading.Lock()
        self._connection = connection = as_connection(zipper, namespace=namespace)
        try:
            connection.permission.check_origin(name)
            if self._tag is not None:
                connection.permission.check_send(self._tag)
        except BaseException:
            connection.release()
            raise
        # A tag stays observed in `complete` while a zipper restarts and its functions have not joined it again.
        self._observed = set(connection.state.observed)
        self._resender = Resender(connection, name, keys.SOURCE, self._sender, REPORT_LANES[priority], self._clock)
        # From any zipper: the connection may move, and the stream's number tells which are ours.
        self._acks = connection.session.subscribe(keys.acks(connection.namespace, "*", self.name), self._on_ack)
        self._state_watch = connection.watch(self._on_state)
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
            payload: opaque bytes; at most as many as the zipper says (16 MiB by default).
            tag: kind of data; None: the tag given when the source was made.
            captured_ns: capture time in nanoseconds since the Unix epoch; None: now.
            deadline_ns: when the frame becomes worthless, same scale; 0: never.
            timeout_s: how long `complete` may wait for room; None: for ever.

        Returns:
            The frame's sequence number.

        Raises:
            UsageError: no tag, or one that cannot be sent; a time that is no u64.
            RefusedError: we have no right to send this tag, or so large a payload.
            TransportError: the source is closed, or there was no room in time.
        """
        number = self._tag if tag is None else _sendable(tag)
        if number is None:
            raise UsageError("send: no tag; give one to `send` or when the source is made")
        self._connection.permission.check_send(number)
        self._connection.permission.check_size(len(payload))
        now_ns = self._clock.wall_ns()
        for name, value in (("captured_ns", captured_ns), ("deadline_ns", deadline_ns)):
            if value is not None and not 0 <= value <= _MAX_NS:
                raise UsageError(f"{name}: got {value}, expected nanoseconds from 0 to 2**64 - 1")
        with self._lock:
            self._check_open()
            self._offered += 1
            offered_ns = self._clock.monotonic_ns()
            if self.mode == "complete" and number in self._observed:
                self._wait_for_room(timeout_s)
            # Numbered only now: other threads may have gone ahead meanwhile.
            header = Header(
                tag=number,
                stream=self.stream,
                sequence=self._next_sequence,
                captured_ns=now_ns if captured_ns is None else captured_ns,
                sent_ns=now_ns,
                deadline_ns=deadline_ns,
                flags=self._flags,
                sender=self._sender,
            )
            self._next_sequence += 1
            frame = OutgoingFrame(header, payload, offered_ns)
            if self.mode == "live" and (self._waiting or self._keeper_sends or not self._has_room(frame)):
                self._replaced += number in self._waiting
                self._waiting[number] = frame
                self._work.notify()
                return header.sequence
            if self.mode == "complete":
                self._depart(frame)
                under_way = max(0, len(self._window) - len(self._linger) - 1)
                must_leave = self._linger.add(frame, under_way, self._clock.monotonic_ns())
                if not must_leave and not self._keeper_lingers:
                    self._work.notify()
            else:
                self._depart(frame)
            if self._keeper_sleeps and len(self._window):
                self._work.notify()
        if self.mode == "live":
            self._publish([frame])
            self._ask_whether_through()
        elif must_leave:
            self._publish_lingering()
        return header.sequence

    def results(self, timeout_s: float | None = None) -> Iterator[Frame]:
        """Frames that functions emit for this source's frames, and those they address to it, as they arrive.

        Receiving begins with the first call, so make it before you send. Results are not confirmed: one that is
        emitted while the connection moves to another zipper may be missed, and one of a frame that was handled twice
        comes twice, with the same sequence, tag and part.

        Args:
            timeout_s: how long to wait for the next one before the iteration ends; None: until the source is closed.

        Raises:
            TransportError: the source is closed.
        """
        with self._results_lock:  # not the other one: subscribing may wait for a thread that waits for that
            self._check_open()
            results = self._results = self._results or Results(self._connection, self.name, self.stream)

        def frames() -> Iterator[Frame]:
            while (frame := results.take(timeout_s)) is not None:
                yield frame

        return frames()

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until `send` would not wait; always true in `live`. False: not within the time.

        With several sending threads, another may take the room first.
        """
        if self.mode == "live":
            return True
        self._hurry()
        with self._lock:
            return self._room.wait_for(lambda: self._window.has_room or self._closed, timeout_s)

    def flush(self, timeout_s: float | None = 10.0) -> bool:
        """Wait until the zipper has confirmed everything. False: not within the time."""
        self._hurry()
        with self._lock:
            return self._room.wait_for(
                lambda: (len(self._window) == 0 and not self._waiting) or self._closed, timeout_s
            )

    def statistics(self) -> SourceStatistics:
        with self._lock:
            return SourceStatistics(
                offered=self._offered,
                sent=self._sent,
                released=self._released,
                replaced=self._replaced,
                unacknowledged=self._unacknowledged,
                resent=self._resent,
                results_dropped=0 if self._results is None else self._results.dropped,
            )

    @property
    def in_flight(self) -> int:
        """Frames that the zipper has not confirmed, those that wait here included."""
        with self._lock:
            return len(self._window) + len(self._waiting)

    @property
    def connection(self) -> Connection:
        return self._connection

    def close(self) -> None:
        """End the source, and its connection if nobody else uses it.

        Call `flush` before to be sure that all arrived. Idempotent.
        """
        if not self._closed:
            self._hurry()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._room.notify_all()
            self._work.notify_all()
        self._keeper.join(timeout=2.0)
        self._resender.close()
        self._state_watch.close()
        self._acks.close()
        with self._results_lock:
            if self._results is not None:
                self._results.close()
        self._connection.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.flush():
            _log.warning("source `%s`: closed with %d frames not confirmed by the zipper", self.name, self.in_flight)
        self.close()

    # ---- inside, the lock held

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
            self._room.wait(remaining)
            self._check_open()

    def _has_room(self, frame: OutgoingFrame) -> bool:
        if frame.header.tag in self._observed and not self._window.has_room:
            return False
        on_way = self._window.bytes + self._fence.bytes
        return not self._adapts or not on_way or on_way + len(frame.payload) <= self._allowance.bytes

    def _depart(self, frame: OutgoingFrame) -> None:
        self._sent += 1
        tag = frame.header.tag
        frame.count = self._counts[tag] = self._counts.get(tag, 0) % MAX_COUNT + 1
        if tag in self._observed:
            self._window.add(frame, self._clock.monotonic_ns())
        elif self._adapts:
            self._fence.add(len(frame.payload))

    def _sendable_waiting(self) -> OutgoingFrame | None:
        return next((frame for frame in self._waiting.values() if self._has_room(frame)), None)

    def _has_work(self) -> bool:
        return (
            self._closed
            or bool(self._resend)
            or self._sendable_waiting() is not None
            or (self._keeper_sleeps and (len(self._window) > 0 or bool(self._waiting)))
            or (bool(self._linger) and not self._keeper_lingers)
            or self._linger_is_due()
        )

    @property
    def _needs_upkeep(self) -> bool:
        return len(self._window) > 0 or bool(self._waiting) or bool(self._linger)

    def _linger_is_due(self) -> bool:
        return bool(self._linger) and self._clock.monotonic_ns() >= self._linger.due_ns

    def _pause_s(self) -> float:
        """How long the keeper may wait when there is something to keep."""
        if not self._linger:
            return UPKEEP_S
        return min(UPKEEP_S, max(0.0, (self._linger.due_ns - self._clock.monotonic_ns()) / 1e9))

    def _due(self) -> list[OutgoingFrame]:
        """What the keeper is to send now."""
        now_ns = self._clock.monotonic_ns()
        if self.mode == "complete":
            due = self._resend or self._window.overdue(now_ns)
            self._resend = []
            self._resent += len(due)
            return due
        given_up = self._window.give_up(now_ns)
        self._fence.give_up(now_ns, RESEND_AFTER_NS)
        self._unacknowledged += given_up
        due = []
        while (frame := self._sendable_waiting()) is not None:
            del self._waiting[frame.header.tag]
            self._depart(frame)
            due.append(frame)
        due.sort(key=lambda frame: frame.header.sequence)
        self._keeper_sends = bool(due)
        if given_up or due:
            self._room.notify_all()
        return due

    # ---- inside, the lock not held

    def _publish_lingering(self) -> None:
        """Let those go that wait for company. One thread at a time, so that frames leave in order."""
        with self._publishing:
            with self._lock:
                frames = self._linger.take(self._clock.monotonic_ns())
            self._publish(frames)

    def _hurry(self) -> None:
        """Nothing waits for company any longer. What cannot leave now is sent again by the keeper, or not at all."""
        try:
            self._publish_lingering()
        except TransportError as error:
            _log.warning("source `%s`: %s", self.name, error)

    def _publish(self, frames: Sequence[OutgoingFrame]) -> None:
        connection = self._connection
        now_ns = self._clock.monotonic_ns()
        messages: list[tuple[str, tuple[bytes | Payload, bytes]]] = []
        kept: list[KeptFrame] = []
        for frame in frames:
            header = frame.header
            # The frame may have waited here, and zippers take the time between capture and sending for its age. The
            # wait is measured by itself, since the wall clock may have been set meanwhile.
            attachment = header.encode(later(header.sent_ns, now_ns - frame.offered_ns), frame.count)
            key = keys.frame(connection.namespace, header.tag, connection.zipper, self.name)
            messages.append((key, (frame.payload, attachment)))
            if self.mode == "complete":
                kept.append(KeptFrame(header.tag, frame.count, self.name, attachment, frame.payload, now_ns))
            else:
                self._resender.note(header.tag, frame.count)
        if kept:
            self._resender.keep(kept)
        for key, together in by_key(messages, in_order=connection.state.ordered):
            connection.session.publish_all(key, together, lane=self._lane)

    def _ask_whether_through(self) -> None:
        if not self._adapts:
            return
        with self._lock:
            if not self._waiting and 2 * self._fence.bytes < self._allowance.bytes:
                return
            number = self._fence.ask(self._clock.monotonic_ns())
        if number is not None:
            self._connection.ask_behind(lambda: self._on_through(number), self._lane)

    def _on_through(self, number: int) -> None:
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            took_ns = self._fence.answered(number, now_ns)
            if took_ns is not None:
                self._allowance.answered(took_ns, now_ns)
                self._work.notify()

    def _on_ack(self, key: str, payload: Payload, attachment: bytes) -> None:
        try:
            ack = decode(Ack, payload.to_bytes())
        except RemoteProtocolError as error:
            self._warn("source `%s`: %s", self.name, error)
            return
        if ack.stream != self.stream:
            return
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            released = self._window.release(ack.released)
            for sent_ns in released:
                self._allowance.answered(now_ns - sent_ns, now_ns)
            self._released += len(released)
            if released:
                self._room.notify_all()
                if self._waiting:
                    self._work.notify()

    def _on_state(self, state: Hello, is_new: bool) -> None:
        with self._lock:
            if self.mode == "complete":
                self._observed.update(state.observed)
                if is_new:
                    self._resend = self._window.all(self._clock.monotonic_ns())
            else:
                self._observed = set(state.observed)
                if is_new:
                    self._unacknowledged += self._window.clear()
                    self._allowance, self._fence = Allowance(), Fence()
            if is_new:
                self._room.notify_all()
                self._work.notify()

    def _keep(self) -> None:
        """Sends what waits, and repairs losses; on a thread of its own, since publishing may wait."""
        while True:
            with self._lock:
                self._keeper_sends = False
                self._keeper_sleeps = not self._needs_upkeep
                self._keeper_lingers = bool(self._linger)
                self._work.wait_for(self._has_work, None if self._keeper_sleeps else self._pause_s())
                self._keeper_sleeps = False
                if self._closed:
                    return
                due = self._due()
            try:
                if self._linger_is_due():
                    self._publish_lingering()
                if due:
                    self._publish(due)
                if due or self._waiting:
                    self._ask_whether_through()
            except TransportError as error:
                if not self._closed:
                    _log.warning("source `%s`: %s", self.name, error)


def _sendable(tag: int | str) -> int:
    number = parse_tag(tag)
    if number in RESERVED_TAGS:
        raise UsageError(f"tag {format_tag(number)} is reserved; 0xf000 to 0xffff belong to the framework")
    return number
