"""The place where results wait for their turn."""

from __future__ import annotations

import pytest

from nearfield.function.in_order import InOrder


def test_results_leave_in_the_order_in_which_their_work_began() -> None:
    order: InOrder[str] = InOrder()
    first, second, third = order.begin(), order.begin(), order.begin()
    order.put(second, "second")
    assert (order.take(), len(order)) == ([], 1)
    order.put(first, "first")
    assert (order.take(), len(order)) == (["first", "second"], 0)
    order.put(third, "third")
    assert order.take() == ["third"]
    assert order.take() == []


def test_a_number_that_was_not_given_out_is_refused() -> None:
    order: InOrder[str] = InOrder()
    with pytest.raises(ValueError, match="number: got 0, expected one that was given out and has no result yet"):
        order.put(0, "x")


def test_a_second_result_for_a_number_is_refused() -> None:
    order: InOrder[str] = InOrder()
    order.begin()
    second = order.begin()
    order.put(second, "x")
    with pytest.raises(ValueError, match="got 1"):
        order.put(second, "y")
    order.put(0, "first")
    order.take()
    with pytest.raises(ValueError, match="got 0"):
        order.put(0, "again")
