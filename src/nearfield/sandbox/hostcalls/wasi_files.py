"""Files in granted directories: the `fd_` and `path_` functions of `wasi_snapshot_preview1`.

What Rust's std and wasi-libc use to read, list, and where that is granted write. No links are made. Without granted
directories there is nothing to open, and every function answers with EBADF.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from nearfield.sandbox.beneath import MAX_PATH_BYTES, open_beneath, parent_beneath
from nearfield.sandbox.call import WARNING
from nearfield.sandbox.files import OpenFile
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi_types as w

# One call takes no more than this, which is allowed: the guest calls again for the rest.
_MOST_BYTES = 1024 * 1024
_MOST_VECTORS = 1024

# A listing is kept in memory while the guest reads it.
_MOST_ENTRIES = 65_536

_SET, _CURRENT, _END = 0, 1, 2


class _Refused(Exception):
    """Ends a function with an errno."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


def _answering(body: Callable[..., int | None]) -> Callable[..., int]:
    """Turn what the kernel refuses into the guest's errno."""

    def answer(host: Host, *values: int) -> int:
        try:
            return body(host, *values) or w.SUCCESS
        except _Refused as refused:
            return refused.errno
        except OSError as error:
            return w.errno_of(error)

    return answer


# By number ------------------------------------------------------------------------------------------------------------


def close(host: Host, fd: int) -> int:
    return w.SUCCESS if host.files.forget(fd) else w.BADF


@_answering
def read(host: Host, fd: int, vectors_pointer: int, count: int, read_pointer: int) -> None:
    _read(host, fd, vectors_pointer, count, read_pointer, lambda file, most: os.read(file, most))


@_answering
def pread(host: Host, fd: int, vectors_pointer: int, count: int, offset: int, read_pointer: int) -> None:
    at = _offset(offset)

    def read_at(file: int, most: int) -> bytes:
        nonlocal at
        data = os.pread(file, most, at)
        at += len(data)
        return data

    _read(host, fd, vectors_pointer, count, read_pointer, read_at)


def _read(
    host: Host, fd: int, vectors_pointer: int, count: int, read_pointer: int, take: Callable[[int, int], bytes]
) -> None:
    file = _regular(host, fd)
    host.memory.check(read_pointer, 4)
    # All are looked at first: what was read from a file and then has no place would be lost.
    vectors = _vectors(host, vectors_pointer, count)
    total = 0
    for pointer, length in vectors:
        wanted = min(length, _MOST_BYTES - total)
        data = take(file.descriptor, wanted) if wanted else b""
        host.memory.write(pointer, data)
        total += len(data)
        if len(data) < length:
            break
    host.memory.write_u32(read_pointer, total)


@_answering
def write(host: Host, fd: int, vectors_pointer: int, count: int, written_pointer: int) -> None:
    _write(host, fd, vectors_pointer, count, written_pointer, lambda file, data: os.write(file, data))


@_answering
def pwrite(host: Host, fd: int, vectors_pointer: int, count: int, offset: int, written_pointer: int) -> None:
    at = _offset(offset)
    _write(host, fd, vectors_pointer, count, written_pointer, lambda file, data: os.pwrite(file, data, at))


def _write(
    host: Host, fd: int, vectors_pointer: int, count: int, written_pointer: int, put: Callable[[int, bytes], int]
) -> None:
    file = _regular(host, fd)
    if not file.may_write:
        raise _Refused(w.BADF)
    host.memory.check(written_pointer, 4)
    parts, room = [], _MOST_BYTES
    for pointer, length in _vectors(host, vectors_pointer, count):
        parts.append(host.memory.read(pointer, min(length, room)))
        room -= len(parts[-1])
    data = b"".join(parts)
    _charge(host, len(data))
    host.memory.write_u32(written_pointer, put(file.descriptor, data) if data else 0)


