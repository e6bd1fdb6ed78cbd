"""The thread that looks after senders."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from nearfield.recovery import rounds
from nearfield.recovery.rounds import Rounds

Eventually = Callable[..., None]


class Visited:
    """Counts how often it is looked after, and on which threads."""

    def __init__(self) -> None:
        self.ticks = 0
        self.threads: set[int] = set()

    def tick(self) -> None:
        self.threads.add(threading.get_ident())
        self.ticks += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "TICK_S", 0.01)


def test_all_are_looked_after_on_one_thread_that_ends_with_the_last(eventually: Eventually) -> None:
    some = Rounds()
    visited = [Visited() for _ in range(20)]
    for each in visited:
        some.add(each)
    eventually(lambda: min(each.ticks for each in visited) > 3, "somebody is left out")
    (thread,) = set.union(*(each.threads for each in visited))
    assert thread != threading.get_ident()
    for each in visited:
        some.remove(each)
    eventually(lambda: thread not in {one.ident for one in threading.enumerate()}, "the thread goes on")
    again = Visited()
    some.add(again)
    eventually(lambda: again.ticks, "nobody looks after who comes later")
    some.remove(again)


def test_who_is_new_does_not_wait_for_the_next_round(monkeypatch: pytest.MonkeyPatch, eventually: Eventually) -> None:
    monkeypatch.setattr(rounds, "TICK_S", 60.0)
    some, first, second = Rounds(), Visited(), Visited()
    some.add(first)
    eventually(lambda: first.ticks == 1, "the first")
    some.add(second)
    eventually(lambda: second.ticks == 1, "the second")
    assert first.ticks == 1
    for each in (first, second):
        some.remove(each)


def test_questions_are_answered_in_turn_and_not_for_who_is_gone(eventually: Eventually) -> None:
    some, here, gone = Rounds(), Visited(), Visited()
    answered: list[str] = []
    may_go_on = threading.Event()
    some.add(here)
    some.add(gone)

    def first() -> None:
        assert may_go_on.wait(10)
        answered.append("first")

    some.ask(here, first)
    some.ask(gone, lambda: answered.append("gone"))
    some.ask(here, lambda: answered.append("second"))
    some.remove(gone)
    some.ask(gone, lambda: answered.append("gone too"))
    may_go_on.set()
    eventually(lambda: len(answered) == 2, "no answers")
    some.remove(here)
    time.sleep(0.03)
    assert answered == ["first", "second"]


def test_answers_without_end_do_not_keep_anybody_from_being_looked_after(eventually: Eventually) -> None:
    some, visited = Rounds(), Visited()

    def ask_again() -> None:
        some.ask(visited, ask_again)

    some.add(visited)
    ask_again()
    eventually(lambda: visited.ticks > 5, "it only answers")
    some.remove(visited)
