from __future__ import annotations

from nearfield.sandbox.log_budget import LINE_OVERHEAD_BYTES, LogBudget


def lines_taken(budget: LogBudget, length: int, now_s: float) -> int:
    """How many lines of this length go through at once."""
    count = 0
    while budget.take(length, now_s):
        count += 1
    return count


def test_four_seconds_worth_may_come_at_once() -> None:
    budget = LogBudget(1000)
    assert lines_taken(budget, 400 - LINE_OVERHEAD_BYTES, 5.0) == 10


def test_it_fills_at_its_rate_and_no_further_than_at_first() -> None:
    budget = LogBudget(1000)
    lines_taken(budget, 400 - LINE_OVERHEAD_BYTES, 0.0)
    assert lines_taken(budget, 400 - LINE_OVERHEAD_BYTES, 2.0) == 5
    assert lines_taken(budget, 400 - LINE_OVERHEAD_BYTES, 1000.0) == 10


def test_a_line_longer_than_a_second_passes_and_pays_later() -> None:
    budget = LogBudget(100)
    assert budget.take(1400, 0.0)
    assert not budget.take(0, 5.0)
    assert budget.take(0, 20.0)


def test_short_lines_cost_something_too() -> None:
    assert lines_taken(LogBudget(LINE_OVERHEAD_BYTES), 0, 0.0) == 4


def test_dropped_lines_are_told_once_and_when_there_is_room() -> None:
    budget = LogBudget(1000)
    lines_taken(budget, 400 - LINE_OVERHEAD_BYTES, 0.0)
    budget.take(1, 0.0)
    budget.drop()
    assert budget.take_dropped(0.0) == 0
    assert budget.take_dropped(1.0) == 3
    assert budget.take_dropped(1.0) == 0
