"""Bounds-checked access to a guest's linear memory: the one place where a guest's pointers are believed or not."""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from struct import Struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_U32 = Struct("<I")
_U64 = Struct("<Q")

# Of CPython's `object.h`: a memory view that may not, and one that may, be written to.
_PYBUF_READ, _PYBUF_WRITE = 0x100, 0x200

_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype = ctypes.py_object
_view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)

# Releases the interpreter lock: models have megabytes.
_memcmp = ctypes.CDLL(None)["memcmp"]
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)


class OutOfBounds(Exception):
    """A guest's pointer and length do not lie inside its memory. Turned into an errno, never seen by a user."""


class GuestMemory(ABC):
    """Copies between Python and one instance's memory.

    Address and size are asked for anew on every access, because the guest may have grown its memory since. All
    pointers and lengths are unsigned. Used by the thread that runs the guest, while the instance lives.
    """

    __slots__ = ()

    @abstractmethod
    def locate(self) -> tuple[int, int]:
        """The memory's present address in this process, and its size in bytes.

        Raises:
            OutOfBounds: there is no memory (any more, or yet).
        """

    @property
    def size(self) -> int:
        """Present size in bytes."""
        return self.locate()[1]

    def read(self, pointer: int, length: int) -> bytes:
        """Copy `length` bytes out.

        Raises:
            OutOfBounds: not all of them are inside the memory.
        """
        base, size = self.locate()
        if pointer < 0 or length < 0 or pointer + length > size:
            raise OutOfBounds
        return ctypes.string_at(base + pointer, length)

    def write(self, pointer: int, data: Buffer) -> None:
        """Copy `data` (contiguous) in; all of it or nothing.

        Raises:
            OutOfBounds: it does not fit there.
        """
        if isinstance(data, bytes):
            length = len(data)
            ctypes.memmove(self._place(pointer, length), data, length)
            return
        source = memoryview(data).cast("B")
        with _view(self._place(pointer, source.nbytes), source.nbytes, _PYBUF_WRITE) as target:
            target[:] = source

    def view(self, pointer: int, length: int) -> memoryview:
        """The guest's own bytes, read-only and without a copy: `with memory.view(p, n) as content: ...`.

        Leave the block before anything can run the guest again: its memory moves when it grows. Whoever is given the
        view must be done with it by then.

        Raises:
            OutOfBounds: not all of them are inside the memory.
        """
        content: memoryview = _view(self._place(pointer, length), length, _PYBUF_READ)
        return content

    def room(self, pointer: int, length: int) -> memoryview:
        """The guest's own bytes, to be written to in place, before anything can run the guest again.

        Not for a `with` block when it is handed on: an array over it may outlive the block in a traceback.

        Raises:
            OutOfBounds: not all of them are inside the memory.
        """
        content: memoryview = _view(self._place(pointer, length), length, _PYBUF_WRITE)
        return content

    def holds(self, pointer: int, content: bytes) -> bool:
        """Whether exactly these bytes are at `pointer`, without a copy of them. Raises `OutOfBounds`."""
        difference: int = _memcmp(self._place(pointer, len(content)), content, len(content))
        return difference == 0

    def check(self, pointer: int, length: int) -> None:
        """Raise `OutOfBounds` unless `length` bytes could be written at `pointer` now."""
        self._place(pointer, length)

    def read_u32(self, pointer: int) -> int:
        """One little-endian u32. Raises `OutOfBounds`."""
        value: int = _U32.unpack(self.read(pointer, 4))[0]
        return value

    def write_u32(self, pointer: int, value: int) -> None:
        """One little-endian u32; higher bits of `value` are dropped. Raises `OutOfBounds`."""
        self.write(pointer, _U32.pack(value & 0xFFFF_FFFF))

    def write_u64(self, pointer: int, value: int) -> None:
        """One little-endian u64; higher bits of `value` are dropped. Raises `OutOfBounds`."""
        self.write(pointer, _U64.pack(value & 0xFFFF_FFFF_FFFF_FFFF))

    def _place(self, pointer: int, length: int) -> int:
        base, size = self.locate()
        if pointer < 0 or length < 0 or pointer + length > size:
            raise OutOfBounds
        return base + pointer
