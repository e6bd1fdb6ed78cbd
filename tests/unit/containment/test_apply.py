"""Measures that are missing or fail are reported, and the others are taken. Real ones are in tests/fault."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from nearfield.containment import ContainmentReport, Measure, State, apply, seal
from tests.unit.containment.kit import PretendedKernel, plan

NAMES = ["rlimits", "oom-score", "capabilities", "no-new-privs", "no-dump", "landlock", "seccomp", "no-processes"]


def contained(folder: Path, kernel: PretendedKernel) -> ContainmentReport:
    return seal(apply(plan(folder), kernel=kernel), kernel=kernel)


def test_every_measure_is_active_where_the_kernel_has_it(tmp_path: Path) -> None:
    kernel = PretendedKernel(abi=8)
    report = contained(tmp_path, kernel)
    assert [measure.name for measure in report.measures] == NAMES
    assert report.is_complete
    assert "landlock (ABI 8), seccomp, no-processes" in str(report)


def test_privileges_are_given_up_before_what_needs_that(tmp_path: Path) -> None:
    kernel = PretendedKernel()
    contained(tmp_path, kernel)
    names = [name for name, _ in kernel.calls]
    no_new_privileges = names.index("prctl")
    assert no_new_privileges < names.index("landlock_restrict_self") < names.index("seccomp")
    assert names.index("capset") < no_new_privileges


def test_worker_is_not_sealed_before_it_says_so(tmp_path: Path) -> None:
    report = apply(plan(tmp_path), kernel=PretendedKernel())
    assert report.state_of("no-processes") is State.UNAVAILABLE
    assert str(report).endswith("; no-processes: not available, not sealed yet")


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EOPNOTSUPP])
def test_kernel_without_landlock_is_reported_and_the_rest_is_active(tmp_path: Path, code: int) -> None:
    report = contained(tmp_path, PretendedKernel(failing={"landlock_create_ruleset": code}))
    assert report.state_of("landlock") is State.UNAVAILABLE
    assert {measure.name for measure in report.measures if measure.state is State.ACTIVE} == {*NAMES} - {"landlock"}
    assert "; landlock: not available, " in str(report)


def test_kernel_without_filters_is_reported(tmp_path: Path) -> None:
    report = contained(tmp_path, PretendedKernel(failing={"seccomp": errno.EINVAL}))
    assert report.state_of("seccomp") is report.state_of("no-processes") is State.UNAVAILABLE
    assert report.state_of("landlock") is State.ACTIVE


@pytest.mark.parametrize("call", ["prlimit64", "capset", "prctl", "landlock_restrict_self"])
def test_refusal_by_the_kernel_is_a_failure_with_the_call_in_it(tmp_path: Path, call: str) -> None:
    report = contained(tmp_path, PretendedKernel(failing={call: errno.EPERM}))
    failed = [measure for measure in report.measures if measure.state is State.FAILED]
    assert failed
    assert all(measure.detail == f"operation not permitted ({call})" for measure in failed)


def test_machine_without_a_table_has_nothing_and_goes_on(tmp_path: Path) -> None:
    report = contained(tmp_path, PretendedKernel(machine=None))
    active = {measure.name for measure in report.measures if measure.state is State.ACTIVE}
    assert active <= {"oom-score"}
    assert not report.is_complete


def test_thread_with_a_filter_of_its_own_is_a_failure(tmp_path: Path) -> None:
    class OneThreadRefuses(PretendedKernel):
        def call(self, name: str, *arguments: int | bytes) -> int:
            result = super().call(name, *arguments)
            return 77 if name == "seccomp" and arguments[0] == 1 else result

    report = apply(plan(tmp_path), kernel=OneThreadRefuses())
    assert report.state_of("seccomp") is State.FAILED
    assert "thread 77" in report.measure("seccomp").detail


def test_report_without_any_measure_says_none() -> None:
    assert str(ContainmentReport(())) == "none"
    assert str(ContainmentReport((Measure("a", State.ACTIVE, "1"), Measure("b", State.FAILED, "no")))) == (
        "a (1); b: failed, no"
    )
    with pytest.raises(KeyError, match="absent"):
        ContainmentReport(()).measure("absent")