def _charge(host: Host, length: int) -> None:
    """A full disk is everybody's problem, so one call writes at most what it may emit."""
    if host.call.file_bytes + length > host.limits.output_bytes:
        host.call.log(WARNING, f"wasi: files: all {host.limits.output_bytes} bytes of this call are written")
        raise _Refused(w.DQUOT)
    host.call.file_bytes += length


@_answering
def seek(host: Host, fd: int, offset: int, whence: int, pointer: int) -> None:
    file = _regular(host, fd)
    host.memory.check(pointer, 8)
    if whence not in (_SET, _CURRENT, _END):
        raise _Refused(w.INVAL)
    signed = offset - (1 << 64) if offset >> 63 else offset
    host.memory.write_u64(pointer, os.lseek(file.descriptor, signed, whence))


def tell(host: Host, fd: int, pointer: int) -> int:
    return seek(host, fd, 0, _CURRENT, pointer)


@_answering
def sync(host: Host, fd: int) -> None:
    file = _file(host, fd)
    with host.timed("files"):
        os.fsync(file.descriptor)


@_answering
def advise(host: Host, fd: int, offset: int, length: int, advice: int) -> None:
    _regular(host, fd)


@_answering
def allocate(host: Host, fd: int, offset: int, length: int) -> None:
    _regular(host, fd)
    raise _Refused(w.NOTSUP)


@_answering
def fdstat_get(host: Host, fd: int, pointer: int) -> None:
    file = _file(host, fd)
    kind = w.file_type(os.fstat(file.descriptor).st_mode)
    rights = w.ALL_RIGHTS if file.may_write else w.ALL_RIGHTS & ~w.CHANGING_RIGHTS
    host.memory.write(pointer, w.FDSTAT.pack(kind, file.flags, rights, rights if file.is_directory else 0))


@_answering
def fdstat_set_flags(host: Host, fd: int, flags: int) -> None:
    file = _file(host, fd)
    if flags != file.flags:
        raise _Refused(w.NOTSUP)


@_answering
def fdstat_set_rights(host: Host, fd: int, base: int, inheriting: int) -> None:
    # Rights can only be given up here, and a guest that gives some up will not miss them.
    _file(host, fd)


@_answering
def filestat_get(host: Host, fd: int, pointer: int) -> None:
    host.memory.write(pointer, w.filestat(os.fstat(_file(host, fd).descriptor)))


@_answering
def filestat_set_size(host: Host, fd: int, size: int) -> None:
    file = _regular(host, fd)
    if not file.may_write:
        raise _Refused(w.BADF)
    _charge(host, max(size - os.fstat(file.descriptor).st_size, 0))
    os.truncate(file.descriptor, _offset(size))


@_answering
def filestat_set_times(host: Host, fd: int, accessed: int, modified: int, flags: int) -> None:
    file = _file(host, fd)
    if not file.may_write:
        raise _Refused(w.ROFS)
    os.utime(file.descriptor, ns=_times(os.fstat(file.descriptor), accessed, modified, flags))


@_answering
def renumber(host: Host, fd: int, new_fd: int) -> None:
    _file(host, fd)
    _file(host, new_fd)
    host.files.renumber(fd, new_fd)


@_answering
def prestat_get(host: Host, fd: int, pointer: int) -> None:
    host.memory.write(pointer, w.PRESTAT.pack(0, len(_granted_name(host, fd))))


@_answering
def prestat_dir_name(host: Host, fd: int, pointer: int, length: int) -> None:
    name = _granted_name(host, fd)
    host.memory.check(pointer, length)
    if length < len(name):
        raise _Refused(w.NAMETOOLONG)
    host.memory.write(pointer, name)


def _granted_name(host: Host, fd: int) -> bytes:
    path = _file(host, fd).guest_path
    if path is None:
        raise _Refused(w.BADF)
    return path.encode()


