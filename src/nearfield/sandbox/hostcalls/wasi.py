"""A closed `wasi_snapshot_preview1`: what Rust's std and wasi-libc need to start, and nothing of the host.

No arguments, no sockets, an empty stdin. Stdout and stderr become log lines. A WASI command has its name as its
argument, the frame on stdin, and its stdout is kept (`Process`). Clocks and random numbers are given; environment and
directories (`wasi_files`) only where they are granted. Every other function of the module exists and answers with an
errno, so that guests link. Our own functions rather than wasmtime's: see ADR 0004.

Source: WASI snapshot-01 (witx), for layouts and numbers.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from struct import Struct
from typing import Any

from nearfield.errors import GuestExited
from nearfield.sandbox.call import Call
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi_files
from nearfield.sandbox.shape import ImportShape
from nearfield.sandbox.signature import Signature

MODULE = "wasi_snapshot_preview1"

SUCCESS, BADF, FAULT, INVAL, NOSYS, SPIPE, NOTSUP = 0, 8, 21, 28, 52, 70, 58

STDIN, STDOUT, STDERR = 0, 1, 2
_STREAM_LEVELS = {STDOUT: 1, STDERR: 2}

REALTIME, MONOTONIC = 0, 1

_PAIR = Struct("<II")
# fdstat: file type, flags, base rights, inheriting rights. A character device without the right to seek is what
# wasi-libc takes for a terminal: it then writes line by line.
_FDSTAT = Struct("<BxHxxxxQQ")
_FILESTAT = Struct("<QQBxxxxxxxQQQQQ")
_UNKNOWN, _CHARACTER_DEVICE = 0, 2
_RIGHT_READ, _RIGHT_WRITE = 1 << 1, 1 << 6

# subscription: user data, kind, clock, timeout, precision, flags; event: user data, error, kind.
_SUBSCRIPTION = Struct("<QBxxxxxxxIxxxxQQHxxxxxx")
_EVENT = Struct("<QHBxxxxxxxxxxxxxxxxxxxxx")
_CLOCK_EVENT = 0
_ABSOLUTE_TIME = 1
_MOST_SUBSCRIPTIONS = 16

# One call takes no more than this; a short write is legal, and the guest calls again for the rest.
_MOST_BYTES_WRITTEN = 16 * 1024
_MOST_VECTORS = 1024
_MOST_RANDOM_BYTES = 64 * 1024


def args_get(host: Host, array_pointer: int, buffer_pointer: int) -> int:
    """The arguments of a command, each with a zero byte at its end; other guests have none."""
    return _write_strings(host, _arguments(host), array_pointer, buffer_pointer)


def args_sizes_get(host: Host, count_pointer: int, size_pointer: int) -> int:
    return _write_sizes(host, _arguments(host), count_pointer, size_pointer)


def environ_get(host: Host, array_pointer: int, buffer_pointer: int) -> int:
    """The granted variables, as `NAME=VALUE` with a zero byte at the end of each."""
    return _write_strings(host, _environment(host), array_pointer, buffer_pointer)


def environ_sizes_get(host: Host, count_pointer: int, size_pointer: int) -> int:
    return _write_sizes(host, _environment(host), count_pointer, size_pointer)


def _write_strings(host: Host, strings: Sequence[bytes], array_pointer: int, buffer_pointer: int) -> int:
    """The strings one after the other, and an array of pointers to them."""
    for string in strings:
        host.memory.write_u32(array_pointer, buffer_pointer)
        host.memory.write(buffer_pointer, string)
        array_pointer += 4
        buffer_pointer += len(string)
    return SUCCESS


def _write_sizes(host: Host, strings: Sequence[bytes], count_pointer: int, size_pointer: int) -> int:
    """How many strings there are, and their bytes together."""
    host.memory.write_u32(count_pointer, len(strings))
    host.memory.write_u32(size_pointer, sum(map(len, strings)))
    return SUCCESS


def _arguments(host: Host) -> list[bytes]:
    process = host.call.process
    return [] if process is None else [argument.encode() + b"\0" for argument in process.arguments]


def _environment(host: Host) -> list[bytes]:
    return [f"{name}={value}\0".encode() for name, value in host.grants.environment.items()]


def clock_res_get(host: Host, clock: int, pointer: int) -> int:
    if clock not in (REALTIME, MONOTONIC):
        return INVAL
    host.memory.write_u64(pointer, host.grants.clock_resolution_ns)
    return SUCCESS


def clock_time_get(host: Host, clock: int, precision: int, pointer: int) -> int:
    if clock not in (REALTIME, MONOTONIC):
        return INVAL
    now_ns = _now_ns(clock)
    host.memory.write_u64(pointer, now_ns - now_ns % host.grants.clock_resolution_ns)
    return SUCCESS


def random_get(host: Host, pointer: int, length: int) -> int:
    host.memory.check(pointer, length)
    for start in range(0, length, _MOST_RANDOM_BYTES):
        host.memory.write(pointer + start, host.random(min(_MOST_RANDOM_BYTES, length - start)))
        host.call.check_deadline()
    return SUCCESS


def fd_write(host: Host, fd: int, vectors_pointer: int, count: int, written_pointer: int) -> int:
    if fd not in _STREAM_LEVELS:
        return wasi_files.write(host, fd, vectors_pointer, count, written_pointer)
    if count > _MOST_VECTORS:
        return INVAL
    host.memory.check(written_pointer, 4)
    written = 0
    for pointer, length in _PAIR.iter_unpack(host.memory.read(vectors_pointer, count * _PAIR.size)):
        host.memory.check(pointer, length)
        taken = min(length, _MOST_BYTES_WRITTEN - written)
        _write(host.call, fd, host.memory.read(pointer, taken))
        written += taken
    host.memory.write_u32(written_pointer, written)
    return SUCCESS


def _write(call: Call, fd: int, data: bytes) -> None:
    """To the log; the standard output of a command is its result instead."""
    if call.process is not None and fd == STDOUT:
        call.process.write(data)
        return
    if call.process is not None:
        call.process.note_error(data)
    call.write_stream(_STREAM_LEVELS[fd], data)


def fd_read(host: Host, fd: int, vectors_pointer: int, count: int, read_pointer: int) -> int:
    """The standard input: a command's payload, nothing for other guests."""
    if fd != STDIN:
        return wasi_files.read(host, fd, vectors_pointer, count, read_pointer)
    if count > _MOST_VECTORS:
        return INVAL
    host.memory.check(read_pointer, 4)
    process = host.call.process
    read = 0
    for pointer, length in _PAIR.iter_unpack(host.memory.read(vectors_pointer, count * _PAIR.size)):
        host.memory.check(pointer, length)
        if process is not None:
            data = process.read(length)
            host.memory.write(pointer, data)
            read += len(data)
    host.memory.write_u32(read_pointer, read)
    return SUCCESS


