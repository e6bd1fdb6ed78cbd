"""When a worker is started again."""

from __future__ import annotations

import pytest

from nearfield.supervise import GiveUp, Restart, RestartPolicy, describe_exit


def test_delay_doubles_with_each_quick_failure_up_to_ten_seconds() -> None:
    policy = RestartPolicy()
    decisions = [policy.after_exit(1, lived_s=0.1) for _ in range(7)]
    assert decisions == [Restart(delay) for delay in (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0)]


def test_worker_that_proved_itself_is_started_soon_again() -> None:
    policy = RestartPolicy()
    for _ in range(5):
        policy.after_exit(-11, lived_s=29.9)
    assert policy.after_exit(-11, lived_s=30.0) == Restart(0.5)
    assert policy.after_exit(-11, lived_s=1.0) == Restart(1.0)


def test_configuration_that_cannot_work_is_given_up() -> None:
    assert RestartPolicy().after_exit(2, lived_s=100) == GiveUp()


@pytest.mark.parametrize("status", [0, 1, 130, -9])
def test_any_other_exit_is_a_reason_to_start_again(status: int) -> None:
    assert isinstance(RestartPolicy().after_exit(status, lived_s=1), Restart)


def test_worker_that_fails_for_days_is_still_started_again() -> None:
    policy = RestartPolicy()
    for _ in range(5_000):
        decision = policy.after_exit(1, lived_s=0.1)
    assert decision == Restart(10.0)


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exited with status 0"), (-11, "was killed by SIGSEGV"), (-9, "was killed by SIGKILL"),
     (-99, "was killed by signal 99")],
)  # fmt: skip
def test_exit_is_told_in_words(status: int, words: str) -> None:
    assert describe_exit(status) == words
