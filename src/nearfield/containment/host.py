"""What this machine offers for containment. Changes nothing."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from nearfield.containment.kernel import Kernel
from nearfield.containment.landlock import landlock_abi
from nearfield.containment.report import State, take
from nearfield.containment.seccomp import is_available

_LIMITS = ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CORE")


@dataclass(frozen=True, slots=True)
class HostReport:
    """The machine, as a worker would find it.

    Attributes:
        kernel: release, such as `6.18.44`.
        cpus: that this process may use.
        memory_bytes: of the machine; None where it does not say.
        landlock_abi: None when Landlock is absent; then `landlock_why_not` says why.
        seccomp: whether filters can be installed, by this kernel and with our table of this machine's calls.
        capabilities: how many this process holds; a worker gives up all.
        hard_limits: resource limits that nobody here can raise; None: no limit.
        engines: versions, as given by the caller.
    """

    kernel: str
    machine: str
    cpus: int
    memory_bytes: int | None
    landlock_abi: int | None
    landlock_why_not: str | None
    seccomp: bool
    capabilities: int
    hard_limits: dict[str, int | None]
    engines: dict[str, str]


def host_report(engines: Mapping[str, str] | None = None, *, kernel: Kernel | None = None) -> HostReport:
    """Look at this machine.

    Args:
        engines: names and versions of the native engines, to be part of the report.
    """
    used = kernel or Kernel()
    found = take("landlock", lambda: str(landlock_abi(used)))
    has_landlock = found.state is State.ACTIVE
    return HostReport(
        kernel=platform.release(),
        machine=platform.machine(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        landlock_abi=int(found.detail) if has_landlock else None,
        landlock_why_not=None if has_landlock else found.detail,
        seccomp=used.machine is not None and is_available(used),
        capabilities=_capability_count(),
        hard_limits={name: _hard_limit(name) for name in _LIMITS},
        engines=dict(engines or {}),
    )


def _memory_bytes() -> int | None:
    with suppress(OSError, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def _hard_limit(name: str) -> int | None:
    _, hard = resource.getrlimit(getattr(resource, name))
    return None if hard == resource.RLIM_INFINITY else hard


def _capability_count() -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "CapEff":
                return int(value, 16).bit_count()
    return 0
