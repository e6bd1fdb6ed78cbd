"""What a machine is said to offer."""

from __future__ import annotations

import errno
import os

from nearfield.containment import host_report
from tests.unit.containment.kit import PretendedKernel


def test_a_kernel_with_everything() -> None:
    report = host_report({"wasmtime": "1.2"}, kernel=PretendedKernel(abi=6))
    assert (report.landlock_abi, report.landlock_why_not, report.seccomp) == (6, None, True)
    assert report.engines == {"wasmtime": "1.2"}
    assert report.cpus == len(os.sched_getaffinity(0))
    assert "RLIMIT_NOFILE" in report.hard_limits


def test_a_kernel_with_nothing_says_why() -> None:
    absent = {"landlock_create_ruleset": errno.EOPNOTSUPP, "seccomp": errno.EINVAL}
    report = host_report(kernel=PretendedKernel(failing=absent))
    assert (report.landlock_abi, report.seccomp) == (None, False)
    assert report.landlock_why_not == f"{os.strerror(errno.EOPNOTSUPP).lower()} (landlock_create_ruleset)"


def test_a_machine_without_a_table_has_no_filters() -> None:
    assert not host_report(kernel=PretendedKernel(machine=None)).seccomp