@_answering
def readdir(host: Host, fd: int, pointer: int, length: int, cookie: int, used_pointer: int) -> None:
    """As many entries as fit; the last one may be cut off, which tells the guest that there are more."""
    file = _directory(host, fd)
    host.memory.check(pointer, length)
    host.memory.check(used_pointer, 4)
    if cookie == 0:
        file.entries = list(_list(file))
        if len(file.entries) >= _MOST_ENTRIES:
            host.call.log(WARNING, f"wasi: fd_readdir: more than {_MOST_ENTRIES} entries; the rest is not listed")
    used = 0
    for place, (inode, name, kind) in enumerate(file.entries[cookie:], cookie + 1):
        entry = w.DIRENT.pack(place, inode, len(name), kind) + name
        host.memory.write(pointer + used, entry[: length - used])
        used = min(used + len(entry), length)
        if used == length:
            break
    host.memory.write_u32(used_pointer, used)


def _list(file: OpenFile) -> Iterator[tuple[int, bytes, int]]:
    own = os.fstat(file.descriptor).st_ino
    yield own, b".", w.DIRECTORY
    # The inode above is none of the guest's business.
    yield own, b"..", w.DIRECTORY
    with os.scandir(file.descriptor) as listing:
        found = [entry for entry in islice(listing, _MOST_ENTRIES) if entry.name.isprintable()]
    for entry in sorted(found, key=lambda entry: entry.name):
        kind = w.SYMBOLIC_LINK if entry.is_symlink() else w.UNKNOWN
        if entry.is_dir(follow_symlinks=False):
            kind = w.DIRECTORY
        elif entry.is_file(follow_symlinks=False):
            kind = w.REGULAR_FILE
        yield entry.inode(), entry.name.encode(), kind


# By path --------------------------------------------------------------------------------------------------------------


@_answering
def path_open(
    host: Host, fd: int, lookup: int, path_pointer: int, path_length: int,
    how: int, rights: int, inheriting: int, fd_flags: int, out_pointer: int,
) -> None:  # fmt: skip
    directory, path = _place(host, fd, path_pointer, path_length)
    host.memory.check(out_pointer, 4)
    changes = bool(rights & (w.RIGHT_WRITE | w.RIGHT_ALLOCATE | w.RIGHT_SET_SIZE) or fd_flags & w.FDFLAG_APPEND)
    changes = changes or bool(how & w.OFLAG_TRUNCATE)
    if (changes or how & w.OFLAG_CREATE) and not directory.may_write:
        raise _Refused(w.ROFS)
    if not host.files.has_room():
        host.call.log(WARNING, f"wasi: path_open: all {host.limits.files} files are open; close some, or raise `files`")
        raise _Refused(w.MFILE)
    reads = bool(rights & (w.RIGHT_READ | w.RIGHT_READDIR)) or not changes
    descriptor = open_beneath(directory.descriptor, path, _open_flags(lookup, how, fd_flags, reads, changes), 0o666)
    file = OpenFile(descriptor, may_write=changes, flags=fd_flags)
    if file.is_directory:
        file.may_write = directory.may_write
    elif not stat.S_ISREG(os.fstat(descriptor).st_mode):
        # Pipes and devices are doors to elsewhere.
        file.close()
        raise _Refused(w.NOTCAPABLE)
    host.memory.write_u32(out_pointer, host.files.add(file))


def _open_flags(lookup: int, how: int, fd_flags: int, reads: bool, changes: bool) -> int:
    # Without O_NONBLOCK, a pipe that nobody writes to would block here for ever.
    flags = os.O_NONBLOCK | os.O_NOCTTY | (os.O_RDWR if reads and changes else os.O_WRONLY if changes else os.O_RDONLY)
    for bit, flag in (
        (w.OFLAG_CREATE, os.O_CREAT),
        (w.OFLAG_DIRECTORY, os.O_DIRECTORY),
        (w.OFLAG_EXCLUSIVE, os.O_EXCL),
        (w.OFLAG_TRUNCATE, os.O_TRUNC),
    ):
        flags |= flag if how & bit else 0
    flags |= os.O_APPEND if fd_flags & w.FDFLAG_APPEND else 0
    return flags if lookup & w.LOOKUP_FOLLOW else flags | os.O_NOFOLLOW


