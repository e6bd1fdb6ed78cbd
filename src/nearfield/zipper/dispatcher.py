"""The dispatcher's decisions: which instance gets which frame. No I/O, no clock of its own, no threads.

Events go in as method calls with the present time; the `take_` methods give what is to be sent. The caller calls from
one thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Generic

from nearfield.frame import Header
from nearfield.frame.control import Ack, JoinRequest, Report
from nearfield.zipper.admission import refusal
from nearfield.zipper.fair_queue import Room
from nearfield.zipper.group import Group
from nearfield.zipper.groups import Groups
from nearfield.zipper.item import Item, PayloadType
from nearfield.zipper.ledger import IngressLedger
from nearfield.zipper.neighbours import Neighbours
from nearfield.zipper.outbox import Burial, Delivery, Outbox, StuckInstance
from nearfield.zipper.policy import GroupPolicy
from nearfield.zipper.streams import Streams

# A frame that passed this many functions is taken to run in a circle.
MAX_HOPS = 16
# Instances report twice a second; one that misses this many seconds of reports is given up.
SILENCE_TIMEOUT_NS = 5_000_000_000
# Of one function at one zipper.
MAX_INSTANCES = 1_024
# What may wait in all queues together, unless the workflow says otherwise.
QUEUE_BYTES = 256 * 2**20


class Dispatcher(Generic[PayloadType]):
    """Routes frames of one zipper to the instances of its groups.

    Args:
        policies: one for each function that may join.
        epoch: identifies this incarnation of the zipper.
        name: of the zipper, for its peers.
        queue_bytes: of the payloads that wait, in all groups together.

    Attributes:
        ingress: counts frames that enter here.
        neighbours: decisions about other zippers.
    """

    def __init__(
        self, policies: Iterable[GroupPolicy], epoch: int, *, name: str = "", queue_bytes: int = QUEUE_BYTES
    ) -> None:
        self.epoch = epoch
        self.ingress = IngressLedger()
        self._streams = Streams()
        self._room = Room(queue_bytes)
        self._outbox: Outbox[PayloadType] = Outbox(self._release)
        self._groups: Groups[PayloadType] = Groups(policies, self._room, self._outbox)
        self._group_of_instance: dict[str, Group[PayloadType]] = {}
        self.neighbours: Neighbours[PayloadType] = Neighbours(name, epoch, self._groups)
        self._outbox.finish = self.neighbours.peers.finish

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

    def take_acks(self, now_ns: int) -> list[tuple[str, Ack]]:
        """(origin, acknowledgement) for each source that should be told now what is new since the last one."""
        return [
            (stream.origin, Ack(stream=stream.stream, epoch=self.epoch, released=stream.acknowledge()))
            for stream in self._streams.take_unacknowledged(now_ns)
        ]

    @property
    def acks_due_ns(self) -> int:
        """When `take_acks` has some though nothing else happens, monotonic; `NEVER_NS`: need not be called."""
        return self._streams.due_ns

    @property
    def routes_version(self) -> int:
        """Grows whenever `observed` may have changed."""
        return self._groups.version

    @property
    def observed(self) -> list[int]:
        """Tags that some group observes, ascending."""
        return sorted(self._groups.routes)

    @property
    def orders_tags(self) -> bool:
        """Whether frames of a source are to be offered in order even where their tags differ."""
        return self._groups.orders_tags

    def tags_of(self, function: str) -> list[int]:
        """Tags that a group observes, ascending."""
        return sorted(self._groups[function].observe)

    def policy_of(self, function: str) -> GroupPolicy:
        """How a group's frames are handled."""
        return self._groups[function].policy

    def snapshot(self, *, sources: bool = True) -> dict[str, Any]:
        """The ledger as plain data.

        Args:
            sources: with an entry for each source and tag, of which there may be thousands.
        """
        return {
            "epoch": self.epoch,
            "ingress": self.ingress.snapshot(),
            "groups": {group.policy.name: group.snapshot(sources=sources) for group in self._groups},
            "removed": {name: ledger.total.snapshot() for name, ledger in self._groups.past.items()},
        }

    # ---- functions

    def set_policies(self, policies: Iterable[GroupPolicy], now_ns: int) -> None:
        """The functions of the workflow from now on.

        Those that are new are added, those that are gone removed. What waits and what is in flight of the others is
        kept, and treated as their new policies say.
        """
        wanted = {policy.name: policy for policy in policies}
        for name in [group.policy.name for group in self._groups if not group.is_remote]:
            if name not in wanted:
                self.remove_group(name)
        for policy in wanted.values():
            self.add_group(policy, now_ns)

    def add_group(self, policy: GroupPolicy, now_ns: int) -> None:
        """A function that may join, or another policy for one."""
        group = self._groups.get(policy.name)
        if group is None:
            self._groups.add(policy)
        else:
            group.set_policy(policy)
            group.pump(now_ns)
        self._groups.index()

    def expect(self, name: str, observe: frozenset[int]) -> bool:
        """Admit instances of a function that ask for these tags, as those it will observe; it gets no others yet.

        The next `set_policies` or `add_group` ends this, and so do no tags. False: there is no such function.
        """
        group = self._groups.get(name)
        if group is None or group.is_remote:
            return False
        group.expected = observe
        return True

    def pids_of(self, name: str) -> set[int]:
        """Processes of the instances of a function that take frames."""
        group = self._groups.get(name)
        return set() if group is None else {instance.pid for instance in group.instances if instance.takes_frames}

    def remove_group(self, name: str) -> bool:
        """Forget a function with its instances. False: there is none.

        What waits and what is in flight is dropped, counted as "removed".
        """
        group = self._groups.get(name)
        if group is None or group.is_remote:
            return False
        for instance in [instance.name for instance in group.instances]:
            self._group_of_instance.pop(instance)
        group.clear("removed")
        self._groups.remove(name)
        self._groups.index()
        return True

    # ---- instances

    def join(self, request: JoinRequest, now_ns: int) -> str | None:
        """Admit an instance. Returns None, or why it is refused."""
        group = self._groups.get(request.function)
        if group is not None and group.is_remote:
            group = None
        known = [group.policy.name for group in self._groups if not group.is_remote]
        observed = None if group is None else group.observe
        if group is not None and group.expected and group.expected == frozenset(request.observe):
            observed = group.expected
        if why := refusal(request, observed, known):
            return why
        assert group is not None
        if len(group.instances) >= MAX_INSTANCES and request.instance not in self._group_of_instance:
            return f"function `{request.function}` has {MAX_INSTANCES} instances, and takes no more"
        self.leave(request.instance, "replaced")
        if not group.observe:
            group.observe = frozenset(request.observe)
            self._groups.index()
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

    def retire(self, report: Report, now_ns: int) -> bool:
        """An instance leaves: it finishes what it holds by this report, and gets nothing more. False: not known here.

        Not a loss: what it had not begun goes to others without counting as tried.
        """
        group = self._group_of_instance.get(report.instance)
        if group is None or report.epoch != self.epoch:
            return False
        if not group.retire(report, now_ns):
            del self._group_of_instance[report.instance]
        return True

    # ---- frames

    def offer(self, origin: str, header: Header, payload: PayloadType, now_ns: int) -> None:
        """Take a frame in and queue it for each group that observes its tag."""
        route = self._groups.routes.get(header.tag)
        if route is None:
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
            if route.keepers and self._is_full(route.keepers, origin, size):
                self.reject("overflow")
                return
            stream.admit(header.sequence, len(route.keepers))
        self.ingress.accepted += 1
        for group in route.groups:
            group.offer(origin, header, payload, size, now_ns)
        if self._room.used_bytes > self._room.limit_bytes:
            self._make_room(may_take_kept=header.hops > 0 and bool(route.keepers))

    def may_emit(self, function: str, tag: int) -> bool:
        """Whether a function declares this tag. One that is not known here declares nothing, and is not stopped."""
        group = self._groups.get(function)
        return group is None or not group.policy.emit or tag in group.policy.emit

    def reject(self, reason: str, frames: int = 1) -> None:
        """Count frames that reach no group."""
        self.ingress.rejected[reason] += frames

    def tick(self, now_ns: int) -> list[str]:
        """Regular upkeep, about twice a second. Returns the instances given up because they fell silent."""
        silent = [
            instance.name
            for group in self._groups
            for instance in group.instances
            if now_ns - instance.last_report_ns > SILENCE_TIMEOUT_NS
        ]
        for name in silent:
            self.leave(name, "instance-silent")
        for group in self._groups:
            group.expire(now_ns)
        self._streams.tidy()
        self.pump_all(now_ns)
        return silent

    def pump_all(self, now_ns: int) -> None:
        """Dispatch what can be dispatched."""
        for group in self._groups:
            group.pump(now_ns)

    # ---- inside

    def _is_full(self, keepers: Sequence[Group[PayloadType]], origin: str, size: int) -> bool:
        """Whether a frame must be refused, since a group that keeps all has no room. Its source sends it again."""
        for group in keepers:
            if not group.has_room(origin):
                return True
        return not self._groups.have_room(origin, size) and self._droppable() is None

    def _droppable(self) -> Group[PayloadType] | None:
        """The live group with most bytes waiting."""
        live = (group for group in self._groups if not group.keeps_all and group.queue)
        return max(live, key=lambda group: group.queue.size_bytes, default=None)

    def _make_room(self, *, may_take_kept: bool) -> None:
        """Keep the bound on bytes: the largest queue gives way, of `live` functions before those that keep all.

        Args:
            may_take_kept: whether those that keep all give way too. Only for frames that functions emit, which cannot
                be refused; what an instance gave back may exceed the bound.
        """
        while self._room.is_exceeded:
            group = self._droppable()
            if group is None and may_take_kept:
                group = max(self._groups, key=lambda group: group.queue.size_bytes)
            if group is None:
                return
            group.drop_waiting("overflow")

    def _release(self, item: Item[PayloadType]) -> None:
        stream = self._streams.find(item.origin, item.header.stream)
        if stream is not None:
            stream.settle(item.header.sequence)
