"""The dispatcher's decisions: which instance gets which frame. No I/O, no clock of its own, no threads.

Events go in as method calls with the present time; `take_deliveries` and `take_acks` give what is to be sent. The
caller calls from one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic

from nearfield.frame import MAX_TAG, RESERVED_TAGS, Header, format_tag, is_name
from nearfield.frame.control import MAX_CREDITS, Ack, JoinRequest, Report
from nearfield.zipper.fair_queue import Room
from nearfield.zipper.group import Group
from nearfield.zipper.item import Item, PayloadType
from nearfield.zipper.ledger import IngressLedger
from nearfield.zipper.outbox import Burial, Delivery, Outbox, StuckInstance
from nearfield.zipper.policy import GroupPolicy
from nearfield.zipper.streams import Streams

# A frame that passed this many functions is taken to run in a circle.
MAX_HOPS = 16
# Instances report twice a second; one that misses this many seconds of reports is given up.
SILENCE_TIMEOUT_NS = 5_000_000_000
# What may wait in all queues together, unless the workflow says otherwise.
QUEUE_BYTES = 256 * 2**20


class Dispatcher(Generic[PayloadType]):
    """Routes frames of one zipper to the instances of its groups.

    Args:
        policies: one for each function that may join.
        epoch: identifies this incarnation of the zipper.
        queue_bytes: of the payloads that wait, in all groups together.
    """

    def __init__(self, policies: Iterable[GroupPolicy], epoch: int, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self.epoch = epoch
        self.ingress = IngressLedger()
        self._streams = Streams()
        self._room = Room(queue_bytes)
        self._outbox: Outbox[PayloadType] = Outbox(self._release)
        self._groups: dict[str, Group[PayloadType]] = {p.name: Group(p, self._room, self._outbox) for p in policies}
        self._by_tag: dict[int, list[Group[PayloadType]]] = {}
        self._group_of_instance: dict[str, Group[PayloadType]] = {}
        self._index_tags()

    # ---- what goes out

    def take_deliveries(self) -> list[Delivery[PayloadType]]:
        """Deliveries decided since the last call, in order."""
        deliveries, self._outbox.deliveries = self._outbox.deliveries, []
        return deliveries

    def take_burials(self) -> list[Burial[PayloadType]]:
        """Dead letters to publish since the last call, in order."""
        burials, self._outbox.burials = self._outbox.burials, []
        return burials

    def take_stuck(self) -> list[StuckInstance]:
        """Instances that were found to be stuck since the last call."""
        stuck, self._outbox.stuck = self._outbox.stuck, []
        return stuck

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

    def snapshot(self, *, sources: bool = True) -> dict[str, Any]:
        """The ledger as plain data.

        Args:
            sources: with an entry for each source and tag, of which there may be thousands.
        """
        return {
            "epoch": self.epoch,
            "ingress": self.ingress.snapshot(),
            "groups": {name: group.snapshot(sources=sources) for name, group in self._groups.items()},
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
        for name, count in (("credits", request.credits), ("concurrency", request.concurrency)):
            if not 1 <= count <= MAX_CREDITS:
                return f"{name}: got {count}, expected 1 to {MAX_CREDITS}"
        self.leave(request.instance, "replaced")
        if asked and not group.observe:
            group.observe = asked
            self._index_tags()
        self._group_of_instance[request.instance] = group
        group.join(request, now_ns)
        return None

    def leave(self, name: str, reason: str) -> bool:
        """Forget an instance; what it held is tried elsewhere or dropped, as its policy says. False: not known.

        Call `tick` or `pump_all` afterwards to give the frames to others.
        """
        group = self._group_of_instance.pop(name, None)
        if group is None:
            return False
        group.leave(name, reason)
        return True

    def report(self, report: Report, now_ns: int) -> bool:
        """Take in what an instance says. False: it is not known here and must join anew."""
        group = self._group_of_instance.get(report.instance)
        if group is None or report.epoch != self.epoch:
            return False
        if group.report(report, now_ns):
            return True
        self.leave(report.instance, "replaced")
        return False

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
        size = len(payload)
        if header.hops == 0:
            stream = self._streams.of(origin, header.stream)
            if not stream.is_new(header.sequence):
                self.ingress.duplicates += 1
                return
            keepers = sum(group.keeps_all for group in groups)
            if keepers and self._is_full(groups, size):
                self.reject("overflow")
                return
            stream.admit(header.sequence, keepers)
        self.ingress.accepted += 1
        for group in groups:
            group.offer(origin, header, payload, size, now_ns)
        self._make_room()

    def reject(self, reason: str) -> None:
        """Count a frame that reaches no group."""
        self.ingress.rejected[reason] += 1

    def tick(self, now_ns: int) -> list[str]:
        """Regular upkeep, about twice a second. Returns the instances given up because they fell silent."""
        silent = [
            instance.name
            for group in self._groups.values()
            for instance in group.instances
            if now_ns - instance.last_report_ns > SILENCE_TIMEOUT_NS
        ]
        for name in silent:
            self.leave(name, "instance-silent")
        for group in self._groups.values():
            group.expire(now_ns)
        self.pump_all(now_ns)
        return silent

    def pump_all(self, now_ns: int) -> None:
        """Dispatch what can be dispatched."""
        for group in self._groups.values():
            group.pump(now_ns)

    # ---- inner decisions

    def _index_tags(self) -> None:
        self._by_tag = {}
        for group in self._groups.values():
            for tag in group.observe:
                self._by_tag.setdefault(tag, []).append(group)

    def _is_full(self, groups: Sequence[Group[PayloadType]], size: int) -> bool:
        """Whether a frame must be refused, since a group that keeps all has no room. Its source sends it again."""
        if any(group.keeps_all and group.is_full for group in groups):
            return True
        return not self._room.fits(size) and self._droppable() is None

    def _droppable(self) -> Group[PayloadType] | None:
        """The live group with most bytes waiting."""
        live = (group for group in self._groups.values() if not group.keeps_all and group.queue)
        return max(live, key=lambda group: group.queue.size_bytes, default=None)

    def _make_room(self) -> None:
        """Keep the bound on bytes: the largest queue gives way, of `live` functions before those that keep all."""
        while self._room.is_exceeded:
            group = self._droppable() or max(self._groups.values(), key=lambda group: group.queue.size_bytes)
            group.drop_waiting("overflow")

    def _release(self, item: Item[PayloadType]) -> None:
        stream = self._streams.find(item.origin, item.header.stream)
        if stream is not None:
            stream.settle(item.header.sequence)


def _tags(tags: Iterable[int]) -> str:
    return ", ".join(format_tag(tag) for tag in sorted(tags)) or "none"
