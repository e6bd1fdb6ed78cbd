"""One function at one zipper: its instances, the frames that wait for them, and who gets which. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Generic

from nearfield.frame import Header, format_tag
from nearfield.frame.control import JoinRequest, Report
from nearfield.zipper.bindings import Bindings
from nearfield.zipper.fair_queue import FairQueue, Room, has_little
from nearfield.zipper.instances import Instance, Instances
from nearfield.zipper.item import NEVER_NS, Item, PayloadType, Ticket, expiry_ns
from nearfield.zipper.outbox import Delivery, Outbox, StuckInstance
from nearfield.zipper.outcomes import Outcomes
from nearfield.zipper.peer_links import PeerLinks
from nearfield.zipper.policy import GroupPolicy

# A delivery that the instance has not seen this long after it was sent got lost on the way.
TRANSIT_TIMEOUT_NS = 1_000_000_000
# Being lost on the way is no try, since nobody had begun; but what is lost so often will not get through.
MAX_LOSSES = 8
# In `complete` mode so many frames may wait. Sources wait for acknowledgements, so only hundreds of them, or functions
# that emit faster than the next one takes, get there.
COMPLETE_QUEUE_FRAMES = 65_536


class Group(Generic[PayloadType]):
    """All instances of one function.

    Attributes:
        observe: tags; empty until the first instance names them, when the workflow does not.
        peers: other zippers where the function runs too.
        expected: other tags, with which instances are admitted that will replace the present ones; empty: none.
        is_remote: it is not in this zipper's workflow, and runs elsewhere only.
    """

    def __init__(
        self, policy: GroupPolicy, room: Room, outbox: Outbox[PayloadType], *, is_remote: bool = False
    ) -> None:
        self.policy = policy
        self._is_ordered = policy.order == "source"
        self.observe = policy.observe
        self.expected: frozenset[int] = frozenset()
        self.queue: FairQueue[PayloadType] = FairQueue(room)
        self.instances: Instances[PayloadType] = Instances()
        self.peers: PeerLinks[PayloadType] = PeerLinks()
        self.is_remote = is_remote
        self.outcomes: Outcomes[PayloadType] = Outcomes(policy, outbox)
        self._outbox = outbox
        self._bindings: Bindings[PayloadType] = Bindings()

    @property
    def keeps_all(self) -> bool:
        """Whether its mode is `complete`."""
        return self.policy.mode == "complete"

    def has_room(self, origin: str) -> bool:
        """Whether another frame of an origin may wait, and push none out."""
        queue, limit = self.queue, self._limit
        count = len(queue)
        if 4 * count < 3 * limit:
            return True
        return count < limit and has_little(queue.waiting(origin), count, queue.origins)

    @property
    def can_work(self) -> bool:
        """Whether an instance here takes frames, now or later."""
        return any(instance.takes_frames for instance in self.instances)

    @property
    def is_idle(self) -> bool:
        """Whether no frame waits or is in flight."""
        return not self.queue and not self.in_flight()

    def in_flight(self) -> int:
        """Frames handed out, to instances here and to peers."""
        return self.instances.in_flight() + self.peers.in_flight()

    # ---- frames

    def offer(self, origin: str, header: Header, payload: PayloadType, size: int, now_ns: int) -> None:
        """Take a frame in that entered here."""
        policy = self.policy
        is_complete = policy.mode == "complete"
        expires_ns = expiry_ns(header, None if is_complete else policy.max_age_ns, now_ns)
        account = self.outcomes.ledger.receive(origin, header.tag)
        is_held = is_complete and header.hops == 0
        self._admit(Item(origin, header, payload, size, account, now_ns, None, expires_ns, is_held), now_ns)
        if is_complete and not is_held and len(self.queue) > self._limit:
            self.drop_waiting("overflow")

    def take_over(
        self,
        origin: str,
        header: Header,
        payload: PayloadType,
        size: int,
        ticket: Ticket,
        remaining_us: int,
        now_ns: int,
    ) -> None:
        """Take a frame in that a peer handed over."""
        ledger, policy = self.outcomes.ledger, self.policy
        expires_ns = expiry_ns(header, None if policy.mode == "complete" else policy.max_age_ns, now_ns)
        if remaining_us:
            expires_ns = min(expires_ns, now_ns + remaining_us * 1_000)
        account = ledger.receive(origin, header.tag)
        ledger.from_peers += 1
        self._admit(Item(origin, header, payload, size, account, now_ns, ticket, expires_ns), now_ns)

    def _admit(self, item: Item[PayloadType], now_ns: int) -> None:
        if item.expires_ns <= now_ns:
            self.outcomes.drop(item, "stale")
        elif not self._is_ordered and not self.queue and (instance := self.instances.most_free()) is not None:
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
            if instance is None and self.peers:
                instance = self.peers.nearest()
                if instance is not None and item.via is not None:
                    queue.park(self.instances)  # never handed on twice
                    continue
            if instance is None:
                break
            if item.expires_ns <= now_ns:
                self.outcomes.drop(queue.discard(), "stale")
            elif instance.free <= 0:
                queue.park(instance)
            else:
                self._deliver(queue.pop(), instance, now_ns)
        # What was given back to a function that keeps all may exceed the bound.
        while len(queue) > self._limit and not self.keeps_all:
            self.drop_waiting("overflow")

    def expire(self, now_ns: int) -> None:
        """Drop what waits and is not wanted any more."""
        for item in self.queue.take_expired(now_ns):
            self.outcomes.drop(item, "stale")

    def drop_waiting(self, reason: str) -> None:
        """Drop the oldest frame of the origin with most waiting. Only when one waits."""
        self.outcomes.drop(self.queue.pop_oldest_of_longest(), reason)

    def send_back(self) -> None:
        """What peers handed over and nobody here can handle goes back to them."""
        for item in self.queue.take(lambda item: item.via is not None) if self.queue else []:
            self.outcomes.drop(item, "returned")

    def clear(self, reason: str) -> None:
        """Drop all that waits and is in flight, and forget the instances."""
        for instance in [*self.instances, *self.peers]:
            for item, _ in instance.in_flight.values():
                self.outcomes.drop(item, reason)
        for item in self.queue.take(lambda item: True):
            self.outcomes.drop(item, reason)
        self.instances = Instances()
        self.peers = PeerLinks()
        self._bindings = Bindings()

    def set_policy(self, policy: GroupPolicy, *, is_remote: bool = False) -> None:
        """Treat frames in another way from now on."""
        self.policy = self.outcomes.policy = policy
        self.observe = policy.observe or self.observe
        self.expected = frozenset()
        self._is_ordered = policy.order == "source"
        self.is_remote = self.is_remote and is_remote

    # ---- peers

    def lose_peer(self, name: str) -> None:
        """A peer is gone. Call `pump` afterwards to give what it had to others."""
        link = self.peers.get(name)
        if link is not None:
            self.peers.remove(name)
            # It was not tried: no frame ends a zipper.
            self._give_back(link, [(item, False) for item, _ in link.in_flight.values()], "peer-lost")

    def report_of_peer(self, link: Instance[PayloadType], report: Report, now_ns: int) -> None:
        """Take in what a peer says that holds frames of this group."""
        refused: dict[int, Item[PayloadType]] = {}
        for done in report.done:
            if done.delivery not in link.in_flight:
                continue
            item = self.peers.take_back(link, done.delivery)
            if done.status == "dropped" and self.outcomes.is_refusal(done.reason):
                refused[done.delivery] = item
            else:
                self._bindings.unbind(item)
                self.outcomes.settle(item, done)
        if refused:
            self._take_refused(link, refused)
        if link.in_flight:
            self._recover_lost(link, report.holding, now_ns)
        if self.queue:
            self.queue.unpark(link)
            self.pump(now_ns)

    # ---- instances

    def join(self, request: JoinRequest, now_ns: int) -> None:
        """Admit an instance."""
        self.instances.add(
            Instance(
                request.instance,
                request.credits,
                now_ns,
                pid=request.pid,
                concurrency=request.concurrency,
                least_credits=request.credits,
                most_credits=request.most_credits,
            )
        )
        self.queue.unpark(self.instances)
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
        self._settle(instance, report)
        if instance.in_flight:
            self._recover_lost(instance, report.holding, now_ns)
        if busy_ns > self.policy.timeout_ns:
            self._fence(instance, busy_ns, now_ns)
        if self.queue:
            self.queue.unpark(instance)
            self.queue.unpark(self.instances)
            self.pump(now_ns)
        return True

    def retire(self, report: Report, now_ns: int) -> bool:
        """One of its instances leaves, and finishes what it holds by this report; the rest goes to others at once.

        What it had not begun counts as never handed out. With `order: source`, frames of a source that it still has
        one of wait for that.

        Returns:
            Whether it still holds any. Without one it is forgotten.
        """
        instance = self.instances[report.instance]
        instance.last_report_ns = now_ns
        self.instances.retire(instance)
        self._settle(instance, report)
        kept = set(report.holding)
        recalled = [
            self.instances.take_back(instance, number) for number in [*instance.in_flight] if number not in kept
        ]
        for item in recalled:
            item.deliveries -= 1
        self._give_back(instance, [(item, False) for item in recalled], "")
        if not instance.in_flight:
            self.instances.remove(instance.name)
        self.pump(now_ns)
        return bool(instance.in_flight)

    def snapshot(self, *, sources: bool = True) -> dict[str, Any]:
        """Its part of the ledger as plain data."""
        ledger = self.outcomes.ledger
        return {
            "observe": [format_tag(tag) for tag in sorted(self.observe)],
            "mode": self.policy.mode,
            **ledger.total.snapshot(),
            "queued": len(self.queue),
            "in_flight": self.in_flight(),
            "redelivered": ledger.redelivered,
            "forwarded": ledger.forwarded,
            "from_peers": ledger.from_peers,
            "instances": len(self.instances),
            "stuck": sum(instance.is_stuck for instance in self.instances),
            "leaving": sum(instance.is_leaving for instance in self.instances),
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
        if instance.is_peer:
            self.outcomes.ledger.forwarded += 1
            self.peers.hand_out(instance, number, item, now_ns)
        else:
            self.instances.hand_out(instance, number, item, now_ns)
        is_ordered = self._is_ordered
        after = self._bindings.bind(item, instance, number) if is_ordered else 0
        outbox.deliveries.append(
            Delivery(self.policy.name, instance.name, instance.is_peer, number, item, after, is_ordered, now_ns)
        )

    def _settle(self, instance: Instance[PayloadType], report: Report) -> None:
        """Count what an instance says is done, of what it holds."""
        for done in report.done:
            if done.delivery in instance.in_flight:
                item = self.instances.take_back(instance, done.delivery)
                self._bindings.unbind(item)
                self.outcomes.settle(item, done)
                if instance.most_credits and instance.takes_frames and done.status != "dropped":
                    self.instances.adapt(instance, done.handler_ns, item.size)

    def _take_refused(self, link: Instance[PayloadType], refused: dict[int, Item[PayloadType]]) -> None:
        """A peer has no place for some frames, nor for those that must follow them."""
        link.credits = 0  # until it speaks again
        if self._is_ordered:
            origins = {item.origin for item in refused.values()}
            for number in [number for number, (item, _) in link.in_flight.items() if item.origin in origins]:
                refused[number] = self.peers.take_back(link, number)
        self._give_back(link, [(item, False) for _, item in sorted(refused.items(), key=itemgetter(0))], "")

    def _recover_lost(self, instance: Instance[PayloadType], holding: Iterable[int], now_ns: int) -> None:
        if now_ns - instance.oldest_ns <= TRANSIT_TIMEOUT_NS:
            return
        held = set(holding)
        missing = {number: entry for number, entry in instance.in_flight.items() if number not in held}
        lost = {number for number, (_, sent_ns) in missing.items() if now_ns - sent_ns > TRANSIT_TIMEOUT_NS}
        # Where order matters, the instance handles none of those that followed a lost one of the same source.
        origins = {missing[number][0].origin for number in lost} if self._is_ordered else set()
        taken = {number: item for number, (item, _) in missing.items() if number in lost or item.origin in origins}
        for number in taken:
            (self.peers if instance.is_peer else self.instances).take_back(instance, number)
        for number in lost:
            taken[number].losses += 1
        self._give_back(instance, [(item, False) for item in taken.values()], "lost-in-transit")

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
            self._bindings.unbind(item)
        self.queue.unpark(instance)
        for item, was_tried in reversed(entries):
            item.tries += was_tried
            if item.tries <= self.policy.retries and item.losses <= MAX_LOSSES:
                self.queue.push_front(item)
            else:
                self.outcomes.drop(item, reason)
