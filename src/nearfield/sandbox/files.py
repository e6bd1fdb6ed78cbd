"""Files that a guest holds open, by the numbers it knows them by."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

from nearfield.errors import ConfigError
from nearfield.sandbox.grants import Directory

# Below are the standard streams, which are no files here.
FIRST_NUMBER = 3


class OpenFile:
    """A descriptor of ours behind a number of the guest's.

    Attributes:
        descriptor: ours.
        may_write: whether the guest may change it, or what is in it.
        is_directory: whether it is a directory.
        flags: the guest's own, of `fdflags`.
        guest_path: of a granted directory; None for everything that was opened in one.
        entries: what a directory held when the guest began to list it: inode, name, type.
    """

    __slots__ = ("descriptor", "entries", "flags", "guest_path", "is_directory", "may_write")

    def __init__(self, descriptor: int, *, may_write: bool, flags: int = 0, guest_path: str | None = None) -> None:
        self.descriptor = descriptor
        self.may_write = may_write
        self.is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        self.flags = flags
        self.guest_path = guest_path
        self.entries: list[tuple[int, bytes, int]] = []

    def close(self) -> None:
        """Idempotent."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Files:
    """The numbers of one guest. Granted directories have the first ones, in every instance again."""

    def __init__(self, directories: Iterable[Directory], limit: int) -> None:
        """Open the granted directories.

        Args:
            limit: how many numbers there may be at once.

        Raises:
            ConfigError: one is none, or cannot be opened.
        """
        self._limit = limit
        self._granted: dict[int, OpenFile] = {}
        try:
            for number, directory in enumerate(directories, FIRST_NUMBER):
                self._granted[number] = _open_granted(directory)
        except BaseException:
            self.close()
            raise
        self._open = dict(self._granted)
        self._next = FIRST_NUMBER + len(self._granted)

    def __len__(self) -> int:
        return len(self._open)

    def locate(self, path: str) -> tuple[int, str] | None:
        """The granted directory that a guest's path leads into, and the rest of the path, for `open_beneath`.

        A relative path is meant from `/`, as wasi-libc does. The rest may still lead out again, by `..` and links.

        Returns:
            A descriptor, which stays ours, and a relative path; None when no granted directory has it.
        """
        parts = [part for part in path.split("/") if part not in ("", ".")]
        longest: tuple[int, OpenFile] | None = None
        for directory in self._granted.values():
            assert directory.guest_path is not None
            above = [part for part in directory.guest_path.split("/") if part]
            if parts[: len(above)] == above and (longest is None or len(above) > longest[0]):
                longest = len(above), directory
        return None if longest is None else (longest[1].descriptor, "/".join(parts[longest[0] :]) or ".")

    def get(self, number: int) -> OpenFile | None:
        """The file with this number."""
        return self._open.get(number)

    def has_room(self) -> bool:
        """Whether one more may be opened."""
        return len(self._open) < self._limit

    def add(self, file: OpenFile) -> int:
        """A new number for a file. The caller has asked `has_room` before it opened the file."""
        number = self._next
        self._next += 1
        self._open[number] = file
        return number

    def forget(self, number: int) -> bool:
        """Take a number away; whether there was one."""
        file = self._open.pop(number, None)
        if file is not None and file.guest_path is None:
            file.close()
        return file is not None

    def renumber(self, number: int, new_number: int) -> None:
        """Give the file of one number another, which loses its own. Both exist."""
        file = self._open.pop(number)
        if number != new_number:
            self.forget(new_number)
        self._open[new_number] = file

    def end_instance(self) -> None:
        """Close what the instance opened; the next one finds the granted directories only."""
        if self._next == FIRST_NUMBER + len(self._granted) and len(self._open) == len(self._granted):
            return
        for file in self._open.values():
            if file.guest_path is None:
                file.close()
        self._open = dict(self._granted)
        self._next = FIRST_NUMBER + len(self._granted)

    def close(self) -> None:
        """Close everything. Idempotent."""
        for file in [*getattr(self, "_open", {}).values(), *self._granted.values()]:
            file.close()
        self._granted = {}
        self._open = {}


def _open_granted(directory: Directory) -> OpenFile:
    try:
        descriptor = os.open(directory.host, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"granted directory `{directory.host}`: cannot be opened: {error.strerror}") from error
    return OpenFile(descriptor, may_write=directory.write, guest_path=directory.guest)
