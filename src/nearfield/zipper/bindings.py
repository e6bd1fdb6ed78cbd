"""Which instance has the frames of which source, where their order matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

from nearfield.zipper.instances import Instance
from nearfield.zipper.item import Item, PayloadType


@dataclass(slots=True, eq=False)
class _Binding(Generic[PayloadType]):
    instance: Instance[PayloadType]
    in_flight: int
    latest: int


class Bindings(Generic[PayloadType]):
    """A source is bound to an instance as long as that one holds frames of it. Empty where order does not matter."""

    def __init__(self) -> None:
        self._by_origin: dict[str, _Binding[PayloadType]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_origin)

    def instance_of(self, origin: str) -> Instance[PayloadType] | None:
        binding = self._by_origin.get(origin)
        return None if binding is None else binding.instance

    def bind(self, item: Item[PayloadType], instance: Instance[PayloadType], number: int) -> int:
        """Note that a frame was handed out under a delivery number.

        Returns:
            The number of the delivery before it, among those since the source was bound; 0: it is the first.
        """
        item.is_bound = True
        binding = self._by_origin.get(item.origin)
        if binding is None:
            self._by_origin[item.origin] = _Binding(instance, 1, number)
            return 0
        before, binding.latest = binding.latest, number
        binding.in_flight += 1
        return before

    def unbind(self, item: Item[PayloadType]) -> None:
        """Note that a frame is not in flight any more."""
        if item.is_bound:
            item.is_bound = False
            binding = self._by_origin[item.origin]
            binding.in_flight -= 1
            if not binding.in_flight:
                del self._by_origin[item.origin]
