"""One thread for all senders of a process: it looks after them twice a second, and answers those who ask them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

# How often each sender is looked after.
TICK_S = 0.5
# Between two answers: whoever asks without end must not have all of this process.
_PAUSE_S = 0.005
# Whoever asks for more at a time asks again.
_MOST_QUESTIONS = 64


class Member(Protocol):
    """Who is looked after."""

    def tick(self) -> None:
        """Called on the thread, soon after it was added and then regularly, until it is removed or a moment longer."""


class Rounds:
    """Its thread runs as long as there is somebody to look after. Usable from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._members: dict[Member, None] = {}
        self._new: list[Member] = []
        self._questions: deque[tuple[Member, Callable[[], None]]] = deque()
        self._thread: threading.Thread | None = None

    @property
    def members(self) -> int:
        """How many are looked after."""
        return len(self._members)

    def add(self, member: Member) -> None:
        """Look after one more."""
        with self._changed:
            self._members[member] = None
            self._new.append(member)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="resender", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, member: Member) -> None:
        """Look after it no more; those who asked it are not answered. What the thread is just doing for it it ends."""
        with self._changed:
            self._members.pop(member, None)
            self._questions = deque(entry for entry in self._questions if entry[0] is not member)
            self._changed.notify()

    def ask(self, member: Member, answer: Callable[[], None]) -> None:
        """Have `answer` called on the thread, unless too many wait for that."""
        with self._changed:
            if member in self._members and len(self._questions) < _MOST_QUESTIONS:
                self._questions.append((member, answer))
                self._changed.notify()

    def _work(self) -> None:
        next_tick = time.monotonic() + TICK_S
        while True:
            with self._changed:
                while self._members and not (self._questions or self._new) and time.monotonic() < next_tick:
                    self._changed.wait(max(0.0, next_tick - time.monotonic()))
                if not self._members:
                    self._new.clear()
                    self._thread = None
                    return
                due, self._new = self._new, []
                if time.monotonic() >= next_tick:
                    due, next_tick = list(self._members), time.monotonic() + TICK_S
                answer = self._questions.popleft()[1] if self._questions else None
            for member in due:
                member.tick()
            if answer is not None:
                answer()
                time.sleep(_PAUSE_S)
