"""The worker: takes frames from its zipper, has them handled, sends what was emitted.

Threads: zenoh's put into the mailbox; the caller of `run` works, with further threads beside it where the handler takes
several frames at a time; one more reports twice a second.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nearfield.clock import Clock, SystemClock
from nearfield.errors import (
    GuestError,
    GuestTimeout,
    NearfieldError,
    RefusedError,
    RemoteProtocolError,
    TransportError,
)
from nearfield.frame import Frame, Priority, format_tag, keys
from nearfield.frame.control import (
    MAX_CREDITS,
    PROTOCOL_VERSION,
    Done,
    Hello,
    JoinReply,
    JoinRequest,
    Status,
    decode,
    encode,
)
from nearfield.frame.delivery import DeliveryHeader, decode_delivery
from nearfield.frame.header import later
from nearfield.function.concurrency import handle_in_order
from nearfield.function.context import Context, Emission
from nearfield.function.emission import EmissionGate, EmissionRules
from nearfield.function.handled import Arrived, Handled, failure_reason
from nearfield.function.handler import Handler
from nearfield.function.progress import Progress
from nearfield.queues import Mailbox, QueueClosed
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import FRAME_LANES, REPORT_LANES, Connection, Handle, Payload

_log = logging.getLogger(__name__)

HEARTBEAT_S = 0.5
JOIN_TIMEOUT_S = 3.0


Observer = Callable[[Frame, "NearfieldError | None", int], None]
"""Called after each frame with the frame, its error or None, and nanoseconds in the handler."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Attributes:
    function: name of the group.
    observe: tags; empty: those in the zipper's workflow.
    emit: tags it may emit; None: any that is not reserved.
    credits: frames held at a time, those being handled included. 2 hides the round trip to the zipper; a handler
        that takes several frames at a time gets at least one more than that.
    priority: of what it emits.
    emission: what its payloads must be; None: any bytes.
    """

    function: str
    observe: Sequence[int] = ()
    emit: frozenset[int] | None = None
    credits: int = 2
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
        self.observe: list[int] = []
        self._handler = handler
        self._connection = connection
        self._clock = clock or SystemClock()
        self._on_frame = on_frame
        self._gate = EmissionGate(settings.emission)
        self._epoch = 0
        self._progress = Progress(self.instance)
        self._mailbox: Mailbox[Arrived] = Mailbox(MAX_CREDITS)
        self._stopping = threading.Event()
        self._must_join = threading.Event()
        self._refused: RefusedError | None = None
        self._completed = self._failed = self._dropped = self._emitted = 0
        self._warn = RepeatedWarning(_log)
        # One priority for all results, and for the reports, which must not overtake the results they speak of.
        self._frame_lane, self._report_lane = FRAME_LANES[settings.priority], REPORT_LANES[settings.priority]
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
        """Handle frames until `stop` is called, then finish the frames at hand, report, and return.

        Raises:
            RefusedError: a zipper that restarted does not admit this function any longer.
        """
        reporter = threading.Thread(target=self._report_regularly, name="reporter", daemon=True)
        reporter.start()
        try:
            handle_in_order(self._handler.concurrency, self._take, self._handle, self._leave, self.stop)
        finally:
            self._stopping.set()
            reporter.join(timeout=2 * JOIN_TIMEOUT_S)
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
        self._handles = [
            connection.session.subscribe(keys.dispatch(connection.namespace, zipper, self.instance), self._on_delivery),
            connection.session.announce(keys.alive(connection.namespace, zipper, self.instance)),
        ]
        connection.session.settle()
        self._attached_to = zipper

    def _ask_to_join(self) -> None:
        self._attach()
        s = self.settings
        request = JoinRequest(
            protocol=PROTOCOL_VERSION,
            function=s.function,
            instance=self.instance,
            observe=sorted(s.observe),
            emit=sorted(s.emit or ()),
            credits=min(max(s.credits, self._least_credits()), MAX_CREDITS),
            runtime=self._handler.runtime,
            pid=os.getpid(),
        )
        connection = self._connection
        # The zipper may send frames before its reply is read here, so the epoch is set before.
        expected = connection.state.epoch
        self._progress.rejoin(expected)
        answer = connection.session.ask(
            keys.join(connection.namespace, connection.zipper), encode(request), timeout_s=JOIN_TIMEOUT_S
        )
        if answer is None:
            raise TransportError(f"zipper `{connection.zipper}` does not answer the request to join")
        reply = decode(JoinReply, answer)
        if reply.error is not None:
            raise RefusedError(reply.error, where=f"zipper `{connection.zipper}`")
        self.observe = reply.observe
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

    def _on_delivery(self, key: str, payload: Payload, attachment: bytes) -> None:
        if not attachment:
            self._must_join.set()
            return
        try:
            delivery = decode_delivery(attachment)
        except RemoteProtocolError as error:
            self._warn("delivery ignored: %s", error)
            return
        if self._progress.receive(delivery.number, delivery.epoch, delivery.after):
            now_ns = self._clock.monotonic_ns()
            ends_ns = now_ns + delivery.remaining_us * 1_000 if delivery.remaining_us else None
            self._mailbox.put(Arrived(payload, delivery, now_ns, ends_ns))

    def _on_state(self, state: Hello, is_new: bool) -> None:
        if state.epoch != self._epoch:
            self._must_join.set()

    # ---- the reporting thread

    def _report_regularly(self) -> None:
        was_heard = True
        while not self._stopping.wait(HEARTBEAT_S):
            if self._must_join.is_set():
                self._must_join.clear()
                self._rejoin()
                continue
            is_heard = self._connection.is_heard
            if is_heard != was_heard:
                _log.warning(
                    "zipper `%s` %s", self._connection.zipper, "is back" if is_heard else "is silent; waiting for it"
                )
                was_heard = is_heard
            self._report(full=True)

    def _report(self, *, full: bool) -> None:
        connection = self._connection
        report = self._progress.report(self._clock.monotonic_ns(), full=full)
        try:
            key = keys.reports(connection.namespace, connection.zipper, self.instance)
            connection.session.publish(key, encode(report), lane=self._report_lane)
        except TransportError:
            if not self._stopping.is_set():
                raise

    # ---- the working threads

    def _take(self) -> Arrived:
        while True:
            entry = self._mailbox.take()
            if entry is None or self._stopping.is_set():
                raise QueueClosed
            if self._progress.holds(entry.delivery.number, entry.delivery.epoch):
                return entry
            # Taken back meanwhile: this instance was given up, and joined again.

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
        except NearfieldError as failure:
            error = self._gate.withheld(failure)
        return Handled(arrived, context, error, started_ns, self._clock.monotonic_ns())

    def _leave(self, handled: Handled) -> None:
        """Send what was emitted, and report. One thread at a time."""
        arrived, context, error = handled.arrived, handled.context, handled.error
        delivery, handler_ns = arrived.delivery, handled.handler_ns
        if context is None:
            self._finish(delivery, "dropped", "stale", 0)
            return
        if error is None:
            self._publish(delivery, context.emissions, handled.ended_ns - arrived.arrived_ns)
            self._finish(delivery, "completed", "", handler_ns)
        elif isinstance(error, GuestTimeout) and arrived.ends_ns is not None and handled.ended_ns >= arrived.ends_ns:
            self._finish(delivery, "dropped", "stale", handler_ns)  # the frame ended before the guest's own deadline
        else:
            self._warn("%s", self._describe(error, delivery))
            self._finish(delivery, "failed", failure_reason(error), handler_ns)
        if self._on_frame is not None:
            frame = Frame(delivery.origin, self._connection.zipper, delivery.header, context.payload)
            self._on_frame(frame, error, handler_ns)

    def _describe(self, error: NearfieldError, delivery: DeliveryHeader) -> str:
        if isinstance(error, GuestError) and error.where is not None:
            return str(error)  # names function and frame already
        frame = f"frame {delivery.origin}/{delivery.header.sequence}, tag {format_tag(delivery.header.tag)}"
        return f"function `{self.settings.function}`: {error}, {frame}"

    def _publish(self, delivery: DeliveryHeader, emissions: Sequence[Emission], took_ns: int) -> None:
        connection = self._connection
        sent_ns = later(delivery.header.sent_ns, took_ns)
        for part, emission in enumerate(emissions):
            header = delivery.header.emitted(
                emission.tag,
                part,
                sent_ns,
                priority=self.settings.priority,
                is_addressed=emission.to is not None,
            )
            origin = emission.to or delivery.origin
            key = keys.FrameKey(connection.namespace, emission.tag, connection.zipper, origin)
            connection.session.publish(str(key), emission.payload, attachment=header.encode(), lane=self._frame_lane)
            self._emitted += 1

    def _finish(self, delivery: DeliveryHeader, status: Status, reason: str, handler_ns: int) -> None:
        if status == "completed":
            self._completed += 1
        elif status == "failed":
            self._failed += 1
        else:
            self._dropped += 1
        self._progress.finish(Done(delivery.number, status, reason, handler_ns), delivery.epoch)
        self._report(full=False)
