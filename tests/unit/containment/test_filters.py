"""The filter program does what the table says, on both machines: it is run here, instruction by instruction."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.containment.filters import GENERAL, Argument, Refusal, compile_filter, sealing
from nearfield.containment.syscalls import MACHINES, Machine

PID = 4242
ALLOW, FAIL_WITH = 0x7FFF_0000, 0x0005_0000
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_ALG, AF_VSOCK = 1, 2, 10, 16, 17, 38, 40
STREAM, DATAGRAM, CLOEXEC = 1, 2, 0o2000000
CLONE_OF_A_THREAD = 0x003D_0F00  # what the C library passes for a new thread
CLONE_OF_A_PROCESS = 0x0120_0011  # and for a child with SIGCHLD

both = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


def answer(program: bytes, machine: Machine, number: int, *arguments: int, architecture: int | None = None) -> int:
    """What the kernel would do with this call: 0 to allow it, else the error number."""
    values = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, architecture or machine.audit_arch, 0, *values)
    instructions = list(struct.iter_unpack("=HBBI", program))
    position, accumulator = 0, 0
    while True:
        code, if_true, if_false, operand = instructions[position]
        position += 1
        if code == 0x20:  # load a word
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:  # and
            accumulator &= operand
        elif code == 0x15:  # jump when equal
            position += if_true if accumulator == operand else if_false
        elif code == 0x25:  # jump when above
            position += if_true if accumulator > operand else if_false
        elif code == 0x06:  # return
            return 0 if operand == ALLOW else operand - FAIL_WITH
        else:
            raise AssertionError(f"instruction {position - 1}: code {code:#x}")


def of(program: bytes, machine: Machine, name: str, *arguments: int) -> int:
    return answer(program, machine, machine.numbers[name], *arguments)


@both
def test_calls_without_conditions_fail_with_their_error(machine: Machine) -> None:
    program = compile_filter(GENERAL, machine)
    for refusal in GENERAL:
        if not refusal.conditions and refusal.name in machine.numbers:
            assert of(program, machine, refusal.name, 7, 7, 7) == refusal.error, refusal


@both
def test_every_refused_call_has_a_number_on_some_machine(machine: Machine) -> None:
    known = {name for each in MACHINES.values() for name in each.numbers}
    assert {refusal.name for refusal in (*GENERAL, *sealing(PID))} <= known
    assert len(set(machine.numbers.values())) == len(machine.numbers)


@both
def test_everything_else_is_allowed(machine: Machine) -> None:
    program = compile_filter((*GENERAL, *sealing(PID)), machine)
    named = {machine.numbers[refusal.name] for refusal in (*GENERAL, *sealing(PID)) if refusal.name in machine.numbers}
    for number in range(1024):
        if number not in named:
            assert answer(program, machine, number, PID, PID, PID) == 0, number


@both
@pytest.mark.parametrize(
    ("family", "kind", "error"),
    [
        (AF_INET, DATAGRAM | CLOEXEC, 0),
        (AF_INET6, STREAM, 0),
        (AF_NETLINK, 3, 0),
        (AF_UNIX, DATAGRAM | CLOEXEC, 0),
        (AF_UNIX, STREAM | CLOEXEC, errno.EPERM),
        (AF_UNIX, 5, errno.EPERM),
        (AF_PACKET, 3, errno.EPERM),
        (AF_ALG, 5, errno.EPERM),
        (AF_VSOCK, STREAM, errno.EPERM),
    ],
)
def test_sockets_are_for_the_internet_only(machine: Machine, family: int, kind: int, error: int) -> None:
    assert of(compile_filter(GENERAL, machine), machine, "socket", family, kind) == error


@both
def test_threads_can_be_made_but_no_namespaces(machine: Machine) -> None:
    program = compile_filter(GENERAL, machine)
    assert of(program, machine, "clone", CLONE_OF_A_THREAD) == 0
    assert of(program, machine, "clone", CLONE_OF_A_PROCESS) == 0
    assert of(program, machine, "clone", CLONE_OF_A_PROCESS | 0x1000_0000) == errno.EPERM
    assert of(program, machine, "clone3") == errno.ENOSYS


@both
def test_a_sealed_worker_has_threads_only_and_speaks_to_itself(machine: Machine) -> None:
    program = compile_filter(sealing(PID), machine)
    assert of(program, machine, "clone", CLONE_OF_A_THREAD) == 0
    assert of(program, machine, "clone", CLONE_OF_A_PROCESS) == errno.EPERM
    assert of(program, machine, "execve") == errno.EPERM
    for name in ("kill", "tgkill"):
        assert of(program, machine, name, PID, 6) == 0
        assert of(program, machine, name, PID + 1, 9) == errno.EPERM
        assert of(program, machine, name, 2**32 - 1, 9) == errno.EPERM  # -1: everybody
    assert [of(program, machine, "prlimit64", pid) for pid in (0, PID, 1)] == [0, 0, errno.EPERM]


@both
def test_terminal_cannot_be_typed_on(machine: Machine) -> None:
    program = compile_filter(GENERAL, machine)
    assert of(program, machine, "ioctl", 0, 0x5401) == 0
    assert of(program, machine, "ioctl", 0, 0x5412) == errno.EPERM
    assert of(program, machine, "ioctl", 0, 0x541C) == errno.EPERM


def test_calls_by_other_rules_fail_altogether() -> None:
    machine = MACHINES["x86_64"]
    program = compile_filter((), machine)
    assert answer(program, machine, 1) == 0
    assert answer(program, machine, 1, architecture=0x4000_0003) == errno.EPERM  # 32 bit, where 1 is exit
    assert answer(program, machine, 0x4000_0000 | 1) == errno.EPERM  # x32


conditions = st.builds(
    Argument,
    st.integers(0, 5),
    st.lists(st.integers(0, 7), min_size=1, max_size=4).map(tuple),
    st.sampled_from([0xFFFF_FFFF, 3, 6]),
    st.booleans(),
)
refusals = st.lists(
    st.builds(
        Refusal,
        st.sampled_from(["socket", "clone", "ioctl", "kill"]),
        st.lists(conditions, max_size=3).map(tuple),
        st.sampled_from([errno.EPERM, errno.ENOSYS]),
    ),
    max_size=6,
)


def holds(condition: Argument, arguments: Sequence[int]) -> bool:
    return (arguments[condition.index] & condition.mask in condition.values) != condition.negated


def errors(table: Sequence[Refusal], name: str, arguments: Sequence[int]) -> Iterator[int]:
    for refusal in table:
        if refusal.name == name and all(holds(condition, arguments) for condition in refusal.conditions):
            yield refusal.error


@given(refusals, st.sampled_from(["socket", "kill", "execve"]), st.lists(st.integers(0, 7), min_size=6, max_size=6))
def test_first_refusal_whose_conditions_hold_decides(table: list[Refusal], name: str, arguments: list[int]) -> None:
    for machine in MACHINES.values():
        got = of(compile_filter(table, machine), machine, name, *arguments)
        assert got == next(errors(table, name, arguments), 0)


@both
def test_the_program_is_within_what_the_kernel_takes(machine: Machine) -> None:
    assert len(compile_filter((*GENERAL, *sealing(os.getpid())), machine)) // 8 < 4096  # BPF_MAXINSNS