def fd_fdstat_get(host: Host, fd: int, pointer: int) -> int:
    if fd > STDERR:
        return wasi_files.fdstat_get(host, fd, pointer)
    rights = _RIGHT_READ if fd == STDIN else _RIGHT_WRITE
    host.memory.write(pointer, _FDSTAT.pack(_file_type(host, fd), 0, rights, 0))
    return SUCCESS


def fd_fdstat_set_flags(host: Host, fd: int, flags: int) -> int:
    """The streams have no other ways; Go asks for one that does not block, and goes on without."""
    return NOTSUP if fd <= STDERR else wasi_files.fdstat_set_flags(host, fd, flags)


def fd_filestat_get(host: Host, fd: int, pointer: int) -> int:
    if fd > STDERR:
        return wasi_files.filestat_get(host, fd, pointer)
    host.memory.write(pointer, _FILESTAT.pack(0, 0, _file_type(host, fd), 1, 0, 0, 0, 0))
    return SUCCESS


def _file_type(host: Host, fd: int) -> int:
    """Pipes have no type of their own. For a terminal wasi-libc writes each line by itself, which takes longer."""
    return _CHARACTER_DEVICE if host.call.process is None or fd == STDERR else _UNKNOWN


def fd_close(host: Host, fd: int) -> int:
    return SUCCESS if fd <= STDERR else wasi_files.close(host, fd)


def fd_seek(host: Host, fd: int, offset: int, whence: int, pointer: int) -> int:
    return SPIPE if fd <= STDERR else wasi_files.seek(host, fd, offset, whence, pointer)


