"""Input and output between zippers: what each can do for the others, and the frames that they hand over.

Everything runs on the dispatcher's thread but the callbacks, which only put events into the inbox.
"""

from __future__ import annotations

import logging
import threading

from nearfield.errors import RemoteProtocolError
from nearfield.frame import is_name, keys
from nearfield.frame.control import Capacity, Report, decode, encode
from nearfield.frame.delivery import DeliveryHeader, decode_delivery
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import Handle, Lane, Payload, Session
from nearfield.zipper.inbox import Inbox
from nearfield.zipper.item import Ticket
from nearfield.zipper.neighbours import Neighbours

_log = logging.getLogger(__name__)

CAPACITY_INTERVAL_NS = 250_000_000
# Each second time, what is held and done is told too.
_HEARTBEAT_EVERY = 2


class Mesh:
    """The other zippers, as messages.

    Args:
        neighbours: takes the decisions.
        name: of this zipper.
        epoch: of this incarnation.
        max_payload_bytes: of one frame.
    """

    def __init__(
        self,
        session: Session,
        neighbours: Neighbours[Payload],
        inbox: Inbox,
        *,
        namespace: str,
        name: str,
        epoch: int,
        max_payload_bytes: int,
    ) -> None:
        self._session = session
        self._neighbours = neighbours
        self._inbox = inbox
        self._namespace = namespace
        self._name = name
        self._epoch = epoch
        self._max_payload_bytes = max_payload_bytes
        self._warn = RepeatedWarning(_log)
        self._due_ns = 0
        self._ticks = 0
        # A line to some peer broke, and no report has left since.
        self._is_broken = threading.Event()
        # Held as long as this object lives; they end with the session.
        self._handles: list[Handle] = [
            session.watch_routers(self._on_router),
            session.announce(keys.zipper_alive(namespace, name)),
            session.watch_announcements(keys.zipper_alive(namespace), self._on_alive),
            session.subscribe(keys.capacity(namespace), self._on_capacity),
            session.subscribe(keys.forwarded(namespace, name), self._on_report),
            session.subscribe(keys.forward(namespace, name), self._on_frame),
        ]

    @property
    def due_ns(self) -> int:
        """When `tick` is to be called next, monotonic."""
        return self._due_ns

    def tick(self, now_ns: int) -> None:
        """Say what could be done for others, and give up those that are silent. Does nothing before `due_ns`."""
        if now_ns < self._due_ns:
            return
        self._due_ns = now_ns + CAPACITY_INTERVAL_NS
        self._ticks += 1
        for name in self._neighbours.tick(now_ns):
            _log.warning("zipper `%s` fell silent; its frames go to others", name)
        capacity = encode(self._neighbours.capacity(now_ns))
        self._session.publish(keys.capacity(self._namespace, self._name), capacity, lane=Lane.CONTROL)
        self._publish_reports(full=self._ticks % _HEARTBEAT_EVERY == 0)

    def flush(self) -> None:
        """Tell peers what was finished of theirs."""
        self._publish_reports(full=False)

    def _publish_reports(self, *, full: bool) -> None:
        if self._is_broken.is_set():
            self._is_broken.clear()
            self._neighbours.peers.forget_unconfirmed()
        for peer, report in self._neighbours.peers.take_reports(full=full):
            key = keys.forwarded(self._namespace, peer, self._name)
            # Behind the results, which took the way over this router.
            self._session.publish(key, encode(report), lane=Lane.REPORTS)

    # ---- zenoh's threads

    def _on_router(self, router: str, is_connected: bool) -> None:
        # At once, before anything can go another way.
        if not is_connected:
            self._is_broken.set()

    def _on_alive(self, key: str, is_alive: bool) -> None:
        if not is_alive:
            name = key.rsplit("/", 1)[-1]
            self._inbox.put_message(lambda now_ns: self._lose(name, now_ns), len(key))

    def _on_capacity(self, key: str, payload: Payload, attachment: bytes) -> None:
        self._inbox.put_message(lambda now_ns: self._hear(payload.to_bytes(), now_ns), len(payload))

    def _on_report(self, key: str, payload: Payload, attachment: bytes) -> None:
        self._inbox.put_message(lambda now_ns: self._take_report(payload.to_bytes(), now_ns), len(payload))

    def _on_frame(self, key: str, payload: Payload, attachment: bytes) -> None:
        # One that finds no room is lost, and the peer hands it out again.
        def take_over(now_ns: int) -> None:
            self._take_over(key, payload, attachment, now_ns)

        self._inbox.put_frames(take_over, key, 1, len(payload))

    # ---- the dispatcher's thread

    def _lose(self, name: str, now_ns: int) -> None:
        if name != self._name and self._neighbours.lose(name, now_ns):
            _log.warning("zipper `%s` is gone; its frames go to others", name)

    def _hear(self, data: bytes, now_ns: int) -> None:
        try:
            capacity = decode(Capacity, data)
        except RemoteProtocolError as error:
            self._warn("capacity refused: %s", error)
            return
        if capacity.zipper == self._name and capacity.epoch != self._epoch:
            self._warn("another zipper in this mesh is named `%s` too; give each a name of its own", self._name)
        elif self._neighbours.hear(capacity, now_ns):
            _log.info("zipper `%s` is a peer", capacity.zipper)

    def _take_report(self, data: bytes, now_ns: int) -> None:
        try:
            self._neighbours.report(decode(Report, data), now_ns)
        except RemoteProtocolError as error:
            self._warn("report of a peer refused: %s", error)

    def _take_over(self, key: str, payload: Payload, attachment: bytes, now_ns: int) -> None:
        *_, sender, function = key.split("/")
        try:
            delivery = self._read(sender, function, payload, attachment)
        except RemoteProtocolError as error:
            self._warn("frame of a peer refused: %s", error)
            return
        self._neighbours.take_over(
            function,
            Ticket(sender, delivery.epoch, delivery.number),
            delivery.origin,
            delivery.header,
            payload,
            remaining_us=delivery.remaining_us,
            after=delivery.after,
            now_ns=now_ns,
        )

    def _read(self, sender: str, function: str, payload: Payload, attachment: bytes) -> DeliveryHeader:
        if not (is_name(sender) and is_name(function)):
            raise RemoteProtocolError(f"key: got `{sender[:80]}/{function[:80]}`, expected two names")
        if len(payload) > self._max_payload_bytes:
            raise RemoteProtocolError(f"payload: got {len(payload)} bytes, expected at most {self._max_payload_bytes}")
        return decode_delivery(attachment)
