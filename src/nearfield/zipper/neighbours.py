"""Handing frames to other zippers, and taking theirs: the dispatcher's decisions about its peers. Pure.

To a group a peer is an instance with as many credits as it says are free there, used when no instance here is. What a
peer handed over goes to instances here only, so that no frame is handed on twice.
"""

from __future__ import annotations

from typing import Any, Generic

from nearfield.frame import Header
from nearfield.frame.control import MAX_CREDITS, PROTOCOL_VERSION, Capacity, Done, GroupOffer, Report
from nearfield.zipper.group import Group
from nearfield.zipper.groups import Groups
from nearfield.zipper.instances import Instance
from nearfield.zipper.item import PayloadType, Ticket
from nearfield.zipper.peers import MAX_OFFERS, Peer, Peers
from nearfield.zipper.policy import GroupPolicy

# Functions of other zippers that this one's workflow does not name.
MAX_REMOTE_GROUPS = 256


class Neighbours(Generic[PayloadType]):
    """What one dispatcher knows of its peers. Called from its thread."""

    def __init__(self, name: str, epoch: int, groups: Groups[PayloadType]) -> None:
        self.peers = Peers(name, epoch)
        self._groups = groups

    # ---- what is said

    def capacity(self, now_ns: int) -> Capacity:
        """What to tell all peers."""
        groups = [group for group in self._groups if not group.is_remote and group.can_work]
        return Capacity(
            protocol=PROTOCOL_VERSION,
            zipper=self.peers.name,
            epoch=self.peers.epoch,
            stamp_ns=now_ns,
            heard=self.peers.heard(now_ns),
            groups={group.policy.name: offer_of(group) for group in groups[:MAX_OFFERS]},
        )

    def hear(self, capacity: Capacity, now_ns: int) -> bool:
        """Take in what a peer says. True: its sender was not known, or is another incarnation."""
        if capacity.protocol != PROTOCOL_VERSION or not self.peers.is_acceptable(capacity):
            return False
        known = self.peers.get(capacity.zipper)
        is_new = known is None or known.epoch != capacity.epoch
        if known is not None and is_new:
            self.lose(known.name, now_ns)
        self._link(self.peers.hear(capacity, now_ns), now_ns)
        return is_new

    def lose(self, name: str, now_ns: int) -> bool:
        """A peer is gone: what is with it is tried elsewhere. False: it was not known."""
        if self.peers.get(name) is None:
            return False
        self.peers.forget(name)
        for group in self._groups:
            group.lose_peer(name)
        for group in self._groups:
            group.pump(now_ns)
        return True

    def tick(self, now_ns: int) -> list[str]:
        """Regular upkeep. Returns the peers that were given up because they fell silent."""
        silent = self.peers.silent(now_ns)
        for name in silent:
            self.lose(name, now_ns)
        for group in list(self._groups):
            if not group.can_work:
                group.send_back()
            if group.is_remote and group.is_idle and not group.peers:
                self._groups.remove(group.policy.name)
                self._groups.index()
        return silent

    def snapshot(self, now_ns: int) -> dict[str, Any]:
        """Plain data, for the ledger."""
        return {
            peer.name: {
                "round_trip_ms": None if peer.round_trip_ns is None else round(peer.round_trip_ns / 1e6, 3),
                "heard_ms": (now_ns - peer.heard_ns) // 1_000_000,
                "in_flight": {
                    group.policy.name: len(link.in_flight)
                    for group in self._groups
                    if (link := group.peers.get(peer.name)) is not None
                },
                "free": {name: offer.free for name, offer in peer.offers.items()},
            }
            for peer in self.peers
        }

    # ---- frames

    def report(self, report: Report, now_ns: int) -> None:
        """Take in what a peer says of the frames that it was handed."""
        if report.epoch != self.peers.epoch:
            return
        for group in self._groups:
            link = group.peers.get(report.instance)
            if link is not None and link.in_flight:
                group.report_of_peer(link, report, now_ns)

    def take_over(
        self,
        function: str,
        ticket: Ticket,
        origin: str,
        header: Header,
        payload: PayloadType,
        *,
        remaining_us: int,
        after: int,
        now_ns: int,
    ) -> None:
        """Take a frame from a peer. One that cannot be handled here goes back to it."""
        if not self.peers.receive(ticket, after):
            return
        group = self._groups.get(function)
        size = len(payload)
        if group is None or group.is_remote or not group.can_work:
            self.peers.finish(ticket, Done(ticket.number, "dropped", "returned", 0), is_refused=True)
        elif group.keeps_all and not (group.has_room(origin) and self._groups.have_room(origin, size)):
            self.peers.finish(ticket, Done(ticket.number, "dropped", "overflow", 0), is_refused=True)
        else:
            group.take_over(origin, header, payload, size, ticket, remaining_us, now_ns)

    # ---- inside

    def _link(self, peer: Peer, now_ns: int) -> None:
        """Bring the credits that groups have with a peer up to date."""
        for name, offer in peer.offers.items():
            self._make_known(name, offer)
        for group in self._groups:
            offered = peer.offers.get(group.policy.name)
            link = group.peers.get(peer.name)
            if offered is None or not group.observe <= frozenset(offered.observe):
                if link is not None:
                    link.credits = 0
                    if not link.in_flight:
                        group.peers.remove(peer.name)
                continue
            if link is None:
                link = Instance(peer.name, 0, now_ns, is_peer=True)
                group.peers.add(link)
            # What the peer knows of is taken already there, and not part of what it says is free.
            known = sum(number <= peer.knows for number in link.in_flight)
            link.credits = min(max(offered.free, 0), MAX_CREDITS) + known
            link.round_trip_ns = peer.distance_ns
            group.queue.unpark(link)
            group.pump(now_ns)

    def _make_known(self, name: str, offer: GroupOffer) -> None:
        """A function that only other zippers have is a group here too, and so is one that has no tags yet."""
        group = self._groups.get(name)
        if group is None:
            if sum(group.is_remote for group in self._groups) < MAX_REMOTE_GROUPS:
                self._groups.add(policy_of(name, offer), is_remote=True)
                self._groups.index()
        elif group.is_remote and group.policy != policy_of(name, offer):
            group.set_policy(policy_of(name, offer), is_remote=True)
            self._groups.index()
        elif not group.observe:
            group.observe = frozenset(offer.observe)
            self._groups.index()


def offer_of(group: Group[PayloadType]) -> GroupOffer:
    """What a zipper says of one of its groups."""
    policy = group.policy
    return GroupOffer(
        free=max(0, sum(max(0, instance.free) for instance in group.instances) - len(group.queue)),
        observe=sorted(group.observe),
        mode=policy.mode,
        queue=policy.queue,
        max_age_ns=policy.max_age_ns,
        retries=policy.retries,
        order=policy.order,
        dead_letter=policy.dead_letter,
    )


def policy_of(name: str, offer: GroupOffer) -> GroupPolicy:
    """How to treat the frames of a function that only other zippers have."""
    return GroupPolicy(
        name=name,
        observe=frozenset(offer.observe),
        mode=offer.mode,
        queue=offer.queue,
        max_age_ns=offer.max_age_ns,
        retries=offer.retries,
        order=offer.order,
        dead_letter=offer.dead_letter,
    )
