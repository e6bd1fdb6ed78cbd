"""Numbers that a guest holds for host objects: graphs, contexts, sessions, tensors."""

from __future__ import annotations

from typing import Protocol, TypeVar


class Closable(Protocol):
    """An object that gives something back when its handle goes."""

    def close(self) -> None:
        """Idempotent."""
        ...


T = TypeVar("T", bound=Closable)


class Handles:
    """The handles of one instance. Numbers start at 1 and are never used twice, so a stale one never fits anything."""

    def __init__(self, limit: int) -> None:
        """Args: limit: how many may be open at once."""
        self._limit = limit
        self._open: dict[int, Closable] = {}
        self._next = 1

    def __len__(self) -> int:
        return len(self._open)

    def has_room(self) -> bool:
        """Whether one more may be opened."""
        return len(self._open) < self._limit

    def add(self, item: Closable) -> int:
        """Open a handle for `item`. The caller has asked `has_room` before it made the item."""
        number = self._next
        self._next += 1
        self._open[number] = item
        return number

    def get(self, number: int, kind: type[T]) -> T | None:
        """The open item with this number, if it is of this kind."""
        item = self._open.get(number)
        return item if isinstance(item, kind) else None

    def all_of(self, kind: type[T]) -> list[T]:
        """The open items of this kind, oldest first."""
        return [item for item in self._open.values() if isinstance(item, kind)]

    def remove(self, number: int, kind: type[T]) -> T | None:
        """Close the handle and its item; returns the item, or None when there was no such handle."""
        item = self.get(number, kind)
        if item is not None:
            del self._open[number]
            item.close()
        return item

    def close(self) -> None:
        """Close all, newest first."""
        items = list(self._open.values())
        self._open.clear()
        for item in reversed(items):
            item.close()
