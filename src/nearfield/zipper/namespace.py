"""One namespace of a zipper: a thin shell of I/O around its dispatcher.

zenoh's threads only put events into the inbox; one thread takes them out, asks the dispatcher, and sends.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from nearfield.clock import Clock
from nearfield.errors import RemoteProtocolError, TransportError
from nearfield.frame import format_tag, is_name, keys
from nearfield.frame.control import (
    PROTOCOL_VERSION,
    Hello,
    JoinReply,
    JoinRequest,
    LeaveReply,
    Report,
    decode,
    encode,
)
from nearfield.frame.keys import FrameKey, parse_frame_key
from nearfield.frame.received import read_header
from nearfield.telemetry.log import RepeatedWarning
from nearfield.transport import Handle, Lane, Message, Payload, Reply, Session
from nearfield.version import __version__
from nearfield.zipper.dispatcher import Dispatcher
from nearfield.zipper.entitlements import Entitlements
from nearfield.zipper.entrance import Entrance
from nearfield.zipper.inbox import Inbox
from nearfield.zipper.losses import LossReporter
from nearfield.zipper.mesh import Mesh
from nearfield.zipper.policy import GroupPolicy
from nearfield.zipper.rate_limit import RateLimiter
from nearfield.zipper.sending import Sender
from nearfield.zipper.settings import ZipperSettings

_log = logging.getLogger(__name__)

AnswerType = TypeVar("AnswerType")

TICK_S = 0.5
# Events that are worked off before anything is sent: under load, several acknowledgements become one.
BATCH_EVENTS = 64
LEDGER_IS_CHEAP_NS = 5_000_000


class Namespace:
    """Dispatches the frames of one namespace over a zipper's session. Made ready by `start`, ended by `close`.

    Args:
        queue_bytes: of the payloads that wait, in all its queues together.
        on_stopped: called once on the dispatcher's thread when it has stopped, by `close` or by a defect (`failure`).
        listeners: how the zipper's listeners are, for the ledger.
    """

    def __init__(
        self,
        settings: ZipperSettings,
        name: str,
        policies: Sequence[GroupPolicy],
        *,
        queue_bytes: int,
        clock: Clock,
        on_stopped: Callable[[], None],
        listeners: Callable[[], dict[str, Any]],
    ) -> None:
        self.name = name
        self.failure: BaseException | None = None
        self._settings = settings
        self._clock = clock
        self._on_stopped = on_stopped
        self._listeners = listeners
        self._epoch = secrets.randbits(63)
        self._dispatcher: Dispatcher[Payload] = Dispatcher(
            policies, self._epoch, name=settings.name, queue_bytes=queue_bytes
        )
        self._inbox = Inbox(queue_bytes)
        self._rate_limiter = RateLimiter(settings.rate_limit)
        self._entitlements = Entitlements(None)
        self._warn = RepeatedWarning(_log)
        self._losses = LossReporter()
        self._entrance: Entrance | None = None
        self._handles: list[Handle] = []
        self._session: Session | None = None
        self._mesh: Mesh | None = None
        self._sender: Sender | None = None
        self._routes_version = -1
        self._hello = b""
        self._ledger = b""
        self._ledger_due_ns = 0
        self._thread = threading.Thread(target=self._run, name=f"dispatcher-{name}", daemon=True)
        self._stopped = threading.Event()

    def start(self, session: Session, entitlements: Entitlements) -> None:
        """Begin to dispatch over a session that stays open until after `close`."""
        s, name = self._settings, self.name
        self._entitlements = entitlements
        self._session = session
        self._mesh = Mesh(
            session,
            self._dispatcher.neighbours,
            self._inbox,
            namespace=name,
            name=s.name,
            epoch=self._epoch,
            max_payload_bytes=s.max_payload_bytes,
        )
        self._sender = Sender(
            session,
            self._dispatcher,
            self._mesh,
            self._clock,
            namespace=name,
            name=s.name,
            epoch=self._epoch,
        )
        self._entrance = Entrance(session, name, s.name, self._on_frames)
        self._refresh_observed(session)
        self._handles = [
            session.answer(lambda own_id: keys.hello(name, own_id), lambda _, __, reply: reply(self._hello)),
            session.answer(keys.rights(name, s.name), self._on_rights),
            session.answer(keys.join(name, s.name), self._on_join),
            session.answer(keys.leave(name, s.name), self._on_leave),
            session.answer(keys.ledger(name, s.name), self._on_ledger),
            session.subscribe(keys.reports(name, s.name), self._on_report),
            session.watch_announcements(keys.alive(name, s.name), self._on_alive),
        ]
        self._thread.start()

    def entitle(self, entitlements: Entitlements) -> None:
        """Take on other rights. From any thread."""
        self._entitlements = entitlements

    def close(self) -> None:
        """Stop dispatching. Idempotent; returns within about a second."""
        self._stopped.set()
        self._inbox.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def ledger(self, timeout_s: float) -> dict[str, Any]:
        """See `Zipper.ledger`."""
        return self._ask(lambda _: self._snapshot(), timeout_s)

    def set_policies(self, policies: Sequence[GroupPolicy], timeout_s: float) -> None:
        """See `Zipper.set_policies`."""
        self._ask(lambda now_ns: self._dispatcher.set_policies(policies, now_ns), timeout_s)

    def add_function(self, policy: GroupPolicy, timeout_s: float) -> None:
        """See `Zipper.add_function`."""
        self._ask(lambda now_ns: self._dispatcher.add_group(policy, now_ns), timeout_s)

    def remove_function(self, name: str, timeout_s: float) -> bool:
        """See `Zipper.remove_function`."""
        return self._ask(lambda _: self._dispatcher.remove_group(name), timeout_s)

    def expect(self, name: str, observe: frozenset[int], timeout_s: float) -> bool:
        """See `Zipper.expect`."""
        return self._ask(lambda _: self._dispatcher.expect(name, observe), timeout_s)

    def pids_of(self, function: str, timeout_s: float) -> set[int]:
        """See `Zipper.pids_of`."""
        return self._ask(lambda _: self._dispatcher.pids_of(function), timeout_s)

    def _ask(self, question: Callable[[int], AnswerType], timeout_s: float) -> AnswerType:
        """Have something done on the dispatcher's thread."""
        answers: queue.SimpleQueue[AnswerType] = queue.SimpleQueue()
        self._inbox.put(lambda now_ns: answers.put(question(now_ns)))
        try:
            return answers.get(timeout=timeout_s)
        except queue.Empty:
            raise TransportError("the dispatcher does not answer", where=f"zipper `{self._settings.name}`") from None

    # ---- zenoh's threads

    def _on_frames(self, key: str, messages: Sequence[Message]) -> None:
        def offer(now_ns: int) -> None:
            try:
                frame_key = parse_frame_key(key)
            except RemoteProtocolError as error:
                self._refuse_malformed(error, len(messages))
                return
            for payload, attachment in messages:
                self._offer(frame_key, payload, attachment, now_ns)

        size = sum(len(payload) for payload, _ in messages)
        self._inbox.put_frames(offer, keys.origin_in(key), len(messages), size)

    def _on_report(self, key: str, payload: Payload, attachment: bytes) -> None:
        self._inbox.put_message(lambda now_ns: self._take_report(key, payload.to_bytes(), now_ns), len(payload))

    def _on_join(self, key: str, question: bytes, reply: Reply) -> None:
        self._inbox.put_message(lambda now_ns: self._admit(key, question, reply, now_ns), len(question))

    def _on_leave(self, key: str, question: bytes, reply: Reply) -> None:
        self._inbox.put_message(lambda now_ns: self._retire(key, question, reply, now_ns), len(question))

    def _on_rights(self, key: str, question: bytes, reply: Reply) -> None:
        granted = self._entitlements.of(key.rsplit("/", 1)[-1], self._settings.max_payload_bytes)
        reply(encode(granted))

    def _on_ledger(self, key: str, question: bytes, reply: Reply) -> None:
        self._inbox.put_message(lambda now_ns: reply(self._encoded_ledger(now_ns)), len(question))

    def _on_alive(self, key: str, is_alive: bool) -> None:
        if not is_alive:
            with contextlib.suppress(RemoteProtocolError):  # whatever that was, it is no instance of ours
                instance = keys.qualified_in(key)
                # One that finds no room is missed when it reports no more.
                self._inbox.put_message(lambda now_ns: self._lose(instance, now_ns), len(key))

    # ---- the dispatcher's thread

    def _run(self) -> None:
        try:
            self._loop()
        except Exception as error:
            self.failure = error
            _log.exception("the dispatcher of namespace `%s` failed; the zipper stops", self.name)
        finally:
            self._stopped.set()
            self._on_stopped()

    def _loop(self) -> None:
        assert self._session is not None
        assert self._mesh is not None
        assert self._sender is not None
        next_tick_ns = self._clock.monotonic_ns()
        while not self._stopped.is_set():
            now_ns = self._clock.monotonic_ns()
            if now_ns >= next_tick_ns:
                next_tick_ns = now_ns + int(TICK_S * 1e9)
                self._tick(self._session, now_ns)
            self._mesh.tick(now_ns)
            self._flush(self._session)
            due_ns = min(next_tick_ns, self._mesh.due_ns, self._dispatcher.acks_due_ns)
            self._work_off(max(0.0, (due_ns - now_ns) / 1e9))
        self._flush(self._session)

    def _tick(self, session: Session, now_ns: int) -> None:
        self._count_refused()
        for name in self._dispatcher.tick(now_ns):
            _log.warning("instance `%s` fell silent; its frames go to others", name)
        for line in self._losses.lines(self._dispatcher.snapshot(sources=False)["groups"], now_ns):
            _log.warning("%s", line)
        self._publish_state(session)

    def _work_off(self, timeout_s: float) -> None:
        for _ in range(BATCH_EVENTS):
            event = self._inbox.take(timeout_s)
            if event is None:
                return
            event(self._clock.monotonic_ns())
            timeout_s = 0.0

    def _refuse_malformed(self, error: RemoteProtocolError, frames: int) -> None:
        self._dispatcher.reject("malformed", frames)
        self._warn("malformed frame refused: %s", error)

    def _offer(self, frame_key: FrameKey, payload: Payload, attachment: bytes, now_ns: int) -> None:
        try:
            header = read_header(frame_key, attachment)
        except RemoteProtocolError as error:
            self._refuse_malformed(error, 1)
            return
        if frame_key.is_emitted and not self._dispatcher.may_emit(frame_key.by, header.tag):
            self._dispatcher.reject("not-declared")
            self._warn("frame by `%s` refused: it does not declare tag %s", frame_key.by, format_tag(header.tag))
            return
        is_limited = not frame_key.is_emitted
        if is_limited and not self._rate_limiter.allows(frame_key.origin, len(payload), now_ns):
            self._dispatcher.reject("rate-limited")
            self._warn("source `%s` sends more than it may; what exceeds that is refused", frame_key.origin)
            return
        most_bytes = self._entitlements.max_payload_bytes(frame_key, self._settings.max_payload_bytes)
        if len(payload) > most_bytes:
            self._dispatcher.reject("too-large")
            self._warn(
                "frame %s/%d refused: payload: got %d bytes, expected at most %d",
                frame_key.origin,
                header.sequence,
                len(payload),
                most_bytes,
            )
            return
        self._dispatcher.offer(frame_key.origin, header, payload, now_ns)

    def _take_report(self, key: str, data: bytes, now_ns: int) -> None:
        try:
            instance = keys.qualified_in(key)
            report = decode(Report, data)
        except RemoteProtocolError as error:
            self._warn("report refused: %s", error)
            return
        report = msgspec.structs.replace(report, instance=instance)
        if not self._dispatcher.report(report, now_ns) and self._session is not None:
            # Without an attachment: "you are not known here, join again".
            to = keys.dispatch(self.name, self._settings.name, instance)
            self._session.publish(to, b"", lane=Lane.CONTROL)

    def _admit(self, key: str, question: bytes, reply: Reply, now_ns: int) -> None:
        assert self._session is not None
        try:
            request = decode(JoinRequest, question)
            if request.function != (asked := key.rsplit("/", 1)[-1]):
                raise RemoteProtocolError(f"join message: got `{request.function[:80]}`, expected `{asked[:80]}`")
            if not is_name(request.instance):
                raise RemoteProtocolError(f"join message: instance {request.instance[:80]!r} is no name")
            instance = keys.qualified(request.function, request.instance)
            request = msgspec.structs.replace(request, instance=instance)
            error = None
            if request.protocol != PROTOCOL_VERSION:
                error = f"protocol: got version {request.protocol}, expected {PROTOCOL_VERSION}; update the older side"
            else:
                error = self._dispatcher.join(request, now_ns)
        except RemoteProtocolError as broken:
            reply(encode(JoinReply(error=str(broken))))
            return
        if error is not None:
            self._warn("instance `%s` refused: %s", request.instance, error)
            reply(encode(JoinReply(error=error)))
            return
        self._refresh_observed(self._session)
        observe = self._dispatcher.tags_of(request.function)
        _log.info("instance `%s` joined, observing %s", request.instance, ", ".join(map(format_tag, observe)))
        policy = self._dispatcher.policy_of(request.function)
        is_ordered = policy.order == "source"
        reply(encode(JoinReply(epoch=self._epoch, observe=observe, mode=policy.mode, ordered=is_ordered)))

    def _retire(self, key: str, question: bytes, reply: Reply, now_ns: int) -> None:
        try:
            report = decode(Report, question)
            instance = keys.qualified_in(f"{key}/{report.instance}")
            report = msgspec.structs.replace(report, instance=instance)
        except RemoteProtocolError as broken:
            reply(encode(LeaveReply(error=str(broken))))
            return
        if not self._dispatcher.retire(report, now_ns):
            reply(encode(LeaveReply(error=f"instance {report.instance[:80]!r} is not known here")))
            return
        if report.holding:
            _log.info("instance `%s` leaves, and finishes %d frames", report.instance, len(report.holding))
        else:
            _log.info("instance `%s` left", report.instance)
        reply(encode(LeaveReply()))

    def _lose(self, instance: str, now_ns: int) -> None:
        if self._dispatcher.leave(instance, "instance-lost"):
            _log.info("instance `%s` is gone", instance)
            self._dispatcher.pump_all(now_ns)

    def _encoded_ledger(self, now_ns: int) -> bytes:
        """For whoever asks. Made anew each time, unless that would take more than a tenth of all time."""
        if now_ns >= self._ledger_due_ns:
            self._ledger = encode(self._snapshot())
            cost_ns = self._clock.monotonic_ns() - now_ns
            self._ledger_due_ns = now_ns + (10 * cost_ns if cost_ns > LEDGER_IS_CHEAP_NS else 0)
        return self._ledger

    def _count_refused(self) -> None:
        refused = self._inbox.take_refused()
        if refused["frames"]:
            self._dispatcher.reject("zipper-overload", refused["frames"])
        if refused["messages"]:
            self._dispatcher.ingress.messages_refused += refused["messages"]
            self._warn("%d messages refused: too large, or more than find room", refused["messages"])

    def _snapshot(self) -> dict[str, Any]:
        self._count_refused()
        return {
            "zipper": self._settings.name,
            "namespace": self.name,
            "version": __version__,
            **self._dispatcher.snapshot(),
            "peers": self._dispatcher.neighbours.snapshot(self._clock.monotonic_ns()),
            "listeners": self._listeners(),
        }

    def _flush(self, session: Session) -> None:
        if self._dispatcher.routes_version != self._routes_version:
            self._refresh_observed(session)
        for stuck in self._dispatcher.take_stuck():
            _log.warning("instance `%s` is stuck; its frames go to others", stuck.instance)
            self._settings.on_stuck(self.name, stuck)
        assert self._sender is not None
        self._sender.send(self._clock.monotonic_ns())

    def _refresh_observed(self, session: Session) -> None:
        self._routes_version = self._dispatcher.routes_version
        observed, is_ordered = self._dispatcher.observed, self._dispatcher.orders_tags
        assert self._entrance is not None
        self._entrance.open_for(observed, in_order=is_ordered)
        hello = encode(
            Hello(
                protocol=PROTOCOL_VERSION,
                zipper=self._settings.name,
                epoch=self._epoch,
                observed=observed,
                version=__version__,
                ordered=is_ordered,
            )
        )
        if hello != self._hello:
            self._hello = hello
            self._publish_state(session)

    def _publish_state(self, session: Session) -> None:
        session.publish(keys.state(self.name, self._settings.name), self._hello, lane=Lane.CONTROL)
