"""What the dispatcher decided, as messages to instances, sources and sinks. On the dispatcher's thread."""

from __future__ import annotations

from collections.abc import Sequence

from nearfield.clock import Clock
from nearfield.frame import keys
from nearfield.frame.control import encode
from nearfield.frame.dead_letter import dead_letter_header, dead_letter_of, write_dead_letter
from nearfield.frame.delivery import encode_delivery
from nearfield.transport import FRAME_LANES, Lane, Payload, Session
from nearfield.zipper.dispatcher import Dispatcher
from nearfield.zipper.mesh import Mesh
from nearfield.zipper.outbox import Burial, Delivery


class Sender:
    """Sends what a dispatcher has to say.

    Args:
        name: of the zipper.
        epoch: of this incarnation.
    """

    def __init__(
        self,
        session: Session,
        dispatcher: Dispatcher[Payload],
        mesh: Mesh,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        epoch: int,
    ) -> None:
        self._session = session
        self._dispatcher = dispatcher
        self._mesh = mesh
        self._clock = clock
        self._namespace = namespace
        self._name = name
        self._epoch = epoch

    def send(self, now_ns: int) -> None:
        """Everything decided since the last call. Acknowledgements last: what they release has left, or was buried.

        Args:
            now_ns: monotonic.
        """
        dispatcher = self._dispatcher
        if deliveries := dispatcher.take_deliveries():
            self._deliver(deliveries)
        for burial in dispatcher.take_burials():
            self._bury(burial)
        self._mesh.flush()
        self._acknowledge(now_ns)

    def _deliver(self, deliveries: Sequence[Delivery[Payload]]) -> None:
        together: dict[tuple[str, str, bool, Lane], list[tuple[bytes | Payload, bytes]]] = {}
        for delivery in deliveries:
            item = delivery.item
            attachment = encode_delivery(
                item.header,
                item.sent_ns(delivery.now_ns),
                delivery.number,
                self._epoch,
                item.remaining_us(delivery.now_ns),
                delivery.after,
                item.origin,
            )
            # Only frames of one lane keep their order.
            lane = Lane.FRAMES if delivery.is_ordered else FRAME_LANES[item.header.priority]
            to = (delivery.instance, delivery.function, delivery.is_to_peer, lane)
            messages = together.get(to)
            if messages is None:
                messages = together[to] = []
            messages.append((item.payload, attachment))
        for (instance, function, is_to_peer, lane), messages in together.items():
            if is_to_peer:
                key = keys.forward(self._namespace, instance, self._name, function)
            else:
                key = keys.dispatch(self._namespace, self._name, instance)
            self._session.publish_all(key, messages, lane=lane)

    def _acknowledge(self, now_ns: int) -> None:
        for origin, ack in self._dispatcher.take_acks(now_ns):
            self._session.publish(keys.acks(self._namespace, self._name, origin), encode(ack), lane=Lane.CONTROL)

    def _bury(self, burial: Burial[Payload]) -> None:
        item, now_ns = burial.item, self._clock.monotonic_ns()
        letter = dead_letter_of(
            item.header, item.origin, function=burial.function, reason=burial.reason, attempts=burial.attempts
        )
        header = dead_letter_header(item.header, burial.tag, burial.function, item.sent_ns(now_ns))
        key = keys.frame(self._namespace, burial.tag, self._name, item.origin, burial.function)
        payload = write_dead_letter(letter, item.payload.to_bytes())
        self._session.publish(key, payload, attachment=header.encode(), lane=FRAME_LANES[header.priority])
