"""One function at one zipper: its instances, the frames that wait for them, and what became of the others. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic

from nearfield.frame import Header, format_tag
from nearfield.frame.control import Done, Report
from nearfield.zipper.fair_queue import FairQueue, Room
from nearfield.zipper.instances import Instance, Instances
from nearfield.zipper.item import Item, PayloadType, expiry_ns
from nearfield.zipper.ledger import GroupLedger, Reasons
from nearfield.zipper.policy import GroupPolicy

# A delivery that the instance has not seen this long after it was sent got lost on the way.
TRANSIT_TIMEOUT_NS = 1_000_000_000
# In `complete` mode so many frames may wait. Sources wait for acknowledgements, so only hundreds of them, or functions
# that emit faster than the next one takes, get there.
COMPLETE_QUEUE_FRAMES = 8_192


@dataclass(slots=True, eq=False)
class Delivery(Generic[PayloadType]):
    """Send `item` to `instance`, numbered `number`.

    Attributes:
        sent_ns: the present moment on the time line of the frame's source, Unix epoch.
        remaining_us: until the frame is worthless; 0: no limit.
    """

    instance: str
    number: int
    item: Item[PayloadType]
    sent_ns: int
    remaining_us: int


class Outbox(Generic[PayloadType]):
    """What the groups of a zipper share: what they want to have sent, and the numbers of their deliveries.

    Attributes:
        reasons: that instances gave.
        release: called with each frame that its source need not keep any longer for the sake of one group.
    """

    def __init__(self, release: Callable[[Item[PayloadType]], None]) -> None:
        self.release = release
        self.reasons = Reasons()
        self.deliveries: list[Delivery[PayloadType]] = []
        # One count for all: an instance that joins again must never see a number a second time.
        self.next_number = 1


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
        self.ledger = GroupLedger()
        self._outbox = outbox

    @property
    def keeps_all(self) -> bool:
        """Whether its mode is `complete`."""
        return self.policy.mode == "complete"

    @property
    def is_full(self) -> bool:
        """Whether a frame that comes now would push another one out."""
        return len(self.queue) >= self._limit

    def offer(self, origin: str, header: Header, payload: PayloadType, size: int, now_ns: int) -> None:
        """Take a frame in."""
        policy = self.policy
        is_complete = policy.mode == "complete"
        expires_ns = expiry_ns(header, None if is_complete else policy.max_age_ns, now_ns)
        account = self.ledger.receive(origin, header.tag)
        item = Item(origin, header, payload, size, account, now_ns, expires_ns, is_complete and header.hops == 0)
        if expires_ns <= now_ns:
            self.drop(item, "stale")
        elif not self.queue and (instance := self.instances.most_free()) is not None:
            self._deliver(item, instance, now_ns)
        else:
            self.queue.push(item)
            self.pump(now_ns)

    def pump(self, now_ns: int) -> None:
        """Hand out what can be handed out, and keep the queue within its bound."""
        queue, instances = self.queue, self.instances
        while (instance := instances.most_free()) is not None and (item := queue.head()) is not None:
            if item.expires_ns <= now_ns:
                self.drop(queue.discard(), "stale")
            else:
                self._deliver(queue.pop(), instance, now_ns)
        while len(queue) > self._limit:
            self.drop_waiting("overflow")

    def expire(self, now_ns: int) -> None:
        """Drop what waits and is not wanted any more."""
        for item in self.queue.take_expired(now_ns):
            self.drop(item, "stale")

    def join(self, name: str, credits: int, now_ns: int) -> None:
        """Admit an instance."""
        self.instances.add(Instance(name, credits, now_ns))
        self.pump(now_ns)

    def leave(self, name: str, reason: str) -> None:
        """Forget an instance. Call `pump` afterwards to give its frames to others."""
        instance = self.instances.remove(name)
        self._give_back([item for item, _ in instance.in_flight.values()], reason)

    def report(self, report: Report, now_ns: int) -> None:
        """Take in what one of its instances says."""
        instance = self.instances[report.instance]
        instance.last_report_ns = now_ns
        for done in report.done:
            item = self.instances.take_back(instance, done.delivery)
            if item is not None:
                self._settle(item, done)
        self._recover_lost(instance, report.holding, now_ns)
        self.pump(now_ns)

    def snapshot(self, *, sources: bool = True) -> dict[str, Any]:
        """Its part of the ledger as plain data."""
        ledger = self.ledger
        return {
            "observe": [format_tag(tag) for tag in sorted(self.observe)],
            "mode": self.policy.mode,
            **ledger.total.snapshot(),
            "queued": len(self.queue),
            "in_flight": self.instances.in_flight(),
            "redelivered": ledger.redelivered,
            "instances": len(self.instances),
            "handler_ms_mean": ledger.handler_ms_mean,
            **({"sources": ledger.sources()} if sources else {}),
        }

    def drop_waiting(self, reason: str) -> None:
        """Drop the oldest frame of the origin with most waiting. Only when one waits."""
        self.drop(self.queue.pop_oldest_of_longest(), reason)

    def drop(self, item: Item[PayloadType], reason: str) -> None:
        """Count a frame that is neither queued nor in flight any more as dropped."""
        self.ledger.drop(item.account, reason)
        self._release(item)

    @property
    def _limit(self) -> int:
        queue = self.policy.queue
        return max(queue, COMPLETE_QUEUE_FRAMES) if self.policy.mode == "complete" else queue

    def _deliver(self, item: Item[PayloadType], instance: Instance[PayloadType], now_ns: int) -> None:
        outbox = self._outbox
        if item.deliveries:
            self.ledger.redelivered += 1
        item.deliveries += 1
        number = outbox.next_number
        outbox.next_number = number + 1
        self.instances.hand_out(instance, number, item, now_ns)
        outbox.deliveries.append(Delivery(instance.name, number, item, item.sent_ns(now_ns), item.remaining_us(now_ns)))

    def _recover_lost(self, instance: Instance[PayloadType], holding: Iterable[int], now_ns: int) -> None:
        for _, sent_ns in instance.in_flight.values():
            if now_ns - sent_ns <= TRANSIT_TIMEOUT_NS:
                return  # the oldest one; the others were sent later
            break
        held = set(holding)
        lost = [
            number
            for number, (_, sent_ns) in instance.in_flight.items()
            if number not in held and now_ns - sent_ns > TRANSIT_TIMEOUT_NS
        ]
        items = [item for number in lost if (item := self.instances.take_back(instance, number)) is not None]
        self._give_back(items, "lost-in-transit")

    def _give_back(self, items: list[Item[PayloadType]], reason: str) -> None:
        """An instance will not finish `items`, oldest first: queue them again at the front, or let them go."""
        for item in reversed(items):
            item.tries += 1
            if item.tries <= self.policy.retries:
                self.queue.push_front(item)
            else:
                self.drop(item, reason)

    def _settle(self, item: Item[PayloadType], done: Done) -> None:
        if done.status == "completed":
            self.ledger.complete(item.account, done.handler_ns)
        elif done.status == "failed":
            self.ledger.fail(item.account, self._outbox.reasons.of(done.reason))
        else:
            self.ledger.drop(item.account, self._outbox.reasons.of(done.reason))
        self._release(item)

    def _release(self, item: Item[PayloadType]) -> None:
        if item.is_held:
            self._outbox.release(item)
