"""The worker: takes frames from its zipper, has them handled, sends what was emitted.

Threads: zenoh's put into the mailbox; the caller of `run` works, with further threads beside it where the handler takes
several frames at a time; one more reports twice a second.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nearfield.clock import Clock, SystemClock
from nearfield.errors import (
    EmissionRefused,
    GuestError,
    GuestTimeout,
    NearfieldError,
    RefusedError,
    RemoteProtocolError,
    TransportError,
)
from nearfield.frame import FLAG_ADDRESSED, FLAG_IN_ORDER, FLAG_KEPT, Frame, Priority, flags_of, format_tag, keys
from nearfield.frame.control import (
    MAX_CREDITS,
    PROTOCOL_VERSION,
    Done,
    Hello,
    JoinReply,
    JoinRequest,
    LeaveReply,
    Status,
    decode,
    encode,
)
from nearfield.frame.delivery import DeliveryHeader, decode_delivery
from nearfield.frame.header import MAX_COUNT, later
from nearfield.function.concurrency import handle_in_order
from nearfield.function.context import Context, Emission
from nearfield.function.emission import EmissionGate, EmissionRules
from nearfield.function.handled import Arrived, Handled, failure_reason
from nearfield.function.handler import Handler
from nearfield.function.progress import Progress
from nearfield.function.result_buffer import Result, ResultBuffer
from nearfield.queues import Mailbox, QueueClosed
from nearfield.recovery import KeptFrame, Resender
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import FRAME_LANES, REPORT_LANES, Connection, Handle, Message, Payload

_log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
JOIN_TIMEOUT_S = 3.0
CREDITS = 2
MOST_CREDITS = 256
# Without an answer it goes anyway: `serve` ends its workers within 1.2 s.
LEAVE_TIMEOUT_S = 0.5


Observer = Callable[[Frame, "NearfieldError | None", int], None]
"""Called after each frame with the frame, its error or None, and nanoseconds in the handler."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Attributes:
    function: name of the group.
    observe: tags; empty: those in the zipper's workflow.
    emit: tags it may emit; None: any that is not reserved.
    credits: frames held at a time, those being handled included; a handler that takes several frames at a time gets
        at least one more than that. None: 2, which hides the round trip to the zipper when frames take a millisecond
        or more, and up to 256 while they take less.
    priority: of what it emits.
    emission: what its payloads must be; None: any bytes.
    """

    function: str
    observe: Sequence[int] = ()
    emit: frozenset[int] | None = None
    credits: int | None = None
    priority: Priority = "normal"
    emission: EmissionRules | None = None


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """Counts since the worker started."""

    completed: int
    failed: int
    dropped: int
    emitted: int


class Worker:
    """One instance of a stream function. `run` blocks until `stop`.

    Results and reports leave in the order in which the frames came, also when several are handled at a time.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        handler: Handler,
        connection: Connection,
        *,
        clock: Clock | None = None,
        on_frame: Observer | None = None,
    ) -> None:
        self.settings = settings
        self.instance = f"{settings.function[:48]}-{secrets.token_hex(4)}"
        self._qualified = keys.qualified(settings.function, self.instance)
        self.observe: list[int] = []
        self._handler = handler
        self._most_credits = settings.credits or MOST_CREDITS
        self._connection = connection
        self._clock = clock or SystemClock()
        self._on_frame = on_frame
        self._gate = EmissionGate(settings.emission)
        self._epoch = 0
        # Interruptions of the connection before the latest request to join.
        self._joined_after = 0
        self._progress = Progress(self.instance)
        self._buffer = ResultBuffer(self._most_credits)
        # Held while results and reports are collected and sent, so that no report overtakes its results.
        self._sending = threading.Lock()
        self._mailbox: Mailbox[Arrived] = Mailbox(MAX_CREDITS)
        self._stopping = threading.Event()
        self._finished = threading.Event()
        self._must_join = threading.Event()
        self._refused: RefusedError | None = None
        self._completed = self._failed = self._dropped = self._emitted = 0
        self._sender = secrets.randbits(32) or 1
        self._counts: defaultdict[int, int] = defaultdict(int)  # by tag
        self._flags = 0
        self._warn = RepeatedWarning(_log)
        # One priority for all results, and for the reports, which must not overtake the results they speak of.
        self._frame_lane, self._report_lane = FRAME_LANES[settings.priority], REPORT_LANES[settings.priority]
        self._resender = Resender(
            connection, keys.SOURCE, settings.function, self._sender, self._report_lane, self._clock
        )
        self._attached_to = ""
        self._handles: list[Handle] = []

    def statistics(self) -> WorkerStatistics:
        return WorkerStatistics(self._completed, self._failed, self._dropped, self._emitted)

    def join(self) -> None:
        """Be admitted by the zipper. Called once before `run`.

        Raises:
            RefusedError: the zipper says no, with its reason.
            TransportError: no answer.
        """
        self._ask_to_join()
        self._connection.watch(self._on_state)

    def run(self) -> None:
        """Handle frames until `stop` is called, then leave the zipper, finish the frames at hand, and return.

        What this instance had not begun goes to others at once. A zipper that does not answer is left anyway.

        Raises:
            RefusedError: a zipper that restarted does not admit this function any longer.
        """
        reporter = threading.Thread(target=self._report_regularly, name="reporter", daemon=True)
        reporter.start()
        try:
            handle_in_order(self._handler.concurrency, self._take, self._handle, self._leave, self.stop)
        finally:
            self._stopping.set()
            with self._sending:
                if self._buffer.has_news:
                    self._send(full=False)
            self._finished.set()
            reporter.join(timeout=2 * JOIN_TIMEOUT_S)
            self._resender.close()
            for handle in self._handles:
                handle.close()
            self._handler.close()
        if self._refused is not None:
            raise self._refused

    def stop(self) -> None:
        """Make `run` return after the frames at hand. Callable from any thread and from signal handlers."""
        self._stopping.set()
        self._mailbox.close()

    # ---- joining

    def _attach(self) -> None:
        """Listen, and be alive, at the zipper that the connection has now."""
        connection, zipper = self._connection, self._connection.zipper
        if zipper == self._attached_to:
            return
        for handle in self._handles:
            handle.close()
        instance = self._qualified
        self._handles = [
            connection.session.subscribe_all(
                keys.dispatch(connection.namespace, zipper, instance), self._on_deliveries
            ),
            connection.session.announce(keys.alive(connection.namespace, zipper, instance)),
        ]
        self._attached_to = zipper

    def _ask_to_join(self) -> None:
        s = self.settings
        self._connection.permission.check_function(s.function)
        self._attach()
        request = JoinRequest(
            protocol=PROTOCOL_VERSION,
            function=s.function,
            instance=self.instance,
            observe=sorted(s.observe),
            emit=sorted(s.emit or ()),
            credits=min(max(s.credits or CREDITS, self._least_credits()), MAX_CREDITS),
            most_credits=self._most_credits,
            concurrency=self._handler.concurrency,
            runtime=self._handler.runtime,
            pid=os.getpid(),
        )
        connection = self._connection
        self._joined_after = connection.interruptions
        # The zipper may send frames before its reply is read here, so the epoch is set before.
        expected = connection.state.epoch
        self._progress.rejoin(expected)
        answer = connection.session.ask(
            keys.join(connection.namespace, connection.zipper, s.function), encode(request), timeout_s=JOIN_TIMEOUT_S
        )
        if answer is None:
            raise TransportError(f"zipper `{connection.zipper}` does not answer the request to join")
        reply = decode(JoinReply, answer)
        if reply.error is not None:
            raise RefusedError(reply.error, where=f"zipper `{connection.zipper}`")
        self.observe = reply.observe
        self._flags = flags_of(s.priority) | (FLAG_IN_ORDER if reply.ordered else 0)
        if reply.mode == "complete":
            self._flags |= FLAG_KEPT
        if reply.epoch != expected:
            self._progress.rejoin(reply.epoch)
        self._epoch = reply.epoch

    def _least_credits(self) -> int:
        """As many as are handled at a time, and one that waits meanwhile."""
        concurrency = self._handler.concurrency
        return 1 if concurrency == 1 else concurrency + 1

    def _rejoin(self) -> None:
        try:
            self._ask_to_join()
        except RefusedError as error:
            self._refused = error
            self.stop()
        except (TransportError, RemoteProtocolError):
            self._must_join.set()  # at the next heartbeat
        else:
            # What asked for this in the meantime is answered with it; joining twice would give frames out twice.
            self._must_join.clear()
            _log.info("joined zipper `%s` again", self._connection.zipper)

    # ---- zenoh's threads

    def _on_deliveries(self, key: str, messages: Sequence[Message]) -> None:
        now_ns = self._clock.monotonic_ns()
        arrived = [self._read(payload, attachment, now_ns) for payload, attachment in messages]
        self._mailbox.put_all([each for each in arrived if each is not None])

    def _read(self, payload: Payload, attachment: bytes, now_ns: int) -> Arrived | None:
        if not attachment:
            self._must_join.set()
            return None
        try:
            delivery = decode_delivery(attachment)
        except RemoteProtocolError as error:
            self._warn("delivery ignored: %s", error)
            return None
        if not self._progress.receive(delivery.number, delivery.epoch, delivery.after):
            return None
        ends_ns = now_ns + delivery.remaining_us * 1_000 if delivery.remaining_us else None
        return Arrived(payload, delivery, now_ns, ends_ns)

    def _on_state(self, state: Hello, is_new: bool) -> None:
        if state.epoch != self._epoch:
            self._must_join.set()

    # ---- the reporting thread

    def _report_regularly(self) -> None:
        was_heard = True
        while not self._stopping.wait(HEARTBEAT_S):
            if self._must_join.is_set() or self._is_interrupted:
                self._must_join.clear()
                self._rejoin()
                continue
            is_heard = self._connection.is_heard
            if is_heard != was_heard:
                _log.warning(
                    "zipper `%s` %s", self._connection.zipper, "is back" if is_heard else "is silent; waiting for it"
                )
                was_heard = is_heard
            with self._sending:
                self._send(full=True)
        self._leave_zipper()

    def _leave_zipper(self) -> None:
        """Give away what was not begun, wait until the rest is finished, and be known no more."""
        self._progress.leave()
        if self._say_leave():
            return
        while not self._finished.wait(HEARTBEAT_S):
            with self._sending:
                self._send(full=True)
        # Behind the last results and reports: once answered, they are all there, and this instance may vanish.
        self._say_leave()

    def _say_leave(self) -> bool:
        """Tell the zipper what this instance still holds, and wait for its answer. True: nothing, and it is let go."""
        connection = self._connection
        with self._sending:
            self._send_results()
            self._has_forgotten()
            self._buffer.reported()
            report = self._progress.report(self._clock.monotonic_ns(), full=True)
        key = keys.leave(connection.namespace, connection.zipper, self.settings.function)
        try:
            answer = connection.session.ask(key, encode(report), timeout_s=LEAVE_TIMEOUT_S, lane=self._report_lane)
            error = "no answer" if answer is None else decode(LeaveReply, answer).error
        except (TransportError, RemoteProtocolError) as broken:
            error = str(broken)
        if error is not None:
            _log.debug("leaving zipper `%s`: %s", connection.zipper, error)
        return error is None and not report.holding

    # ---- the working threads

    def _take(self) -> Arrived:
        while True:
            entry = self._mailbox.take()
            if entry is None or self._stopping.is_set():
                raise QueueClosed
            if self._progress.take(entry.delivery.number, entry.delivery.epoch):
                return entry
            # Taken back meanwhile: this instance leaves, or was given up and joined again.

    def _handle(self, arrived: Arrived) -> Handled:
        delivery, ends_ns = arrived.delivery, arrived.ends_ns
        started_ns = self._clock.monotonic_ns()
        if ends_ns is not None and started_ns >= ends_ns:
            return Handled(arrived, None, None, started_ns, started_ns)
        context = Context(arrived.payload.to_bytes(), delivery.header, delivery.origin, self.settings.emit)
        context.ends_at_s = None if ends_ns is None else ends_ns / 1e9
        self._progress.begin(delivery.number, delivery.epoch, started_ns)
        error: NearfieldError | None = None
        try:
            self._handler.handle(context)
            # Behind every handler, whatever its language: what it caught itself would not fail its frame.
            self._gate.check(context.emissions, self._clock.monotonic_ns())
            self._check_sizes(context.emissions)
        except NearfieldError as failure:
            error = self._gate.withheld(failure)
        return Handled(arrived, context, error, started_ns, self._clock.monotonic_ns())

    def _check_sizes(self, emissions: Sequence[Emission]) -> None:
        """What is larger than we may send, the zipper's router would drop without a word."""
        most = self._connection.permission.granted.max_payload_bytes
        for emission in emissions:
            if most is not None and len(emission.payload) > most:
                what = f"got a payload of {len(emission.payload)} bytes, expected at most {most}"
                raise EmissionRefused(what, where="max_payload")

    def _leave(self, handled: Handled) -> None:
        """Send what was emitted, and report, at once or with what follows at once. One thread at a time."""
        with self._sending:
            self._settle(handled)
            is_last = len(self._mailbox) == 0
            if self._buffer.finish(handled.handler_ns, handled.ended_ns, is_last=is_last):
                self._send(full=False)
            elif self._buffer.is_full:
                self._send_results()
        context, delivery = handled.context, handled.arrived.delivery
        if self._on_frame is not None and context is not None:
            frame = Frame(delivery.origin, self._connection.zipper, delivery.header, context.payload)
            self._on_frame(frame, handled.error, handled.handler_ns)

    def _settle(self, handled: Handled) -> None:
        arrived, error, handler_ns = handled.arrived, handled.error, handled.handler_ns
        delivery = arrived.delivery
        if handled.context is None:
            self._finish(delivery, "dropped", "stale", 0)
        elif error is None:
            self._add(delivery, handled.context.emissions, handled.ended_ns - arrived.arrived_ns)
            self._finish(delivery, "completed", "", handler_ns)
        elif isinstance(error, GuestTimeout) and arrived.ends_ns is not None and handled.ended_ns >= arrived.ends_ns:
            self._finish(delivery, "dropped", "stale", handler_ns)  # the frame ended before the guest's own deadline
        else:
            self._warn("%s", self._describe(error, delivery))
            self._finish(delivery, "failed", failure_reason(error), handler_ns)

    def _describe(self, error: NearfieldError, delivery: DeliveryHeader) -> str:
        if isinstance(error, GuestError) and error.where is not None:
            return str(error)  # names function and frame already
        frame = f"frame {delivery.origin}/{delivery.header.sequence}, tag {format_tag(delivery.header.tag)}"
        return f"function `{self.settings.function}`: {error}, {frame}"

    def _add(self, delivery: DeliveryHeader, emissions: Sequence[Emission], took_ns: int) -> None:
        connection = self._connection
        sent_ns = later(delivery.header.sent_ns, took_ns)
        for part, emission in enumerate(emissions):
            header = delivery.header.emitted(
                emission.tag,
                part,
                sent_ns,
                flags=self._flags | (FLAG_ADDRESSED if emission.to is not None else 0),
                sender=self._sender,
            )
            origin = emission.to or delivery.origin
            key = keys.frame(connection.namespace, emission.tag, connection.zipper, origin, self.settings.function)
            self._buffer.add(key, emission.payload, header)
            self._emitted += 1

    def _finish(self, delivery: DeliveryHeader, status: Status, reason: str, handler_ns: int) -> None:
        if status == "completed":
            self._completed += 1
        elif status == "failed":
            self._failed += 1
        else:
            self._dropped += 1
        self._progress.finish(Done(delivery.number, status, reason, handler_ns), delivery.epoch)

    def _send(self, *, full: bool) -> None:
        """Results, then the report on them. The caller holds `_sending`."""
        connection = self._connection
        self._send_results()
        if self._has_forgotten():
            return
        self._buffer.reported()
        report = self._progress.report(self._clock.monotonic_ns(), full=full)
        try:
            key = keys.reports(connection.namespace, connection.zipper, self._qualified)
            connection.session.publish(key, encode(report), lane=self._report_lane)
        except TransportError:
            if not self._stopping.is_set():
                raise

    @property
    def _is_interrupted(self) -> bool:
        return self._connection.interruptions != self._joined_after

    def _has_forgotten(self) -> bool:
        """Whether the connection was interrupted since this instance joined, with results that may be lost.

        What is not known as done at the zipper then never will be, and is handed out again when this instance has
        joined anew.
        """
        if not self._is_interrupted:
            return False
        self._buffer.take()
        self._buffer.reported()
        self._progress.rejoin(0)
        self._must_join.set()
        return True

    def _send_results(self) -> None:
        try:
            connection = self._connection
            for key, results in self._buffer.take(in_order=connection.state.ordered):
                connection.session.publish_all(key, self._numbered(key, results), lane=self._frame_lane)
        except TransportError:
            if not self._stopping.is_set():
                raise

    def _numbered(self, key: str, results: Sequence[Result]) -> list[tuple[bytes, bytes]]:
        """Payload and encoded header of results about to be sent with this key; in `complete` they are kept."""
        (_, header), *_ = results
        tag, counts = header.tag, self._counts
        numbered = []
        for payload, header in results:
            counts[tag] = count = counts[tag] % MAX_COUNT + 1
            numbered.append((count, payload, header.encode(count=count)))
        if self._flags & FLAG_KEPT:
            origin, now_ns = keys.origin_in(key), self._clock.monotonic_ns()
            self._resender.keep(
                KeptFrame(tag, count, origin, encoded, payload, now_ns) for count, payload, encoded in numbered
            )
        else:
            self._resender.note(tag, counts[tag])
        return [(payload, encoded) for _, payload, encoded in numbered]
