"""What the dispatcher decided, as messages to instances, sources and sinks. On the dispatcher's thread."""

from __future__ import annotations

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

    def send(self) -> None:
        """Everything decided since the last call. Acknowledgements last: what they release has left, or was buried."""
        dispatcher = self._dispatcher
        for delivery in dispatcher.take_deliveries():
            self._deliver(delivery)
        for burial in dispatcher.take_burials():
            self._bury(burial)
        self._mesh.flush()
        for origin, ack in dispatcher.take_acks():
            self._session.publish(keys.acks(self._namespace, self._name, origin), encode(ack), lane=Lane.CONTROL)

    def _deliver(self, delivery: Delivery[Payload]) -> None:
        item = delivery.item
        attachment = encode_delivery(
            item.header,
            delivery.sent_ns,
            delivery.number,
            self._epoch,
            delivery.remaining_us,
            delivery.after,
            item.origin,
        )
        # Only frames of one lane keep their order.
        lane = Lane.FRAMES if delivery.is_ordered else FRAME_LANES[item.header.priority]
        if delivery.is_to_peer:
            self._mesh.forward(delivery.instance, delivery.function, item.payload, attachment, lane)
        else:
            key = keys.dispatch(self._namespace, self._name, delivery.instance)
            self._session.publish(key, item.payload, attachment=attachment, lane=lane)

    def _bury(self, burial: Burial[Payload]) -> None:
        item, now_ns = burial.item, self._clock.monotonic_ns()
        letter = dead_letter_of(
            item.header, item.origin, function=burial.function, reason=burial.reason, attempts=burial.attempts
        )
        header = dead_letter_header(item.header, burial.tag, burial.function, item.sent_ns(now_ns))
        key = keys.FrameKey(self._namespace, burial.tag, self._name, item.origin)
        payload = write_dead_letter(letter, item.payload.to_bytes())
        self._session.publish(str(key), payload, attachment=header.encode(), lane=FRAME_LANES[header.priority])
