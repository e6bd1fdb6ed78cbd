"""What other zippers would take of one group's frames: each counts as an instance with so many credits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic

from nearfield.zipper.instances import Instance
from nearfield.zipper.item import Item, PayloadType


class PeerLinks(Generic[PayloadType]):
    """The peers of one group. Few, so choosing one looks at all."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: dict[str, Instance[PayloadType]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def __iter__(self) -> Iterator[Instance[PayloadType]]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Instance[PayloadType] | None:
        return self._by_name.get(name)

    def add(self, link: Instance[PayloadType]) -> None:
        self._by_name[link.name] = link

    def remove(self, name: str) -> None:
        del self._by_name[name]

    def in_flight(self) -> int:
        """Frames that are with peers."""
        return sum(len(link.in_flight) for link in self)

    def nearest(self) -> Instance[PayloadType] | None:
        """The peer with room and the shortest round trip. None when there is none."""
        best = None
        for link in self._by_name.values():
            if link.free > 0 and (best is None or link.round_trip_ns < best.round_trip_ns):
                best = link
        return best

    def hand_out(self, link: Instance[PayloadType], number: int, item: Item[PayloadType], now_ns: int) -> None:
        """Note that a peer was given a frame."""
        link.in_flight[number] = (item, now_ns)

    def take_back(self, link: Instance[PayloadType], number: int) -> Item[PayloadType]:
        """Note that a peer is through with a delivery that it holds."""
        item, _ = link.in_flight.pop(number)
        return item
