"""Results that are ready in any order, handed on in the order in which their work was begun. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

Result = TypeVar("Result")


class InOrder(Generic[Result]):
    """Numbers for what begins, and a place to wait for what is done before its turn. Its owner holds a lock.

    Holds at most one result for each number that was given out and not taken.
    """

    def __init__(self) -> None:
        self._begun = 0
        self._left = 0
        self._waiting: dict[int, Result] = {}

    def begin(self) -> int:
        """The next number: 0, 1, 2, ..."""
        number = self._begun
        self._begun += 1
        return number

    def put(self, number: int, result: Result) -> None:
        """What came of `number`.

        Raises:
            ValueError: a number that was not given out, or whose result was put already.
        """
        if not self._left <= number < self._begun or number in self._waiting:
            raise ValueError(f"number: got {number}, expected one that was given out and has no result yet")
        self._waiting[number] = result

    def take(self) -> list[Result]:
        """Those whose turn has come, first one first; each is given once."""
        ready = []
        while self._left in self._waiting:
            ready.append(self._waiting.pop(self._left))
            self._left += 1
        return ready

    def __len__(self) -> int:
        """Results that wait for earlier ones."""
        return len(self._waiting)
