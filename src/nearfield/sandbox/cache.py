"""Compiled modules on disk, for this host and this user only.

Loading compiled code is running native code, so a file counts only when this user's process wrote it and not one bit
of it has changed since: the directory and each file must belong to this user and be closed to others, and each file
carries an HMAC under a key that lives in the same directory. Everything else is compiled again.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
from pathlib import Path

from wasmtime import Module, WasmtimeError

from nearfield.sandbox.engine import engine, fingerprint

_log = logging.getLogger(__name__)

_KEY_FILE = "key"
_KEY_BYTES = 32
_MAC_BYTES = hashlib.sha256().digest_size
_SUFFIX = ".cwasm"

# A guest of 4 MB compiles to about 10 MB. 64 of them are more than one host runs; the oldest go first.
_MOST_FILES = 64


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

    def load(self, sha256: str) -> Module | None:
        """The module compiled earlier from bytes with this hash; None when there is none that can be trusted."""
        path = self._path(sha256)
        try:
            content = _read_own(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            _log.warning("compiled module %s is not used: %s", path, exc)
            return None
        mac, code = content[:_MAC_BYTES], content[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(path.name, code)):
            _log.warning("compiled module %s is not used: its content has changed", path)
            path.unlink(missing_ok=True)
            return None
        try:
            return Module.deserialize(engine(), code)
        except WasmtimeError as exc:
            # Ours and unchanged, but from a host with other CPU features: a home directory on a network.
            _log.info("compiled module %s is not used: %s", path, exc)
            return None

    def store(self, sha256: str, module: Module) -> None:
        """Keep a module. A failure (disk full, read-only) is logged and otherwise ignored."""
        path = self._path(sha256)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            code = bytes(module.serialize())
            try:
                _write_new(temporary, self._mac(path.name, code) + code)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
            self._prune()
        except OSError as exc:
            _log.warning("compiled module %s could not be kept: %s", path, exc)

    def _path(self, sha256: str) -> Path:
        key = hashlib.sha256(f"{fingerprint()}; {sha256}".encode()).hexdigest()
        return self._directory / (key + _SUFFIX)

    def _mac(self, name: str, code: bytes) -> bytes:
        # The name is part of it: a file renamed to another module's name must not pass.
        return hmac.new(self._key, name.encode() + b"\0" + code, hashlib.sha256).digest()

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


def _read_own(path: Path) -> bytes:
    """Content of a regular file that is this user's alone; what is checked is what is read, links are not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        problem = _ownership_problem(os.fstat(descriptor), stat.S_ISREG)
        if problem is not None:
            raise ValueError(problem)
        return file.read()


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


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
    key = _read_own(path)
    if len(key) != _KEY_BYTES:
        raise ValueError(f"{path.name}: got {len(key)} bytes, expected {_KEY_BYTES}; delete it")
    return key