@_answering
def path_filestat_get(
    host: Host, fd: int, lookup: int, path_pointer: int, path_length: int, pointer: int
) -> None:  # fmt: skip
    directory, path = _place(host, fd, path_pointer, path_length)
    flags = os.O_PATH if lookup & w.LOOKUP_FOLLOW else os.O_PATH | os.O_NOFOLLOW
    descriptor = open_beneath(directory.descriptor, path, flags)
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    host.memory.write(pointer, w.filestat(found))


@_answering
def path_filestat_set_times(
    host: Host, fd: int, lookup: int, path_pointer: int, path_length: int, accessed: int, modified: int, flags: int
) -> None:
    directory, path = _changing_place(host, fd, path_pointer, path_length)
    with parent_beneath(directory.descriptor, path) as (parent, name):
        # A link's own times, if it is one: where it leads is not looked at.
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        times = _times(found, accessed, modified, flags)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


@_answering
def path_create_directory(host: Host, fd: int, path_pointer: int, path_length: int) -> None:
    directory, path = _changing_place(host, fd, path_pointer, path_length)
    with parent_beneath(directory.descriptor, path) as (parent, name):
        os.mkdir(name, dir_fd=parent)


@_answering
def path_remove_directory(host: Host, fd: int, path_pointer: int, path_length: int) -> None:
    directory, path = _changing_place(host, fd, path_pointer, path_length)
    with parent_beneath(directory.descriptor, path) as (parent, name):
        os.rmdir(name, dir_fd=parent)


@_answering
def path_unlink_file(host: Host, fd: int, path_pointer: int, path_length: int) -> None:
    directory, path = _changing_place(host, fd, path_pointer, path_length)
    with parent_beneath(directory.descriptor, path) as (parent, name):
        os.unlink(name, dir_fd=parent)


@_answering
def path_rename(
    host: Host, fd: int, path_pointer: int, path_length: int, new_fd: int, new_pointer: int, new_length: int
) -> None:
    directory, path = _changing_place(host, fd, path_pointer, path_length)
    new_directory, new_path = _changing_place(host, new_fd, new_pointer, new_length)
    with (
        parent_beneath(directory.descriptor, path) as (parent, name),
        parent_beneath(new_directory.descriptor, new_path) as (new_parent, new_name),
    ):
        os.rename(name, new_name, src_dir_fd=parent, dst_dir_fd=new_parent)


@_answering
def path_readlink(
    host: Host, fd: int, path_pointer: int, path_length: int, pointer: int, length: int, used_pointer: int
) -> None:
    directory, path = _place(host, fd, path_pointer, path_length)
    host.memory.check(pointer, length)
    host.memory.check(used_pointer, 4)
    with parent_beneath(directory.descriptor, path) as (parent, name):
        target = os.fsencode(os.readlink(name, dir_fd=parent))
    if target.startswith(b"/"):
        # It leads out, and would tell the guest about this machine.
        raise _Refused(w.NOTCAPABLE)
    host.memory.write(pointer, target[:length])
    host.memory.write_u32(used_pointer, min(len(target), length))


@_answering
def path_no_link(host: Host, *_: int) -> None:
    raise _Refused(w.NOTSUP)


# What they share ------------------------------------------------------------------------------------------------------


def _file(host: Host, fd: int) -> OpenFile:
    file = host.files.get(fd)
    if file is None:
        raise _Refused(w.BADF)
    return file


def _regular(host: Host, fd: int) -> OpenFile:
    file = _file(host, fd)
    if file.is_directory:
        raise _Refused(w.BADF)
    return file


def _directory(host: Host, fd: int) -> OpenFile:
    file = _file(host, fd)
    if not file.is_directory:
        raise _Refused(w.NOTDIR)
    return file


