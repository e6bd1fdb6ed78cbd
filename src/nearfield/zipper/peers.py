"""The other zippers of the mesh: what they said, how far they are, and what they handed over. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nearfield.frame import MAX_TAG, is_name
from nearfield.frame.control import Capacity, Done, GroupOffer, Heard, Report
from nearfield.zipper.inbound import Inbound
from nearfield.zipper.item import Ticket

# Peers speak four times a second; one that misses eight of them is given up.
PEER_SILENCE_NS = 2_000_000_000
MAX_PEERS = 64
MAX_OFFERS = 256
MAX_OFFERED_TAGS = 256
# Part of a new measurement in the mean of the round trip.
_ROUND_TRIP_WEIGHT = 0.25
# Longer ones are no measurements.
_MAX_ROUND_TRIP_NS = 60_000_000_000
# Of a peer that was not measured yet: after all that were.
UNKNOWN_ROUND_TRIP_NS = 1 << 62


@dataclass(slots=True, eq=False)
class Peer:
    """Another zipper.

    Attributes:
        heard_ns: monotonic, when its latest message came.
        stamp_ns: of that message, by its own clock.
        round_trip_ns: mean of the latest ones; None: not measured yet.
        knows: the highest delivery number of ours that it said it received.
        offers: by function.
    """

    name: str
    epoch: int
    heard_ns: int
    stamp_ns: int = -1
    round_trip_ns: int | None = None
    knows: int = 0
    offers: Mapping[str, GroupOffer] = field(default_factory=dict)

    @property
    def distance_ns(self) -> int:
        """For choosing the nearest."""
        return UNKNOWN_ROUND_TRIP_NS if self.round_trip_ns is None else self.round_trip_ns

    def hear(self, capacity: Capacity, ours: Heard | None, now_ns: int) -> None:
        """Take in its latest message.

        Args:
            ours: what it heard of this incarnation of this zipper.
        """
        self.heard_ns, self.stamp_ns = now_ns, capacity.stamp_ns
        self.offers = {name: offer for name, offer in capacity.groups.items() if _is_sensible(name, offer)}
        if ours is None:
            return
        self.knows = max(self.knows, ours.received)
        measured_ns = now_ns - ours.stamp_ns - ours.held_ns
        if not 0 <= measured_ns <= _MAX_ROUND_TRIP_NS:
            return
        if self.round_trip_ns is None:
            self.round_trip_ns = measured_ns
        else:
            self.round_trip_ns += round(_ROUND_TRIP_WEIGHT * (measured_ns - self.round_trip_ns))


class Peers:
    """Those that are heard at present, and what each handed over.

    Args:
        name, epoch: of this zipper.
    """

    def __init__(self, name: str, epoch: int) -> None:
        self.name = name
        self.epoch = epoch
        self._peers: dict[str, Peer] = {}
        # Kept when a peer falls silent: what it handed over is still being handled.
        self._inbound: dict[str, Inbound] = {}

    def __iter__(self) -> Iterator[Peer]:
        return iter(self._peers.values())

    def __len__(self) -> int:
        return len(self._peers)

    def get(self, name: str) -> Peer | None:
        return self._peers.get(name)

    def is_acceptable(self, capacity: Capacity) -> bool:
        """Whether a message is from another zipper, newer than those before it, and there is room for its sender."""
        if capacity.zipper == self.name or not is_name(capacity.zipper):
            return False
        known = self._peers.get(capacity.zipper)
        if known is None:
            return len(self._peers) < MAX_PEERS
        return known.epoch != capacity.epoch or capacity.stamp_ns > known.stamp_ns

    def hear(self, capacity: Capacity, now_ns: int) -> Peer:
        """Take in an acceptable message. A peer of another epoch must have been forgotten before."""
        peer = self._peers.get(capacity.zipper)
        if peer is None:
            peer = self._peers[capacity.zipper] = Peer(capacity.zipper, capacity.epoch, now_ns)
            inbound = self._inbound.get(peer.name)
            if inbound is None or inbound.epoch != peer.epoch:
                self._inbound[peer.name] = Inbound(peer.epoch)
        ours = capacity.heard.get(self.name)
        peer.hear(capacity, ours if ours is not None and ours.epoch == self.epoch else None, now_ns)
        return peer

    def forget(self, name: str) -> None:
        """A peer is gone."""
        del self._peers[name]
        while len(self._inbound) > MAX_PEERS:
            gone = next((name for name in self._inbound if name not in self._peers), None)
            if gone is None:
                return
            del self._inbound[gone]

    def silent(self, now_ns: int) -> list[str]:
        """Those that have not been heard for too long."""
        return [peer.name for peer in self if now_ns - peer.heard_ns > PEER_SILENCE_NS]

    def heard(self, now_ns: int) -> dict[str, Heard]:
        """What to tell each peer of what was heard of it."""
        return {
            peer.name: Heard(
                epoch=peer.epoch,
                stamp_ns=peer.stamp_ns,
                held_ns=now_ns - peer.heard_ns,
                received=self._inbound[peer.name].received,
            )
            for peer in self
        }

    # ---- what peers handed over

    def receive(self, ticket: Ticket, after: int) -> bool:
        """Note a delivery from a peer. False: ignore it; the peer will notice, and hand it out again."""
        inbound = self._inbound.get(ticket.peer)
        return inbound is not None and inbound.epoch == ticket.epoch and inbound.receive(ticket.number, after)

    def finish(self, ticket: Ticket, done: Done, is_refused: bool) -> None:
        """A delivery from a peer is over.

        Args:
            is_refused: it was not taken; the peer gets it back, with those that must follow it.
        """
        inbound = self._inbound.get(ticket.peer)
        if inbound is not None and inbound.epoch == ticket.epoch:
            inbound.finish(done, is_refused)

    def forget_unconfirmed(self) -> None:
        """A line to some peer broke: see `Inbound.forget_unconfirmed`. Those that were told already mind nothing."""
        for inbound in self._inbound.values():
            inbound.forget_unconfirmed()

    def take_reports(self, *, full: bool) -> list[tuple[str, Report]]:
        """(peer, report) to send now: to those with news, or to all (`full`), so that they notice what got lost."""
        return [
            (peer.name, self._inbound[peer.name].report(self.name, full=full))
            for peer in self
            if full or self._inbound[peer.name].has_news
        ]


def _is_sensible(name: str, offer: GroupOffer) -> bool:
    tags = offer.observe
    return is_name(name) and 0 < len(tags) <= MAX_OFFERED_TAGS and all(0 <= tag <= MAX_TAG for tag in tags)
