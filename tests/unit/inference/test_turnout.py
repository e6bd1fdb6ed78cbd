"""Who is waited for."""

from __future__ import annotations

from nearfield.inference.turnout import Turnout

A, B = 1, 2


def test_nobody_is_coming_at_first() -> None:
    assert not Turnout().is_another_coming


def test_a_frame_under_way_is_waited_for_until_it_computes() -> None:
    turnout = Turnout()
    turnout.begin_frame(A)
    assert turnout.is_another_coming
    turnout.enter(A)
    assert not turnout.is_another_coming
    turnout.leave(A)
    assert not turnout.is_another_coming, "most frames compute once"
    turnout.end_frame(A)


def test_a_frame_that_ends_without_a_compute_is_not_waited_for() -> None:
    turnout = Turnout()
    turnout.begin_frame(A)
    turnout.end_frame(A)
    assert not turnout.is_another_coming


def test_an_open_context_is_waited_for_until_it_is_settled() -> None:
    turnout = Turnout()
    turnout.open_context(A)
    turnout.open_context(A)
    turnout.settle_context(A)
    assert turnout.is_another_coming
    turnout.settle_context(A)
    assert not turnout.is_another_coming


def test_further_contexts_of_a_thread_that_computes_cannot_come() -> None:
    turnout = Turnout()
    turnout.open_context(A)
    turnout.open_context(A)
    turnout.settle_context(A)
    turnout.enter(A)
    assert not turnout.is_another_coming
    turnout.leave(A)
    assert turnout.is_another_coming


def test_others_are_waited_for_while_one_computes() -> None:
    turnout = Turnout()
    turnout.begin_frame(A)
    turnout.begin_frame(B)
    turnout.enter(A)
    assert turnout.is_another_coming
    turnout.enter(B)
    assert not turnout.is_another_coming
