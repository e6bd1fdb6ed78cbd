"""How many frames one worker handles at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.cli.concurrency import MOST_AT_A_TIME, frames_at_a_time, sandboxes_bytes
from nearfield.function.concurrency import STACK_BYTES
from nearfield.inference import BatchSettings, ModelSource


def models(*batches: int | None) -> dict[str, ModelSource]:
    return {
        f"m{index}": ModelSource(Path("m"), batch=None if most is None else BatchSettings(most, 0.002))
        for index, most in enumerate(batches)
    }


def test_one_frame_at_a_time_where_nothing_is_batched(caplog: pytest.LogCaptureFixture) -> None:
    for sources in (models(), models(None), models(None, 1)):
        for instance in ("frame", "worker"):
            assert frames_at_a_time(instance, sources) == 1  # type: ignore[arg-type]
    assert caplog.records == []


def test_as_many_frames_as_the_largest_batch() -> None:
    assert frames_at_a_time("frame", models(None, 4, 8, 2)) == 8


def test_one_sandbox_for_all_frames_is_said_to_batch_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert frames_at_a_time("worker", models(4)) == 1
    assert "`batch` has no effect with `instance: worker`" in caplog.text


def test_without_the_fast_call_path_guests_stay_on_one_thread(caplog: pytest.LogCaptureFixture) -> None:
    assert frames_at_a_time("frame", models(4), has_fast_path=False) == 1
    assert "can only be called by one thread at a time" in caplog.text


def test_a_worker_has_a_bounded_number_of_sandboxes(caplog: pytest.LogCaptureFixture) -> None:
    assert frames_at_a_time("frame", models(200)) == MOST_AT_A_TIME
    assert "got up to 200 frames, which one worker limits to 64" in caplog.text


def test_further_sandboxes_count_with_the_stacks_of_their_threads() -> None:
    assert sandboxes_bytes(1000, 1) == 1000
    assert sandboxes_bytes(1000, 3) == 3000 + 2 * STACK_BYTES
