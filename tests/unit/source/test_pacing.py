"""When the next frame is due."""

from __future__ import annotations

import pytest

from nearfield.source.pacing import Pacer


def test_first_frame_is_due_at_once_and_the_next_after_the_interval() -> None:
    pacer = Pacer(0.1)
    assert pacer.wait_s(5.0) == 0
    assert pacer.wait_s(5.0) == pytest.approx(0.1)
    assert pacer.wait_s(5.1) == pytest.approx(0.1)


def test_small_delays_do_not_add_up() -> None:
    pacer, now, moments = Pacer(0.1), 0.0, []
    for _ in range(50):
        now += pacer.wait_s(now)
        moments.append(now)
        now += 0.03  # the work itself
    assert moments == pytest.approx([0.1 * number for number in range(50)])


def test_sender_that_fell_behind_does_not_hurry() -> None:
    pacer = Pacer(0.1)
    pacer.wait_s(0.0)
    assert pacer.wait_s(10.0) == 0
    assert pacer.wait_s(10.0) == pytest.approx(0.1)


def test_without_an_interval_every_frame_is_due() -> None:
    pacer = Pacer(0)
    assert [pacer.wait_s(now) for now in (0.0, 0.0, 9.0)] == [0, 0, 0]
