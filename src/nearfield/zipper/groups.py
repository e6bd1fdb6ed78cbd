"""All groups of a zipper, and which of them observe a tag."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic

from nearfield.zipper.fair_queue import Room, has_little
from nearfield.zipper.group import Group
from nearfield.zipper.item import PayloadType
from nearfield.zipper.ledger import OTHERS, GroupLedger
from nearfield.zipper.outbox import Outbox
from nearfield.zipper.policy import GroupPolicy

# Groups that were removed whose counts are kept by name; those of older ones are kept together.
MAX_PAST = 256


@dataclass(frozen=True, slots=True)
class Route(Generic[PayloadType]):
    """The groups that observe a tag, and those of them that keep all frames."""

    groups: Sequence[Group[PayloadType]]
    keepers: Sequence[Group[PayloadType]]


class Groups(Generic[PayloadType]):
    """Groups by name.

    Args:
        room: what may wait in all of them together.

    Attributes:
        routes: by tag. Call `index` after a change of what a group observes or of its policy.
        version: grows with every change of `routes`.
        past: ledgers of groups that were removed.
    """

    def __init__(self, policies: Iterable[GroupPolicy], room: Room, outbox: Outbox[PayloadType]) -> None:
        self._room = room
        self._outbox = outbox
        self._by_name: dict[str, Group[PayloadType]] = {}
        self.routes: dict[int, Route[PayloadType]] = {}
        self.version = 0
        self.past: dict[str, GroupLedger] = {}
        for policy in policies:
            self.add(policy)
        self.index()

    def __iter__(self) -> Iterator[Group[PayloadType]]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> Group[PayloadType]:
        return self._by_name[name]

    def get(self, name: str) -> Group[PayloadType] | None:
        return self._by_name.get(name)

    def have_room(self, origin: str, size: int) -> bool:
        """Whether another payload of an origin may wait, in any of them."""
        room = self._room
        if room.fits_easily(size):
            return True
        queues = [group.queue for group in self]
        waiting = sum(queue.waiting(origin) for queue in queues)
        return room.fits(size) and has_little(waiting, room.frames, max(queue.origins for queue in queues))

    def add(self, policy: GroupPolicy, *, is_remote: bool = False) -> Group[PayloadType]:
        """A new group; one that was there before goes on counting. Call `index` afterwards."""
        group = self._by_name[policy.name] = Group(policy, self._room, self._outbox, is_remote=is_remote)
        group.outcomes.ledger = self.past.pop(policy.name, group.outcomes.ledger)
        return group

    def remove(self, name: str) -> None:
        """Forget a group, but not its counts. Call `index` afterwards."""
        self.past[name] = self._by_name.pop(name).outcomes.ledger
        if len(self.past) > MAX_PAST:
            oldest = next(name for name in self.past if name != OTHERS)
            self.past.setdefault(OTHERS, GroupLedger()).absorb(self.past.pop(oldest))

    @property
    def orders_tags(self) -> bool:
        """Whether the order of frames with different tags matters to one of them, or may once its tags are known."""
        return any(group.policy.order == "source" and len(group.observe) != 1 for group in self)

    def index(self) -> None:
        """Bring `routes` up to date."""
        observers: dict[int, list[Group[PayloadType]]] = {}
        for group in self:
            for tag in group.observe:
                observers.setdefault(tag, []).append(group)
        self.version += 1
        self.routes = {
            tag: Route(groups, [group for group in groups if group.keeps_all]) for tag, groups in observers.items()
        }
