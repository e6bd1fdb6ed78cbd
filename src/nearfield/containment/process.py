"""Limits and privileges of this process: measures that every Linux has."""

from __future__ import annotations

import os
import resource
import stat
import struct
from contextlib import suppress
from pathlib import Path

from nearfield.containment.kernel import Kernel
from nearfield.containment.plan import ResourceLimits

# linux/prctl.h
_SET_DUMPABLE, _SET_NO_NEW_PRIVS = 4, 38
_CAPABILITIES_VERSION = 0x2008_0522  # _LINUX_CAPABILITY_VERSION_3
# Of 1,000: when memory runs out, workers go before the zipper and before what else runs here.
_FIRST_TO_GO = 500
_OOM_SCORE = "/proc/self/oom_score_adj"


def limit_resources(kernel: Kernel, limits: ResourceLimits) -> str:
    """Lower the resource limits, soft and hard. Says which was left out.

    Raises:
        OSError: the kernel refuses.
    """
    wanted = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, limits.data_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
    ]
    is_logging = _writes_to_a_file()
    if not is_logging:
        wanted.append((resource.RLIMIT_FSIZE, limits.file_bytes))
    for kind, most in wanted:
        _, hard = resource.getrlimit(kind)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        kernel.call("prlimit64", 0, kind, struct.pack("=QQ", value, value), 0)
    # The limit counts from the beginning of a file, and a log may be long already.
    return "but not of file size: output goes to a file" if is_logging else ""


def drop_capabilities(kernel: Kernel) -> str:
    """Give up every capability of this thread, and so of those that it starts. Root stays the owner of its files.

    Raises:
        OSError: the kernel refuses.
    """
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    kernel.call("capset", header, bytes(24))
    return ""


def forbid_new_privileges(kernel: Kernel) -> str:
    """No program that is executed gets more rights than this process has: set-user-id bits count for nothing.

    Raises:
        OSError: the kernel refuses.
    """
    kernel.call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return ""


def hide_memory(kernel: Kernel) -> str:
    """Other processes of this user may not look into this one's memory, where its key is, and no core is dumped.

    Raises:
        OSError: the kernel refuses.
    """
    kernel.call("prctl", _SET_DUMPABLE, 0, 0, 0, 0)
    return ""


def be_first_out_of_memory(kernel: Kernel) -> str:
    """Have the kernel choose this process first when memory runs out.

    Raises:
        OSError: not allowed here.
    """
    if int(Path(_OOM_SCORE).read_text()) < _FIRST_TO_GO:
        kernel.write(_OOM_SCORE, str(_FIRST_TO_GO))
    return ""


def thread_count() -> int:
    """Threads of this process; 1 where it cannot be known."""
    with suppress(OSError):
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are enough
    return 1


def _writes_to_a_file() -> bool:
    for descriptor in (1, 2):
        with suppress(OSError):
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return True
    return False
