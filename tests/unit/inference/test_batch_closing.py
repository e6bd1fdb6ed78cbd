"""When a batch closes, in numbers."""

from __future__ import annotations

import pytest

from nearfield.inference import BatchSettings
from nearfield.inference.batch_closing import NEVER_S, NOW_S, Gathering, RecentDurations, closes_at_s, is_late

SETTINGS = BatchSettings(max_frames=4, wait_s=0.002)


def gathering(
    frames: int = 1,
    *,
    opened_s: float = 100.0,
    is_another_coming: bool = True,
    has_room: bool = True,
    first_by_s: float | None = None,
    compute_s: float = 0.0,
) -> Gathering:
    return Gathering(frames, opened_s, is_another_coming, has_room, first_by_s, compute_s)


def test_the_first_frame_waits_as_long_as_it_may() -> None:
    assert closes_at_s(SETTINGS, gathering(1)) == 100.002
    assert closes_at_s(SETTINGS, gathering(3, opened_s=7.0)) == 7.002


@pytest.mark.parametrize("frames", [4, 5])
def test_a_full_batch_closes_at_once(frames: int) -> None:
    assert closes_at_s(SETTINGS, gathering(frames)) == NOW_S


def test_nobody_is_waited_for_when_nobody_comes() -> None:
    assert closes_at_s(SETTINGS, gathering(1, is_another_coming=False)) == NOW_S
    assert closes_at_s(SETTINGS, gathering(3, is_another_coming=False, first_by_s=200.0)) == NOW_S


def test_without_room_for_a_compute_the_batch_goes_on_gathering() -> None:
    assert closes_at_s(SETTINGS, gathering(1, has_room=False)) == NEVER_S
    assert closes_at_s(SETTINGS, gathering(2, has_room=False, is_another_coming=False)) == NEVER_S


def test_full_batches_and_deadlines_do_not_ask_for_room() -> None:
    assert closes_at_s(SETTINGS, gathering(4, has_room=False)) == NOW_S
    assert closes_at_s(SETTINGS, gathering(1, has_room=False, first_by_s=103.0, compute_s=1.0)) == 102.0


def test_a_deadline_leaves_time_for_the_compute() -> None:
    assert closes_at_s(SETTINGS, gathering(first_by_s=100.0015, compute_s=0.001)) == pytest.approx(100.0005)


def test_a_far_deadline_changes_nothing() -> None:
    assert closes_at_s(SETTINGS, gathering(first_by_s=101.0, compute_s=0.5)) == 100.002


def test_a_deadline_that_can_hardly_be_met_closes_at_once() -> None:
    assert closes_at_s(SETTINGS, gathering(first_by_s=100.01, compute_s=0.05)) < 100.0


def test_no_patience_means_no_waiting() -> None:
    assert closes_at_s(BatchSettings(4, 0.0), gathering(1)) == 100.0


@pytest.mark.parametrize(("by_s", "late"), [(None, False), (5.0, True), (4.9, True), (5.1, False)])
def test_a_result_is_late_from_its_moment_on(by_s: float | None, late: bool) -> None:
    assert is_late(by_s, 5.0) is late


def test_the_longest_of_the_latest_computes_counts_and_is_forgotten() -> None:
    recent = RecentDurations()
    assert recent.longest_s == 0.0
    for duration_s in (0.5, 0.1, 0.2):
        recent.add(duration_s)
    assert recent.longest_s == 0.5
    for _ in range(8):
        recent.add(0.01)
    assert recent.longest_s == 0.01
