"""Notices that files were changed, and have come to rest."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Signature = tuple[int, int, int, int] | None
"""Device, inode, size and time of change of a file; None while there is none."""


class FileWatch:
    """Looks at a few files now and then; a notice from the kernel would name files that editors have replaced since."""

    def __init__(self) -> None:
        self._known: dict[Path, Signature] = {}
        self._seen: dict[Path, Signature] | None = None

    def follow(self, paths: Iterable[Path]) -> None:
        """Watch these and no others. Changes from now on count; call before they are read."""
        self._known = {path: self._known[path] if path in self._known else _signature(path) for path in paths}

    def look(self) -> bool:
        """Whether any changed since the last True, and none did since the last call. Call about twice a second.

        A file that is gone for the moment is about to be replaced: that is waited for.
        """
        now = {path: _signature(path) for path in self._known}
        if now == self._known:
            self._seen = None
            return False
        is_at_rest, self._seen = now == self._seen, now
        if not is_at_rest or any(now[path] is None and known for path, known in self._known.items()):
            return False
        self._known, self._seen = now, None
        return True


def _signature(path: Path) -> Signature:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