def sched_yield(host: Host) -> int:
    return SUCCESS


def proc_exit(host: Host, status: int) -> None:
    host.call.exit_status = status
    raise GuestExited(f"guest exited with status {status} instead of returning")


def poll_oneoff(host: Host, in_pointer: int, out_pointer: int, count: int, events_pointer: int) -> int:
    """Sleep until the first of some clocks, never beyond the call's deadline. Files cannot be waited for."""
    if not 0 < count <= _MOST_SUBSCRIPTIONS:
        return INVAL
    host.memory.check(events_pointer, 4)
    host.memory.check(out_pointer, _EVENT.size)
    first: tuple[int, int] | None = None
    for user_data, kind, clock, timeout_ns, _, flags in _SUBSCRIPTION.iter_unpack(
        host.memory.read(in_pointer, count * _SUBSCRIPTION.size)
    ):
        if kind != _CLOCK_EVENT or clock not in (REALTIME, MONOTONIC):
            return NOTSUP
        wait_ns = max(timeout_ns - _now_ns(clock), 0) if flags & _ABSOLUTE_TIME else timeout_ns
        first = min(first or (wait_ns, user_data), (wait_ns, user_data))
    assert first is not None
    time.sleep(max(min(first[0] / 1e9, host.call.ends_at_s - time.monotonic()), 0))
    host.call.check_deadline()
    host.memory.write(out_pointer, _EVENT.pack(first[1], SUCCESS, _CLOCK_EVENT))
    host.memory.write_u32(events_pointer, 1)
    return SUCCESS


def _now_ns(clock: int) -> int:
    return time.time_ns() if clock == REALTIME else time.monotonic_ns()


def _entry(name: str, signature: str, body: Any) -> HostImport:
    return HostImport(MODULE, name, Signature.of(signature), body, FAULT)


FUNCTIONS = (
    _entry("args_get", "i32 i32 -> i32", args_get),
    _entry("args_sizes_get", "i32 i32 -> i32", args_sizes_get),
    _entry("environ_get", "i32 i32 -> i32", environ_get),
    _entry("environ_sizes_get", "i32 i32 -> i32", environ_sizes_get),
    _entry("clock_res_get", "i32 i32 -> i32", clock_res_get),
    _entry("clock_time_get", "i32 i64 i32 -> i32", clock_time_get),
    _entry("fd_close", "i32 -> i32", fd_close),
    _entry("fd_fdstat_get", "i32 i32 -> i32", fd_fdstat_get),
    _entry("fd_fdstat_set_flags", "i32 i32 -> i32", fd_fdstat_set_flags),
    _entry("fd_filestat_get", "i32 i32 -> i32", fd_filestat_get),
    _entry("fd_read", "i32 i32 i32 i32 -> i32", fd_read),
    _entry("fd_seek", "i32 i64 i32 i32 -> i32", fd_seek),
    _entry("fd_write", "i32 i32 i32 i32 -> i32", fd_write),
    _entry("poll_oneoff", "i32 i32 i32 i32 -> i32", poll_oneoff),
    _entry("proc_exit", "i32 ->", proc_exit),
    _entry("random_get", "i32 i32 -> i32", random_get),
    _entry("sched_yield", "-> i32", sched_yield),
    *(_entry(*body) for body in wasi_files.BODIES),
)

_NAMES = frozenset(entry.name for entry in FUNCTIONS)
_INTEGERS = {"i32", "i64"}


def stand_in(entry: ImportShape) -> HostImport | None:
    """An answer for every other function that returns an errno: EBADF for files and sockets, else ENOSYS."""
    signature = entry.extern.signature
    if entry.module != MODULE or entry.name in _NAMES or signature is None:
        return None
    if signature.results != ("i32",) or not _INTEGERS.issuperset(signature.params):
        return None
    errno = BADF if entry.name.startswith(("fd_", "path_", "sock_")) else NOSYS
    text = f"wasi: `{entry.name}` is not offered"

    def refuse(host: Host, *_: int) -> int:
        host.call.log(0, text)
        return errno

    return HostImport(MODULE, entry.name, signature, refuse, FAULT, note="answers with an errno")
