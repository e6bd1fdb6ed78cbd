"""Compiled modules on disk, for this host and this user only.

Loading compiled code is running native code, so a file counts only when this user's process wrote it and not one bit
of it has changed since: the directory and each file must belong to this user and be closed to others, and each file
ends with an HMAC under a key that lives in the same directory. Everything else is compiled again.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import logging
import mmap
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wasmtime import Module, WasmtimeError

from nearfield.sandbox.engine import engine, fingerprint

_log = logging.getLogger(__name__)

_KEY_FILE = "key"
_KEY_BYTES = 32
_MAC_BYTES = hashlib.sha256().digest_size
_SUFFIX = ".cwasm"

# A guest of 4 MB compiles to about 10 MB. 64 of them are more than one host runs; the oldest go first.
_MOST_FILES = 64

# Lock files are never removed, which would race; two digits of the key keep them few.
_LOCK_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Cached:
    """A module from the cache, and the size of its code."""

    module: Module
    code_bytes: int


class CompileCache:
    """A directory of compiled modules. Any number of processes may use it at once."""

    def __init__(self, directory: Path, key: bytes) -> None:
        self._directory = directory
        self._key = key

    @classmethod
    def open(cls, directory: Path) -> CompileCache | None:
        """Use `directory`, made with mode 0700 when it is missing.

        Returns:
            None, with a warning in the log, when it is not this user's alone, or cannot be used at all: guests then
            start more slowly, and nothing else changes.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            problem = _ownership_problem(os.lstat(directory), stat.S_ISDIR)
            if problem is None:
                return cls(directory, _read_or_make_key(directory / _KEY_FILE))
        except (OSError, ValueError) as exc:
            problem = str(exc)
        _log.warning("compile cache %s is not used: %s", directory, problem)
        return None

    @staticmethod
    def key_of(sha256: str) -> str:
        """What a module with this hash is kept under: one name for each engine version and its settings."""
        return hashlib.sha256(f"{fingerprint()}; {sha256}".encode()).hexdigest()

    @contextmanager
    def compiling(self, sha256: str) -> Iterator[None]:
        """Wait until no other process compiles this module, and keep others from it meanwhile.

        Compilations are bounded, so this is too. Without locks (some network file systems), it does not wait.
        """
        path = self._directory / f"lock-{self.key_of(sha256)[:_LOCK_DIGITS]}"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            _log.warning("compile cache %s cannot be locked: %s", self._directory, exc)
            yield
            return
        try:
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def load(self, sha256: str) -> Cached | None:
        """The module compiled earlier from bytes with this hash; None when there is none that can be trusted.

        The file is mapped, not copied: what is checked is what runs, because files here are replaced, never changed.
        """
        path = self._path(sha256)
        try:
            # All pages at once: a fault for each would take longer than the hash.
            with (
                _open_own(path) as file,
                mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE | mmap.MAP_POPULATE, mmap.PROT_READ) as content,
            ):
                return self._take(path, file.fileno(), content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            _log.warning("compiled module %s is not used: %s", path, exc)
            return None

    def _take(self, path: Path, descriptor: int, content: mmap.mmap) -> Cached | None:
        size = len(content) - _MAC_BYTES
        with memoryview(content) as view:
            if size <= 0 or not hmac.compare_digest(view[size:], self._mac(path.name, view[:size])):
                _log.warning("compiled module %s is not used: its content has changed", path)
                path.unlink(missing_ok=True)
                return None
            try:
                # By its descriptor: the name could lead to another file by now.
                return Cached(Module.deserialize_file(engine(), f"/proc/self/fd/{descriptor}"), size)
            except WasmtimeError as exc:
                # Ours and unchanged, but from a host with other CPU features: a home directory on a network.
                _log.info("compiled module %s is not used: %s", path, exc)
                return None

    def store(self, sha256: str, code: bytes) -> None:
        """Keep compiled code. A failure (disk full, read-only) is logged and otherwise ignored."""
        path = self._path(sha256)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            try:
                _write_new(temporary, code, self._mac(path.name, code))
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._prune()
        except OSError as exc:
            _log.warning("compiled module %s could not be kept: %s", path, exc)

    def _path(self, sha256: str) -> Path:
        return self._directory / (self.key_of(sha256) + _SUFFIX)

    def _mac(self, name: str, code: bytes | memoryview) -> bytes:
        # The name is part of it: a file renamed to another module's name must not pass.
        mac = hmac.new(self._key, name.encode() + b"\0", hashlib.sha256)
        mac.update(code)
        return mac.digest()

    def _prune(self) -> None:
        files = sorted(self._directory.glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[_MOST_FILES:]:
            path.unlink(missing_ok=True)


def _ownership_problem(found: os.stat_result, is_kind: object) -> str | None:
    if not callable(is_kind) or not is_kind(found.st_mode):
        return "it is a link or of another kind"
    if found.st_uid != os.geteuid():
        return f"it belongs to user {found.st_uid}, expected {os.geteuid()}"
    if found.st_mode & 0o077:
        return f"its mode is {stat.S_IMODE(found.st_mode):04o}, expected no rights for others (chmod go= it)"
    return None


def _open_own(path: Path) -> BinaryIO:
    """Open a regular file that is this user's alone.

    What is checked is what is opened; links are not followed.

    Raises:
        ValueError: it is not.
        OSError: it cannot be opened.
    """
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
    problem = _ownership_problem(os.fstat(file.fileno()), stat.S_ISREG)
    if problem is not None:
        file.close()
        raise ValueError(problem)
    return file


def _write_new(path: Path, *parts: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(parts)


def _read_or_make_key(path: Path) -> bytes:
    if not path.exists():
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        _write_new(temporary, secrets.token_bytes(_KEY_BYTES))
        try:
            # Linking fails when another process was first; then its key counts.
            os.link(temporary, path)
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
    with _open_own(path) as file:
        key = file.read()
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path.name}: got {len(key)} bytes, expected {_KEY_BYTES}; delete it")
    return key
