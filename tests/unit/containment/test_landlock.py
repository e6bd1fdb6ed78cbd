"""Landlock's rights and rules by version of its interface."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from nearfield.containment import landlock
from nearfield.containment.landlock import rights_of, rules_of, ruleset
from tests.unit.containment.kit import PretendedKernel, plan


@pytest.mark.parametrize(
    ("abi", "bits"), [(1, 13), (2, 14), (3, 15), (4, 15), (5, 16), (6, 16), (7, 16), (8, 16), (20, 16)]
)
def test_all_rights_that_the_kernel_knows_are_withdrawn(abi: int, bits: int) -> None:
    assert rights_of(abi) == 2**bits - 1


@pytest.mark.parametrize(("abi", "fields"), [(1, 1), (3, 1), (4, 2), (5, 2), (6, 3), (9, 3)])
def test_ruleset_is_as_long_as_the_kernel_knows_it(abi: int, fields: int) -> None:
    assert len(ruleset(abi)) == 8 * fields


def test_only_writable_directories_can_be_changed(tmp_path: Path) -> None:
    changing = landlock.WRITE_FILE | landlock.MAKE_REG | landlock.REMOVE_FILE | landlock.TRUNCATE
    may_change = {path for path, rights in rules_of(plan(tmp_path)) if rights & changing}
    assert may_change == {tmp_path / "writable", Path(os.devnull)}


def test_nothing_in_a_writable_directory_can_be_executed(tmp_path: Path) -> None:
    assert {path for path, rights in rules_of(plan(tmp_path)) if rights & landlock.EXECUTE} == {tmp_path / "file"}


def rules(kernel: PretendedKernel, kind: int) -> list[bytes]:
    found = [arguments[2] for arguments in kernel.arguments_of("landlock_add_rule") if arguments[1] == kind]
    return [rule for rule in found if isinstance(rule, bytes)]


def test_absent_paths_are_passed_over_and_files_get_rights_of_files(tmp_path: Path) -> None:
    kernel = PretendedKernel()
    assert landlock.restrict(kernel, plan(tmp_path), threads=1) == "ABI 7"
    granted = [struct.unpack("=Qi", rule)[0] for rule in rules(kernel, 1)]
    # listable, two readable, executable, device, writable: all but the absent one
    assert len(granted) == 6
    assert granted[2] == landlock.READ_FILE  # the readable file: no right to list it


def test_ports_are_granted_from_version_4_on(tmp_path: Path) -> None:
    for abi, ports in ((3, []), (4, [53, 9900])):
        kernel = PretendedKernel(abi)
        folder = tmp_path / str(abi)
        folder.mkdir()
        landlock.restrict(kernel, plan(folder), threads=1)
        assert [struct.unpack("=QQ", rule)[1] for rule in rules(kernel, 2)] == ports


@pytest.mark.parametrize(
    ("abi", "threads", "flags", "detail"),
    [
        (7, 1, 0, "ABI 7"),
        (7, 3, 0, "ABI 7, 2 earlier threads outside"),
        (8, 3, 8, "ABI 8"),
        (8, 1, 0, "ABI 8"),
    ],
)
def test_threads_that_stay_outside_are_counted(tmp_path: Path, abi: int, threads: int, flags: int, detail: str) -> None:
    kernel = PretendedKernel(abi)
    assert landlock.restrict(kernel, plan(tmp_path), threads=threads) == detail
    assert kernel.arguments_of("landlock_restrict_self")[0][1] == flags


def test_no_descriptor_is_left_open_when_the_kernel_refuses(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    kernel = PretendedKernel(failing={"landlock_add_rule": errno.EINVAL})
    with pytest.raises(OSError, match="landlock_add_rule"):
        landlock.restrict(kernel, plan(tmp_path), threads=1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
