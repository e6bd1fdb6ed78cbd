"""The kernel, called by system call name. The only place that leaves Python."""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import platform
import struct
import sys
from pathlib import Path

from nearfield.containment.syscalls import MACHINES, Machine


class Kernel:
    """This machine's kernel. Tests put another in its place by overriding `call` and `write`."""

    @property
    def machine(self) -> Machine | None:
        """The processor's system calls; None where no table exists, and so nothing can be called."""
        return _this_machine()

    def call(self, name: str, *arguments: int | bytes) -> int:
        """Make a system call. Bytes are passed as a pointer to a copy.

        Raises:
            OSError: it failed; ENOSYS too when the machine has no such call.
        """
        number = None if self.machine is None else self.machine.numbers.get(name)
        if number is None:
            raise OSError(errno.ENOSYS, "no such system call on this machine", name)
        result = int(_libc().syscall(ctypes.c_long(number), *map(_as_register, arguments)))
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), name)
        return result

    def write(self, path: str, text: str) -> None:
        """Write to a file in which the kernel takes settings.

        Raises:
            OSError: it does not exist, or refuses.
        """
        Path(path).write_text(text)


class Program:
    """Bytes at an address that stays, and a structure of length and pointer that names them (`struct sock_fprog`)."""

    def __init__(self, content: bytes, item_bytes: int) -> None:
        self._content = ctypes.create_string_buffer(content, len(content))
        self.reference = struct.pack("@HP", len(content) // item_bytes, ctypes.addressof(self._content))


@functools.cache
def _this_machine() -> Machine | None:
    return MACHINES.get(platform.machine()) if sys.platform == "linux" else None


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def _as_register(argument: int | bytes) -> object:
    if isinstance(argument, bytes):
        return ctypes.create_string_buffer(argument, len(argument))
    return ctypes.c_ulong(argument & 0xFFFF_FFFF_FFFF_FFFF)
