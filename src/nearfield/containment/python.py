"""Which files this Python is made of."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class PythonInstallation:
    """Files and directories of the interpreter, its packages, and the libraries that it has loaded.

    Attributes:
        readable: files, and directories with all below them.
        listable: directories whose names may be seen, below them too, but not read.
        executable: the interpreter and the loader of its libraries: what it takes to start another one like it.
    """

    readable: tuple[Path, ...]
    listable: tuple[Path, ...]
    executable: tuple[Path, ...]

    @classmethod
    def current(cls) -> PythonInstallation:
        """Of this process, as it is now."""
        libraries = _mapped_files()
        interpreter = Path(sys.executable).resolve()
        packages = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        searched = [Path(entry) for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
        readable = [
            *(Path(prefix) / "pyvenv.cfg" for prefix in {sys.prefix, sys.exec_prefix}),
            *packages,
            *import_directories(map(Path, sys.path), Path.cwd(), _home()),
            _PACKAGE,
            *searched,
            *libraries,
        ]
        loaders = [path for path in libraries if path.name.startswith(("ld-", "ld.", "ld64"))]
        return cls(_each_once(readable), (_PACKAGE.parent,), _each_once([interpreter, *loaders]))


def import_directories(entries: Iterable[Path], current: Path, home: Path | None) -> list[Path]:
    """The entries of `sys.path` whose content may be read: not those that hold the working or home directory. Pure.

    `python -m` puts the working directory first, which may well be somebody's home or `/`.
    """
    private = [path for path in (current, home) if path is not None]
    return [
        entry for entry in entries if entry.is_absolute() and not any(path.is_relative_to(entry) for path in private)
    ]


def _mapped_files() -> list[Path]:
    """Shared objects in this process's memory."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return []
    # address permissions offset device inode path, which is absent or in brackets for what is no file
    paths = {line.split(maxsplit=5)[5] for line in lines if len(line.split(maxsplit=5)) == 6}
    return [Path(path) for path in sorted(paths) if path.startswith("/") and ".so" in Path(path).name]


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def _each_once(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths))
