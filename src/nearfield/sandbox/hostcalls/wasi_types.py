"""Numbers and layouts of WASI snapshot 1. Source: `typenames.witx`."""

from __future__ import annotations

import errno
import os
import stat
from struct import Struct

SUCCESS, ACCES, BADF, DQUOT, FAULT, ILSEQ, INVAL, IO, LOOP, MFILE, NOENT = 0, 2, 8, 19, 21, 25, 28, 29, 32, 33, 44
NAMETOOLONG, NOSYS, NOTDIR, NOTSUP, ROFS, SPIPE, NOTCAPABLE = 37, 52, 54, 58, 69, 70, 76

#: By the kernel's number. What leads out of a granted directory is EXDEV there.
_ERRNOS = {
    errno.EACCES: ACCES,
    errno.EAGAIN: 6,
    errno.EBADF: BADF,
    errno.EBUSY: 10,
    errno.EDQUOT: DQUOT,
    errno.EEXIST: 20,
    errno.EFBIG: 22,
    errno.EILSEQ: ILSEQ,
    errno.EINTR: 27,
    errno.EINVAL: INVAL,
    errno.EISDIR: 31,
    errno.ELOOP: LOOP,
    errno.EMFILE: MFILE,
    errno.EMLINK: 34,
    errno.ENAMETOOLONG: NAMETOOLONG,
    errno.ENFILE: 41,
    errno.ENODEV: 43,
    errno.ENOENT: NOENT,
    errno.ENOMEM: 48,
    errno.ENOSPC: 51,
    errno.ENOTDIR: NOTDIR,
    errno.ENOTEMPTY: 55,
    errno.ENOTSUP: NOTSUP,
    errno.ENXIO: 60,
    errno.EOVERFLOW: 61,
    errno.EPERM: 63,
    errno.EROFS: ROFS,
    errno.ESPIPE: SPIPE,
    errno.ESTALE: 72,
    errno.ETXTBSY: 74,
    errno.EXDEV: NOTCAPABLE,
}


def errno_of(error: OSError) -> int:
    """The guest's number for an error of the kernel's; `IO` for those that it has no word for."""
    return _ERRNOS.get(error.errno or 0, IO)


# A pointer and a length.
PAIR = Struct("<II")
# File type, flags, base rights, inheriting rights.
FDSTAT = Struct("<BxHxxxxQQ")
# Device, inode, file type, links, size, times of access, modification and change.
FILESTAT = Struct("<QQBxxxxxxxQQQQQ")
# Kind (0: a directory) and length of its name.
PRESTAT = Struct("<BxxxI")
# Place of the next entry, inode, length of the name, file type; the name follows.
DIRENT = Struct("<QQIBxxx")

UNKNOWN, BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, REGULAR_FILE, SYMBOLIC_LINK = 0, 1, 2, 3, 4, 7

OFLAG_CREATE, OFLAG_DIRECTORY, OFLAG_EXCLUSIVE, OFLAG_TRUNCATE = 1, 2, 4, 8
FDFLAG_APPEND = 1
LOOKUP_FOLLOW = 1
SET_ATIME, SET_ATIME_NOW, SET_MTIME, SET_MTIME_NOW = 1, 2, 4, 8

RIGHT_READ, RIGHT_WRITE, RIGHT_ALLOCATE, RIGHT_READDIR, RIGHT_SET_SIZE = 1 << 1, 1 << 6, 1 << 8, 1 << 14, 1 << 22
ALL_RIGHTS = (1 << 30) - 1
# Rights to change something: writing, allocating, and all of `path_` that do not only look.
CHANGING_RIGHTS = (
    RIGHT_WRITE | RIGHT_ALLOCATE | RIGHT_SET_SIZE
    | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 16 | 1 << 17 | 1 << 19 | 1 << 20 | 1 << 23
    | 1 << 24 | 1 << 25 | 1 << 26
)  # fmt: skip


def file_type(mode: int) -> int:
    """A file type from the kernel's mode."""
    for is_kind, number in (
        (stat.S_ISREG, REGULAR_FILE),
        (stat.S_ISDIR, DIRECTORY),
        (stat.S_ISLNK, SYMBOLIC_LINK),
        (stat.S_ISCHR, CHARACTER_DEVICE),
        (stat.S_ISBLK, BLOCK_DEVICE),
    ):
        if is_kind(mode):
            return number
    return UNKNOWN


def filestat(found: os.stat_result) -> bytes:
    """What the guest is told about a file."""
    return FILESTAT.pack(
        found.st_dev,
        found.st_ino,
        file_type(found.st_mode),
        found.st_nlink,
        found.st_size,
        max(found.st_atime_ns, 0),
        max(found.st_mtime_ns, 0),
        max(found.st_ctime_ns, 0),
    )
