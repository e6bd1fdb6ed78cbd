"""Who may still want to compute: what decides whether a batch waits for anybody. Pure; its owner holds a lock."""

from __future__ import annotations

from collections import Counter


class Turnout:
    """Threads that are on their way to a compute, and those that are inside one.

    A thread counts as coming while it is at a frame for which it has not computed yet, or holds a context that it has
    not computed with yet; and never while it computes, because it cannot be in two batches at once.
    """

    def __init__(self) -> None:
        self._at_frames: set[int] = set()
        self._contexts = Counter[int]()
        self._inside: set[int] = set()

    def begin_frame(self, thread: int) -> None:
        self._at_frames.add(thread)

    def end_frame(self, thread: int) -> None:
        self._at_frames.discard(thread)

    def open_context(self, thread: int) -> None:
        self._contexts[thread] += 1

    def settle_context(self, thread: int) -> None:
        """A context that `thread` opened was computed with for the first time, or closed before."""
        self._contexts[thread] -= 1
        if self._contexts[thread] <= 0:
            del self._contexts[thread]

    def enter(self, thread: int) -> None:
        """It computes."""
        self._at_frames.discard(thread)
        self._inside.add(thread)

    def leave(self, thread: int) -> None:
        """It has computed."""
        self._inside.discard(thread)

    @property
    def is_another_coming(self) -> bool:
        """Whether any thread is on its way."""
        return not self._inside.issuperset(self._at_frames) or not self._inside.issuperset(self._contexts)
