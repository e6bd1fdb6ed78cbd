"""CPU time of a process and its threads, from the kernel."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Zenoh names its threads: rx-0, tx-1, net-0, app-0, acc-0. Those of Python keep the name of the program.
_ZENOH = ("rx-", "tx-", "net-", "app-", "acc-")


def seconds_by_kind(pid: int) -> dict[str, float]:
    """CPU seconds so far: of zenoh's threads, and of those that run Python.

    Threads that ended are not in it, so compare only moments between which none does.
    """
    kinds = {"zenoh": 0.0, "Python": 0.0}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            kind = "zenoh" if (thread / "comm").read_text().startswith(_ZENOH) else "Python"
            kinds[kind] += int((thread / "schedstat").read_text().split()[0]) / 1e9
    return kinds


def seconds(pid: int) -> float:
    """CPU seconds so far."""
    return sum(seconds_by_kind(pid).values())


def resident_bytes(pid: int) -> int:
    """Memory of the process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
