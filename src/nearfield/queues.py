"""A bounded queue between a thread that must not wait and one that may."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class QueueClosed(Exception):
    """The queue was closed and is empty."""


class Mailbox(Generic[Item]):
    """First in, first out; when full the oldest item gives way, and is counted.

    Any number of threads may put and take. `put` never waits.

    Attributes:
        capacity: items held at most.
        dropped: items that gave way so far.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.dropped = 0
        self._items: deque[Item] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._closed = False

    def put(self, item: Item) -> None:
        """Add an item. After `close` it is ignored."""
        with self._changed:
            if self._closed:
                return
            if len(self._items) >= self.capacity:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()

    def put_all(self, items: Sequence[Item]) -> None:
        """Add several at once: a taker finds all of them."""
        with self._changed:
            if self._closed:
                return
            self._items.extend(items)
            excess = max(0, len(self._items) - self.capacity)
            for _ in range(excess):
                self._items.popleft()
            self.dropped += excess
            self._changed.notify(len(items))

    def take(self, timeout_s: float | None = None) -> Item | None:
        """The oldest item, waiting for one up to `timeout_s` (None: for ever). None when there was none in time.

        Raises:
            QueueClosed: closed and empty.
        """
        give_up_at = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._items:
                if self._closed:
                    raise QueueClosed
                remaining = None if give_up_at is None else give_up_at - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return None
                self._changed.wait(remaining)
            return self._items.popleft()

    def take_all(self, timeout_s: float | None = None) -> list[Item]:
        """All items, oldest first, waiting for at least one up to `timeout_s`; empty when there was none in time.

        Raises:
            QueueClosed: closed and empty.
        """
        first = self.take(timeout_s)
        if first is None:
            return []
        with self._changed:
            items = [first, *self._items]
            self._items.clear()
        return items

    def close(self) -> None:
        """Wake the takers. Items already in can still be taken. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        with self._changed:
            return len(self._items)