def _place(host: Host, fd: int, pointer: int, length: int) -> tuple[OpenFile, str]:
    directory = _directory(host, fd)
    if length >= MAX_PATH_BYTES:
        host.memory.check(pointer, length)
        raise _Refused(w.NAMETOOLONG)
    try:
        return directory, host.memory.read(pointer, length).decode()
    except UnicodeDecodeError:
        raise _Refused(w.ILSEQ) from None


def _changing_place(host: Host, fd: int, pointer: int, length: int) -> tuple[OpenFile, str]:
    directory, path = _place(host, fd, pointer, length)
    if not directory.may_write:
        raise _Refused(w.ROFS)
    return directory, path


def _vectors(host: Host, pointer: int, count: int) -> list[tuple[int, int]]:
    if count > _MOST_VECTORS:
        raise _Refused(w.INVAL)
    vectors = list(w.PAIR.iter_unpack(host.memory.read(pointer, count * w.PAIR.size)))
    for start, length in vectors:
        host.memory.check(start, length)
    return vectors


def _offset(value: int) -> int:
    if value >> 63:
        raise _Refused(w.INVAL)
    return value


def _times(found: os.stat_result, accessed: int, modified: int, flags: int) -> tuple[int, int]:
    import time

    if (flags & w.SET_ATIME and flags & w.SET_ATIME_NOW) or (flags & w.SET_MTIME and flags & w.SET_MTIME_NOW):
        raise _Refused(w.INVAL)
    now = time.time_ns()
    at = _offset(accessed) if flags & w.SET_ATIME else now if flags & w.SET_ATIME_NOW else found.st_atime_ns
    mt = _offset(modified) if flags & w.SET_MTIME else now if flags & w.SET_MTIME_NOW else found.st_mtime_ns
    return at, mt


#: Functions that are about files alone: name, signature, body. Those about streams too are in `wasi`.
BODIES: tuple[tuple[str, str, Any], ...] = (
    ("fd_advise", "i32 i64 i64 i32 -> i32", advise),
    ("fd_allocate", "i32 i64 i64 -> i32", allocate),
    ("fd_datasync", "i32 -> i32", sync),
    ("fd_fdstat_set_rights", "i32 i64 i64 -> i32", fdstat_set_rights),
    ("fd_filestat_set_size", "i32 i64 -> i32", filestat_set_size),
    ("fd_filestat_set_times", "i32 i64 i64 i32 -> i32", filestat_set_times),
    ("fd_pread", "i32 i32 i32 i64 i32 -> i32", pread),
    ("fd_prestat_dir_name", "i32 i32 i32 -> i32", prestat_dir_name),
    ("fd_prestat_get", "i32 i32 -> i32", prestat_get),
    ("fd_pwrite", "i32 i32 i32 i64 i32 -> i32", pwrite),
    ("fd_readdir", "i32 i32 i32 i64 i32 -> i32", readdir),
    ("fd_renumber", "i32 i32 -> i32", renumber),
    ("fd_sync", "i32 -> i32", sync),
    ("fd_tell", "i32 i32 -> i32", tell),
    ("path_create_directory", "i32 i32 i32 -> i32", path_create_directory),
    ("path_filestat_get", "i32 i32 i32 i32 i32 -> i32", path_filestat_get),
    ("path_filestat_set_times", "i32 i32 i32 i32 i64 i64 i32 -> i32", path_filestat_set_times),
    ("path_link", "i32 i32 i32 i32 i32 i32 i32 -> i32", path_no_link),
    ("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32 -> i32", path_open),
    ("path_readlink", "i32 i32 i32 i32 i32 i32 -> i32", path_readlink),
    ("path_remove_directory", "i32 i32 i32 -> i32", path_remove_directory),
    ("path_rename", "i32 i32 i32 i32 i32 i32 -> i32", path_rename),
    ("path_symlink", "i32 i32 i32 i32 i32 -> i32", path_no_link),
    ("path_unlink_file", "i32 i32 i32 -> i32", path_unlink_file),
)
