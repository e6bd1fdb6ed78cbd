"""What a worker's system calls are refused: the table, and a filter program made from it. Pure.

Everything that is not named stays allowed: three native engines call what their next release likes (docs/adr/0008).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nearfield.containment.syscalls import Machine

INSTRUCTION_BYTES = 8

# Classic BPF, `linux/filter.h`, on `struct seccomp_data`: number, architecture, instruction pointer, six arguments.
_LOAD, _AND, _JUMP_EQUAL, _JUMP_ABOVE, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _FAIL_WITH = 0x7FFF_0000, 0x0005_0000
_WORD = 0xFFFF_FFFF

_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


@dataclass(frozen=True, slots=True)
class Argument:
    """A condition on the lower 32 bits of an argument, which is all the kernel reads of those named here.

    Attributes:
        index: 0 to 5.
        values: it holds when the masked argument is one of these,
        mask: which bits count,
        negated: or when it is none of them.
    """

    index: int
    values: tuple[int, ...]
    mask: int = _WORD
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A system call that fails with `error`, when all conditions hold."""

    name: str
    conditions: tuple[Argument, ...] = ()
    error: int = errno.EPERM


_MOUNTS = (
    "mount umount2 pivot_root chroot open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick mount_setattr"
)
_OTHER_PROCESSES = "ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd setns unshare"
_KERNEL = (
    "bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register init_module finit_module"
    " delete_module kexec_load kexec_file_load reboot swapon swapoff acct quotactl quotactl_fd syslog nfsservctl"
    " sethostname setdomainname settimeofday clock_settime adjtimex clock_adjtime personality vhangup ioperm iopl"
    " modify_ldt uselib lookup_dcookie fanotify_init"
)
_KEYS = "add_key request_key keyctl"
_IDENTITY = "setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset"
_FILES = "mknod mknodat name_to_handle_at open_by_handle_at"
_NEW_PROCESSES = ["execve", "execveat", "fork", "vfork", "pidfd_open", "pidfd_send_signal", "tkill"]
_EVER_REFUSED = " ".join((_MOUNTS, _OTHER_PROCESSES, _KERNEL, _KEYS, _IDENTITY, _FILES)).split()

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h)
_NAMESPACES = 0x7E02_0000
_THREAD = 0x0001_0000  # CLONE_THREAD
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16  # linux/socket.h
_DATAGRAM, _SOCKET_TYPE = 2, 0xF
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # asm-generic/ioctls.h: typing on the operator's terminal

GENERAL: tuple[Refusal, ...] = (
    *(Refusal(name) for name in _EVER_REFUSED),
    Refusal("clone", (Argument(0, (0,), _NAMESPACES, negated=True),)),
    # Its flags lie in memory, where a filter cannot look. The C library falls back to `clone` on this answer.
    Refusal("clone3", error=errno.ENOSYS),
    Refusal("socket", (Argument(0, (_UNIX, _INET, _INET6, _NETLINK), negated=True),)),
    # Stream sockets in the file system lead to daemons with more rights: containers, D-Bus. Datagrams stay, with which
    # the C library asks for names of interfaces.
    Refusal("socket", (Argument(0, (_UNIX,)), Argument(1, (_DATAGRAM,), _SOCKET_TYPE, negated=True))),
    Refusal("ioctl", (Argument(1, (_TIOCSTI, _TIOCLINUX)),)),
)
"""For the worker and for processes that it starts."""


def sealing(pid: int) -> tuple[Refusal, ...]:
    """For the worker alone, whose process id this is: no new process or program, no word to other processes."""
    others = Argument(0, (pid,), negated=True)
    return (
        *(Refusal(name) for name in _NEW_PROCESSES),
        Refusal("clone", (Argument(0, (0,), _THREAD),)),
        *(Refusal(name, (others,)) for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")),
        Refusal("prlimit64", (Argument(0, (0, pid), negated=True),)),
    )


def compile_filter(refusals: Iterable[Refusal], machine: Machine) -> bytes:
    """The program for `seccomp`. Calls by the rules of another architecture, which have other numbers, all fail."""
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, machine.audit_arch),
        _fail(errno.EPERM),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_ABOVE, 0, 1, machine.most_number),
        _fail(errno.EPERM),
    ]
    for refusal in refusals:
        if refusal.name in machine.numbers:
            program += _block(machine.numbers[refusal.name], refusal)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _block(number: int, refusal: Refusal) -> list[_Instruction]:
    """Instructions that return when the call is to fail, and otherwise fall through with its number loaded again."""
    if not refusal.conditions:
        return [(_JUMP_EQUAL, 0, 1, number), _fail(refusal.error)]
    body: list[_Instruction] = [_fail(refusal.error)]
    for condition in reversed(refusal.conditions):
        body = [*_test(condition, len(body)), *body]
    return [(_JUMP_EQUAL, 0, len(body) + 1, number), *body, (_LOAD, 0, 0, _NUMBER_AT)]


def _test(condition: Argument, length: int) -> Iterator[_Instruction]:
    """Instructions that jump over the `length` that follow unless the condition holds."""
    yield (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * condition.index)
    if condition.mask != _WORD:
        yield (_AND, 0, 0, condition.mask)
    last = len(condition.values) - 1
    for number, value in enumerate(condition.values):
        on_equal = last - number + (length if condition.negated else 0)
        on_other = length if number == last and not condition.negated else 0
        yield (_JUMP_EQUAL, on_equal, on_other, value)


def _fail(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _FAIL_WITH | error)
