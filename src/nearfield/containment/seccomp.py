"""Installing system call filters."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from nearfield.containment.filters import INSTRUCTION_BYTES, Refusal, compile_filter
from nearfield.containment.kernel import Kernel, Program

# linux/seccomp.h
_SET_MODE_FILTER, _GET_ACTION_AVAILABLE = 1, 2
_ALL_THREADS = 1
_FAIL_WITH = 0x0005_0000


def is_available(kernel: Kernel) -> bool:
    """Whether the kernel takes filters that let a call fail."""
    try:
        kernel.call("seccomp", _GET_ACTION_AVAILABLE, 0, _FAIL_WITH.to_bytes(4, "little"))
    except OSError:
        return False
    return True


def refuse(kernel: Kernel, refusals: Iterable[Refusal]) -> None:
    """Have these calls fail from now on in all threads of this process and in processes that it starts. For good.

    Needs `PR_SET_NO_NEW_PRIVS` before.

    Raises:
        OSError: the kernel does not have it, or refuses.
    """
    machine = kernel.machine
    if machine is None or not is_available(kernel):
        raise OSError(errno.ENOSYS, "no filters of system calls on this machine")
    program = Program(compile_filter(refusals, machine), INSTRUCTION_BYTES)
    thread = kernel.call("seccomp", _SET_MODE_FILTER, _ALL_THREADS, program.reference)
    if thread:
        raise OSError(errno.ESRCH, f"thread {thread} has a filter of its own", "seccomp")
