"""One function at one zipper: its instances, the frames that wait for them, and who gets which. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic

from nearfield.frame import Header, format_tag
from nearfield.frame.control import JoinRequest, Report
from nearfield.zipper.bindings import Bindings
from nearfield.zipper.fair_queue import FairQueue, Room
from nearfield.zipper.instances import Instance, Instances
from nearfield.zipper.item import NEVER_NS, Item, PayloadType, expiry_ns
from nearfield.zipper.outbox import Delivery, Outbox, StuckInstance
from nearfield.zipper.outcomes import Outcomes
from nearfield.zipper.policy import GroupPolicy

# A delivery that the instance has not seen this long after it was sent got lost on the way.
TRANSIT_TIMEOUT_NS = 1_000_000_000
# In `complete` mode so many frames may wait. Sources wait for acknowledgements, so only hundreds of them, or functions
# that emit faster than the next one takes, get there.
COMPLETE_QUEUE_FRAMES = 8_192


class Group(Generic[PayloadType]):
    """All instances of one function.

    Attributes:
        observe: tags; empty until the first instance names them, when the workflow does not.
    """

    def __init__(self, policy: GroupPolicy, room: Room, outbox: Outbox[PayloadType]) -> None:
        self.policy = policy
        self.observe = policy.observe
        self.queue: FairQueue[PayloadType] = FairQueue(room)
        self.instances: Instances[PayloadType] = Instances()
        self.outcomes: Outcomes[PayloadType] = Outcomes(policy, outbox)
        self._outbox = outbox
        self._bindings: Bindings[PayloadType] = Bindings()

    @property
    def keeps_all(self) -> bool:
        """Whether its mode is `complete`."""
        return self.policy.mode == "complete"

    @property
    def is_full(self) -> bool:
        """Whether a frame that comes now would push another one out."""
        return len(self.queue) >= self._limit

    # ---- frames

    def offer(self, origin: str, header: Header, payload: PayloadType, size: int, now_ns: int) -> None:
        """Take a frame in."""
        policy = self.policy
        is_complete = policy.mode == "complete"
        expires_ns = expiry_ns(header, None if is_complete else policy.max_age_ns, now_ns)
        account = self.outcomes.ledger.receive(origin, header.tag)
        item = Item(origin, header, payload, size, account, now_ns, expires_ns, is_complete and header.hops == 0)
        if expires_ns <= now_ns:
            self.outcomes.drop(item, "stale")
        elif policy.order == "none" and not self.queue and (instance := self.instances.most_free()) is not None:
            self._deliver(item, instance, now_ns)
        else:
            self.queue.push(item)
            self.pump(now_ns)

    def pump(self, now_ns: int) -> None:
        """Hand out what can be handed out, and keep the queue within its bound."""
        queue, bindings = self.queue, self._bindings
        while (item := queue.head()) is not None:
            instance = bindings.instance_of(item.origin) if bindings else None
            if instance is None:
                instance = self.instances.most_free()
            if instance is None:
                break
            if item.expires_ns <= now_ns:
                self.outcomes.drop(queue.discard(), "stale")
            elif instance.free <= 0:
                queue.park(instance)
            else:
                self._deliver(queue.pop(), instance, now_ns)
        while len(queue) > self._limit:
            self.drop_waiting("overflow")

    def expire(self, now_ns: int) -> None:
        """Drop what waits and is not wanted any more."""
        for item in self.queue.take_expired(now_ns):
            self.outcomes.drop(item, "stale")

    def drop_waiting(self, reason: str) -> None:
        """Drop the oldest frame of the origin with most waiting. Only when one waits."""
        self.outcomes.drop(self.queue.pop_oldest_of_longest(), reason)

    # ---- instances

    def join(self, request: JoinRequest, now_ns: int) -> None:
        """Admit an instance."""
        self.instances.add(
            Instance(request.instance, request.credits, now_ns, pid=request.pid, concurrency=request.concurrency)
        )
        self.pump(now_ns)

    def leave(self, name: str, reason: str) -> None:
        """Forget an instance. Call `pump` afterwards to give its frames to others."""
        instance = self.instances.remove(name)
        self._give_back(instance, self._with_those_at_hand(instance), reason)

    def report(self, report: Report, now_ns: int) -> bool:
        """Take in what one of its instances says. False: it should join anew."""
        instance = self.instances[report.instance]
        instance.last_report_ns = now_ns
        busy_ns = report.busy_ms * 1_000_000
        if instance.is_stuck:
            # Once it goes on, it must forget what was taken from it.
            return busy_ns > self.policy.timeout_ns
        for done in report.done:
            item = self.instances.take_back(instance, done.delivery)
            if item is not None:
                self._bindings.unbind(item.origin)
                self.outcomes.settle(item, done)
        self._recover_lost(instance, report.holding, now_ns)
        if busy_ns > self.policy.timeout_ns:
            self._fence(instance, busy_ns, now_ns)
        self.queue.unpark(instance)
        self.pump(now_ns)
        return True

    def snapshot(self, *, sources: bool = True) -> dict[str, Any]:
        """Its part of the ledger as plain data."""
        ledger = self.outcomes.ledger
        return {
            "observe": [format_tag(tag) for tag in sorted(self.observe)],
            "mode": self.policy.mode,
            **ledger.total.snapshot(),
            "queued": len(self.queue),
            "in_flight": self.instances.in_flight(),
            "redelivered": ledger.redelivered,
            "instances": len(self.instances),
            "stuck": sum(instance.is_stuck for instance in self.instances),
            "handler_ms_mean": ledger.handler_ms_mean,
            **({"sources": ledger.sources()} if sources else {}),
        }

    # ---- inside

    @property
    def _limit(self) -> int:
        queue = self.policy.queue
        return max(queue, COMPLETE_QUEUE_FRAMES) if self.policy.mode == "complete" else queue

    def _deliver(self, item: Item[PayloadType], instance: Instance[PayloadType], now_ns: int) -> None:
        outbox = self._outbox
        if item.deliveries:
            self.outcomes.ledger.redelivered += 1
        item.deliveries += 1
        number = outbox.next_number
        outbox.next_number = number + 1
        self.instances.hand_out(instance, number, item, now_ns)
        is_ordered = self.policy.order == "source"
        after = self._bindings.bind(item.origin, instance, number) if is_ordered else 0
        outbox.deliveries.append(
            Delivery(instance.name, number, item, after, is_ordered, item.sent_ns(now_ns), item.remaining_us(now_ns))
        )

    def _recover_lost(self, instance: Instance[PayloadType], holding: Iterable[int], now_ns: int) -> None:
        for _, sent_ns in instance.in_flight.values():
            if now_ns - sent_ns <= TRANSIT_TIMEOUT_NS:
                return  # the oldest one; the others were sent later
            break
        held = set(holding)
        missing = {number: entry for number, entry in instance.in_flight.items() if number not in held}
        lost = {number for number, (_, sent_ns) in missing.items() if now_ns - sent_ns > TRANSIT_TIMEOUT_NS}
        # Where order matters, the instance handles none of those that followed a lost one of the same source.
        origins = {missing[number][0].origin for number in lost} if self.policy.order == "source" else set()
        taken = {number: item for number, (item, _) in missing.items() if number in lost or item.origin in origins}
        for number in taken:
            self.instances.take_back(instance, number)
        self._give_back(instance, [(item, number in lost) for number, item in taken.items()], "lost-in-transit")

    def _fence(self, instance: Instance[PayloadType], busy_ns: int, now_ns: int) -> None:
        """Take everything from an instance that does not get on, and give it nothing more."""
        entries = self._with_those_at_hand(instance, before_ns=now_ns - busy_ns)
        self.instances.bench(instance)
        self._give_back(instance, entries, "instance-stuck")
        self._outbox.stuck.append(StuckInstance(self.policy.name, instance.name, instance.pid))

    @staticmethod
    def _with_those_at_hand(
        instance: Instance[PayloadType], *, before_ns: int = NEVER_NS
    ) -> list[tuple[Item[PayloadType], bool]]:
        """What an instance holds, oldest first, with whether it had it at hand.

        It handles frames in order, so only the first ones can be what it died of or hangs on, and only those that it
        was given before it began, at `before_ns`. The others were not tried.
        """
        return [
            (item, position < instance.concurrency and sent_ns <= before_ns)
            for position, (item, sent_ns) in enumerate(instance.in_flight.values())
        ]

    def _give_back(
        self, instance: Instance[PayloadType], entries: list[tuple[Item[PayloadType], bool]], reason: str
    ) -> None:
        """`instance` will not finish its frames: queue them again at the front, or let them go.

        Args:
            entries: oldest first, with whether that counts as a try.
        """
        for item, _ in entries:
            self._bindings.unbind(item.origin)
        self.queue.unpark(instance)
        for item, was_tried in reversed(entries):
            item.tries += was_tried
            if item.tries <= self.policy.retries:
                self.queue.push_front(item)
            else:
                self.outcomes.drop(item, reason)
