"""Kernels that are not there: what containment asks of them is recorded, and nothing happens to this process."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path

from nearfield.containment import ContainmentPlan, Kernel, ResourceLimits
from nearfield.containment.syscalls import MACHINES, Machine

GET_VERSION = 1


class PretendedKernel(Kernel):
    """A kernel with a certain version of Landlock.

    Args:
        failing: error numbers by system call name.
        machine: its processor; None: one without a table.
    """

    def __init__(
        self, abi: int = 7, failing: Mapping[str, int] | None = None, machine: Machine | None = MACHINES["x86_64"]
    ) -> None:
        self.calls: list[tuple[str, tuple[int | bytes, ...]]] = []
        self.written: list[tuple[str, str]] = []
        self._abi = abi
        self._failing = failing or {}
        self._machine = machine

    @property
    def machine(self) -> Machine | None:
        return self._machine

    def call(self, name: str, *arguments: int | bytes) -> int:
        if self._machine is None or name in self._failing:
            code = self._failing.get(name, errno.ENOSYS)
            raise OSError(code, os.strerror(code), name)
        self.calls.append((name, arguments))
        if name == "landlock_create_ruleset":
            return self._abi if arguments[2] == GET_VERSION else os.open(os.devnull, os.O_RDONLY)
        return 0

    def write(self, path: str, text: str) -> None:
        self.written.append((path, text))

    def arguments_of(self, name: str) -> list[tuple[int | bytes, ...]]:
        """Arguments of each call with this name."""
        return [arguments for called, arguments in self.calls if called == name]


def plan(folder: Path) -> ContainmentPlan:
    """A plan over some files that exist and some that do not."""
    (folder / "readable").mkdir()
    (folder / "file").touch()
    (folder / "writable").mkdir()
    return ContainmentPlan(
        readable=(folder / "readable", folder / "file", folder / "absent"),
        listable=(folder,),
        executable=(folder / "file",),
        writable=(folder / "writable",),
        granted=(),
        devices=(Path(os.devnull),),
        tcp_ports=(53, 9900),
        limits=ResourceLimits(data_bytes=1 << 30, file_bytes=1 << 26, open_files=512),
    )
