"""How much a live source may have on its way."""

from __future__ import annotations

import pytest

from nearfield.source.allowance import (
    LEAST_BYTES,
    MOST_BYTES,
    QUEUEING_NS,
    QUICKEST_FOR_NS,
    STEP_BYTES,
    Allowance,
    Fence,
)

MS = 1_000_000


def test_quick_answers_raise_it_step_by_step_up_to_a_limit() -> None:
    allowance = Allowance()
    before = allowance.bytes
    allowance.answered(2 * MS, 0)
    assert allowance.bytes == before + STEP_BYTES
    for number in range(100):
        allowance.answered(2 * MS, number * MS)
    assert allowance.bytes == MOST_BYTES


def test_answers_that_queue_halve_it_down_to_a_limit() -> None:
    allowance = Allowance()
    allowance.answered(2 * MS, 0)
    before = allowance.bytes
    allowance.answered(2 * MS + QUEUEING_NS + 1, MS)
    assert allowance.bytes == before // 2
    for number in range(10):
        allowance.answered(100 * MS, number * MS)
    assert allowance.bytes == LEAST_BYTES


@pytest.mark.parametrize("distance_ns", [0, 80 * MS, 600 * MS])
def test_a_long_way_is_no_queue(distance_ns: int) -> None:
    allowance = Allowance()
    for number in range(100):
        allowance.answered(distance_ns + number % 10 * MS, number * MS)
    assert allowance.bytes == MOST_BYTES


def test_quickest_answer_is_forgotten_when_the_way_became_longer() -> None:
    allowance = Allowance()
    allowance.answered(2 * MS, 0)
    for number in range(20):
        allowance.answered(80 * MS, number * MS)
    assert allowance.bytes == LEAST_BYTES
    allowance.answered(80 * MS, QUICKEST_FOR_NS + 1)
    allowance.answered(80 * MS, QUICKEST_FOR_NS + 2)
    assert allowance.bytes == LEAST_BYTES + 2 * STEP_BYTES


def test_fence_covers_what_was_sent_before_its_question() -> None:
    fence = Fence()
    assert fence.ask(0) is None
    fence.add(100)
    number = fence.ask(10)
    assert number is not None
    fence.add(50)
    assert fence.ask(20) is None  # one question at a time
    assert fence.answered(number, 30) == 20
    assert fence.bytes == 50
    assert fence.answered(number, 40) is None
    assert fence.bytes == 50


def test_answer_to_an_earlier_question_says_nothing() -> None:
    fence = Fence()
    fence.add(100)
    first = fence.ask(0)
    assert first is not None
    fence.give_up(500, after_ns=500)
    assert fence.bytes == 100
    fence.give_up(501, after_ns=500)
    assert fence.bytes == 0
    fence.add(70)
    second = fence.ask(600)
    assert second not in (first, None)
    assert fence.answered(first, 700) is None
    assert fence.bytes == 70
