"""Open files below a directory, and never anywhere else, whatever the path says and whoever changes things meanwhile.

The kernel does it (`openat2` with `RESOLVE_BENEATH`, Linux 5.6): `..` and links may lead about inside the directory,
not out of it, and an absolute path leads nowhere. Where it cannot, each part of the path is opened by itself, and links
are not followed at all.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

_OPENAT2 = 437  # the same on every architecture
_RESOLVE_NO_MAGICLINKS, _RESOLVE_BENEATH = 0x02, 0x08  # linux/openat2.h

# `openat2` gives EAGAIN when something on the way was renamed while it looked.
_ATTEMPTS = 8

# The longest path that Linux takes.
MAX_PATH_BYTES = 4096


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc["syscall"]
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
_syscall.restype = ctypes.c_long


def open_beneath(directory: int, path: str, flags: int, mode: int = 0) -> int:
    """Open a file below a directory.

    Args:
        directory: descriptor of the directory.
        path: relative to it.
        flags: of `os.open`; close-on-exec is added.
        mode: for a file that is created.

    Returns:
        A new descriptor.

    Raises:
        OSError: `EXDEV` when the path leads out of the directory; else as `os.open`.
    """
    if not path or "\0" in path:
        raise OSError(errno.ENOENT if not path else errno.EINVAL, "no such path")
    if len(path.encode()) >= MAX_PATH_BYTES:
        raise OSError(errno.ENAMETOOLONG, "path too long")
    if has_openat2():
        return _openat2(directory, path, flags | os.O_CLOEXEC, mode)
    return _walk(directory, path, flags | os.O_CLOEXEC, mode)


@contextmanager
def parent_beneath(directory: int, path: str) -> Iterator[tuple[int, str]]:
    """The directory that holds the last part of `path`, for work on that part itself: removing, renaming.

    Raises:
        OSError: `EXDEV` when the path leads out; `EINVAL` when its last part is none that a directory holds.
    """
    above, _, name = path.rstrip("/").rpartition("/")
    if path.startswith("/"):
        raise OSError(errno.EXDEV, "an absolute path")
    if name in ("", ".", "..") or "\0" in name:
        raise OSError(errno.EINVAL, "not the name of an entry")
    descriptor = open_beneath(directory, above or ".", os.O_PATH | os.O_DIRECTORY)
    try:
        yield descriptor, name
    finally:
        os.close(descriptor)


@functools.cache
def has_openat2() -> bool:
    """Whether the kernel has it, and lets this process use it."""
    directory = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(_openat2(directory, ".", os.O_PATH | os.O_CLOEXEC, 0))
    except OSError:
        return False
    finally:
        os.close(directory)
    return True


def _openat2(directory: int, path: str, flags: int, mode: int) -> int:
    how = _OpenHow(flags, mode if flags & os.O_CREAT else 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    for _ in range(_ATTEMPTS):
        found: int = _syscall(_OPENAT2, directory, path.encode(), ctypes.addressof(how), ctypes.sizeof(how))
        if found >= 0:
            return found
        number = ctypes.get_errno()
        if number not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(number, os.strerror(number))


def _walk(directory: int, path: str, flags: int, mode: int) -> int:
    """One part after the other. Each step down is kept, so that `..` cannot lead elsewhere than it came from."""
    if path.startswith("/"):
        raise OSError(errno.EXDEV, "an absolute path")
    *steps, last = [part for part in path.split("/") if part not in ("", ".")] or ["."]
    must_be_directory = path.endswith(("/", "/."))
    if last == "..":
        steps, last = [*steps, last], "."
    opened: list[int] = []
    try:
        for step in steps:
            if step == "..":
                if not opened:
                    raise OSError(errno.EXDEV, "leads out of the directory")
                os.close(opened.pop())
                continue
            above = opened[-1] if opened else directory
            opened.append(os.open(step, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above))
        above = opened[-1] if opened else directory
        more = os.O_DIRECTORY if must_be_directory else 0
        return os.open(last, flags | os.O_NOFOLLOW | more, mode, dir_fd=above)
    finally:
        for descriptor in opened:
            os.close(descriptor)
