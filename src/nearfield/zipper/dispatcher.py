"""The dispatcher's decisions: which instance gets which frame. No I/O, no clock of its own, no threads.

Events go in as method calls with the present time; `take_deliveries` and `take_acks` give what is to be sent. The
caller calls from one thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from nearfield.frame import MAX_TAG, RESERVED_TAGS, Header, format_tag, is_name
from nearfield.frame.control import MAX_CREDITS, Ack, Done, JoinRequest, Report
from nearfield.zipper.ledger import GroupLedger, IngressLedger
from nearfield.zipper.streams import Streams

# A frame that passed this many functions is taken to run in a circle.
MAX_HOPS = 16
# A delivery that the instance has not seen this long after it was sent got lost on the way.
TRANSIT_TIMEOUT_NS = 1_000_000_000
# Instances report twice a second; one that misses this many seconds of reports is given up.
SILENCE_TIMEOUT_NS = 5_000_000_000
# In `complete` mode nothing is dropped for room until so many frames wait. Sources wait for acknowledgements, so only
# hundreds of them, or functions that emit faster than the next one takes, get there.
COMPLETE_QUEUE_FRAMES = 8_192

PayloadType = TypeVar("PayloadType")


@dataclass(frozen=True, slots=True)
class GroupPolicy:
    """What the workflow says about a function's frames.

    Attributes:
        observe: tags; empty: those that the first instance names.
        mode: "live" drops the oldest when `queue` is full, "complete" keeps all.
        queue: frames waiting at most (live).
        max_age_ns: frames older than this are dropped before they are dispatched (live); None: no limit.
        retries: how many more instances may try a frame when the first is lost.
    """

    name: str
    observe: frozenset[int] = frozenset()
    mode: Literal["live", "complete"] = "live"
    queue: int = 8
    max_age_ns: int | None = None
    retries: int = 2


@dataclass(slots=True, eq=False)
class Item(Generic[PayloadType]):
    """One frame on its way through one group."""

    origin: str
    header: Header
    payload: PayloadType
    received_ns: int
    attempts: int = 0

    def age_ns(self, now_ns: int) -> int:
        """Time at this zipper, plus the time between capture and sending by the source's own clock.

        Free of the difference between the clocks of two machines; leaves out the time on the way.
        """
        return now_ns - self.received_ns + max(0, self.header.sent_ns - self.header.captured_ns)


@dataclass(slots=True, eq=False)
class Instance(Generic[PayloadType]):
    """One worker as the dispatcher sees it."""

    name: str
    credits: int
    last_report_ns: int
    in_flight: dict[int, tuple[Item[PayloadType], int]] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return self.credits - len(self.in_flight)


@dataclass(slots=True, eq=False)
class Group(Generic[PayloadType]):
    """All instances of one function, and the frames that wait for one of them."""

    policy: GroupPolicy
    observe: frozenset[int]
    queue: deque[Item[PayloadType]] = field(default_factory=deque)
    instances: dict[str, Instance[PayloadType]] = field(default_factory=dict)
    ledger: GroupLedger = field(default_factory=GroupLedger)

    def in_flight(self) -> int:
        return sum(len(instance.in_flight) for instance in self.instances.values())

    def most_free(self) -> Instance[PayloadType] | None:
        """The instance with most credit left; the one that joined first when equal. None when all are busy."""
        best = max(self.instances.values(), key=lambda instance: instance.free, default=None)
        return best if best is not None and best.free > 0 else None


@dataclass(frozen=True, slots=True)
class Delivery(Generic[PayloadType]):
    """Send `item` to `instance`, numbered `number`."""

    instance: str
    number: int
    item: Item[PayloadType]


class Dispatcher(Generic[PayloadType]):
    """Routes frames of one zipper to the instances of its groups.

    Args:
        policies: one for each function that may join.
        epoch: identifies this incarnation of the zipper.
    """

    def __init__(self, policies: Iterable[GroupPolicy], epoch: int) -> None:
        self.epoch = epoch
        self.ingress = IngressLedger()
        self._groups: dict[str, Group[PayloadType]] = {p.name: Group(p, p.observe) for p in policies}
        self._by_tag: dict[int, list[Group[PayloadType]]] = {}
        self._group_of_instance: dict[str, Group[PayloadType]] = {}
        self._streams = Streams()
        self._deliveries: list[Delivery[PayloadType]] = []
        # One count for all: an instance that joins again must never see a number a second time.
        self._next_delivery = 1
        self._index_tags()

    # ---- what goes out

    def take_deliveries(self) -> list[Delivery[PayloadType]]:
        """Deliveries decided since the last call, in order."""
        deliveries, self._deliveries = self._deliveries, []
        return deliveries

    def take_acks(self) -> list[tuple[str, Ack]]:
        """(origin, acknowledgement) for each source that has news since the last call."""
        return [
            (stream.origin, Ack(stream=stream.stream, epoch=self.epoch, released=stream.acknowledge()))
            for stream in self._streams.take_unacknowledged()
        ]

    @property
    def observed(self) -> list[int]:
        """Tags that some group observes, ascending."""
        return sorted(self._by_tag)

    def tags_of(self, function: str) -> list[int]:
        """Tags that a group observes, ascending."""
        return sorted(self._groups[function].observe)

    def snapshot(self) -> dict[str, Any]:
        """The ledger as plain data."""
        return {
            "epoch": self.epoch,
            "ingress": self.ingress.snapshot(),
            "groups": {
                name: {
                    "observe": [format_tag(tag) for tag in sorted(group.observe)],
                    "mode": group.policy.mode,
                    **group.ledger.snapshot(len(group.queue), group.in_flight(), len(group.instances)),
                }
                for name, group in self._groups.items()
            },
        }

    # ---- instances

    def join(self, request: JoinRequest, now_ns: int) -> str | None:
        """Admit an instance. Returns None, or why it is refused."""
        group = self._groups.get(request.function)
        if group is None:
            known = ", ".join(f"`{name}`" for name in self._groups) or "none"
            return f"function `{request.function}` is not in this zipper's workflow; listed there: {known}"
        if not is_name(request.instance):
            return f"instance name: got {request.instance[:80]!r}, expected a name, which becomes part of a key"
        asked = frozenset(request.observe)
        if invalid := [tag for tag in asked if not 0 <= tag <= MAX_TAG]:
            return f"observe: got {invalid[0]}, expected tags from 0 to {MAX_TAG}"
        if not (asked or group.observe):
            return f"function `{request.function}` observes no tag: neither the workflow nor the function names one"
        if asked and group.observe and asked != group.observe:
            return (
                f"function `{request.function}` observes {_tags(group.observe)} at this zipper, "
                f"but the instance asks for {_tags(asked)}"
            )
        if reserved := [tag for tag in asked if tag in RESERVED_TAGS]:
            return f"function `{request.function}` asks for reserved tags {_tags(reserved)}"
        if not 1 <= request.credits <= MAX_CREDITS:
            return f"credits: got {request.credits}, expected 1 to {MAX_CREDITS}"
        self.leave(request.instance, "replaced")
        if asked and not group.observe:
            group.observe = asked
            self._index_tags()
        group.instances[request.instance] = Instance(request.instance, request.credits, now_ns)
        self._group_of_instance[request.instance] = group
        self._pump(group, now_ns)
        return None

    def leave(self, name: str, reason: str) -> bool:
        """Forget an instance; what it held is tried elsewhere or dropped, as its policy says. False: not known.

        Call `tick` or `pump_all` afterwards to give the frames to others.
        """
        group = self._group_of_instance.pop(name, None)
        if group is None:
            return False
        instance = group.instances.pop(name)
        self._give_back(group, [item for item, _ in instance.in_flight.values()], reason)
        return True

    def report(self, report: Report, now_ns: int) -> bool:
        """Take in what an instance says. False: it is not known here and must join anew."""
        group = self._group_of_instance.get(report.instance)
        if group is None or report.epoch != self.epoch:
            return False
        instance = group.instances[report.instance]
        instance.last_report_ns = now_ns
        for done in report.done:
            entry = instance.in_flight.pop(done.delivery, None)
            if entry is not None:
                self._settle(group, entry[0], done)
        if instance.in_flight:
            self._recover_lost(group, instance, report, now_ns)
        self._pump(group, now_ns)
        return True

    # ---- frames

    def offer(self, origin: str, header: Header, payload: PayloadType, now_ns: int) -> None:
        """Take a frame in and queue it for each group that observes its tag."""
        groups = self._by_tag.get(header.tag)
        if groups is None:
            self.reject("unobserved")
            return
        if header.hops >= MAX_HOPS:
            self.reject("hops")
            return
        if header.hops == 0:
            stream = self._streams.of(origin, header.stream)
            if not stream.admit(header.sequence):
                self.ingress.duplicates += 1
                return
            stream.hold(header.sequence, sum(group.policy.mode == "complete" for group in groups))
        self.ingress.accepted += 1
        for group in groups:
            group.ledger.received += 1
            group.queue.append(Item(origin, header, payload, now_ns))
            self._pump(group, now_ns)

    def reject(self, reason: str) -> None:
        """Count a frame that reaches no group."""
        self.ingress.rejected[reason] += 1

    def tick(self, now_ns: int) -> list[str]:
        """Regular upkeep, about twice a second. Returns the instances given up because they fell silent."""
        silent = [
            instance.name
            for group in self._groups.values()
            for instance in group.instances.values()
            if now_ns - instance.last_report_ns > SILENCE_TIMEOUT_NS
        ]
        for name in silent:
            self.leave(name, "instance-silent")
        self.pump_all(now_ns)
        return silent

    def pump_all(self, now_ns: int) -> None:
        """Dispatch what can be dispatched."""
        for group in self._groups.values():
            self._pump(group, now_ns)

    # ---- inner decisions

    def _index_tags(self) -> None:
        self._by_tag = {}
        for group in self._groups.values():
            for tag in group.observe:
                self._by_tag.setdefault(tag, []).append(group)

    def _pump(self, group: Group[PayloadType], now_ns: int) -> None:
        limit = group.policy.queue if group.policy.mode == "live" else max(group.policy.queue, COMPLETE_QUEUE_FRAMES)
        while group.queue:
            if self._is_stale(group, group.queue[0], now_ns):
                self._drop(group, group.queue.popleft(), "stale")
            elif (instance := group.most_free()) is not None:
                self._deliver(group, group.queue.popleft(), instance, now_ns)
            elif len(group.queue) > limit:
                self._drop(group, group.queue.popleft(), "overflow")
            else:
                return

    def _deliver(
        self, group: Group[PayloadType], item: Item[PayloadType], instance: Instance[PayloadType], now_ns: int
    ) -> None:
        if item.attempts:
            group.ledger.redelivered += 1
        item.attempts += 1
        number = self._next_delivery
        self._next_delivery += 1
        instance.in_flight[number] = (item, now_ns)
        self._deliveries.append(Delivery(instance.name, number, item))

    def _is_stale(self, group: Group[PayloadType], item: Item[PayloadType], now_ns: int) -> bool:
        max_age_ns = group.policy.max_age_ns
        return group.policy.mode == "live" and max_age_ns is not None and item.age_ns(now_ns) > max_age_ns

    def _recover_lost(
        self, group: Group[PayloadType], instance: Instance[PayloadType], report: Report, now_ns: int
    ) -> None:
        holding = set(report.holding)
        lost = [
            number
            for number, (_, sent_ns) in instance.in_flight.items()
            if number not in holding and now_ns - sent_ns > TRANSIT_TIMEOUT_NS
        ]
        self._give_back(group, [instance.in_flight.pop(number)[0] for number in lost], "lost-in-transit")

    def _give_back(self, group: Group[PayloadType], items: Sequence[Item[PayloadType]], reason: str) -> None:
        """An instance will not finish `items`, oldest first: queue them again at the front, or let them go."""
        for item in reversed(items):
            if item.attempts <= group.policy.retries:
                group.queue.appendleft(item)
            else:
                self._drop(group, item, reason)

    def _settle(self, group: Group[PayloadType], item: Item[PayloadType], done: Done) -> None:
        if done.status == "completed":
            group.ledger.completed += 1
            group.ledger.handler_ns += done.handler_ns
        elif done.status == "failed":
            group.ledger.failed[done.reason] += 1
        else:
            group.ledger.dropped[done.reason] += 1
        self._release(group, item)

    def _drop(self, group: Group[PayloadType], item: Item[PayloadType], reason: str) -> None:
        group.ledger.dropped[reason] += 1
        self._release(group, item)

    def _release(self, group: Group[PayloadType], item: Item[PayloadType]) -> None:
        if group.policy.mode == "complete" and item.header.hops == 0:
            stream = self._streams.find(item.origin, item.header.stream)
            if stream is not None:
                stream.settle(item.header.sequence)


def _tags(tags: Iterable[int]) -> str:
    return ", ".join(format_tag(tag) for tag in sorted(tags)) or "none"
