"""Where nearfield keeps what outlives a command: certificates, caches. Private to one user."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nearfield.errors import CertificateError

# Making all certificates takes some 10 ms; whoever holds the lock for longer is stopped or on a hanging disk.
LOCK_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """A directory of mode 0700 that belongs to the current user.

    Attributes:
        path: absolute. Need not exist before `ensure`.
    """

    path: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> StateDirectory:
        """`$NEARFIELD_STATE_DIR`, else `$XDG_STATE_HOME/nearfield`, else `~/.local/state/nearfield`.

        Raises:
            CertificateError: none of them is set, and the user has no home directory.
        """
        if chosen := environ.get("NEARFIELD_STATE_DIR"):
            return cls(Path(chosen).absolute())
        xdg = environ.get("XDG_STATE_HOME", "")
        if xdg.startswith("/"):  # the XDG base directory specification: relative paths are to be ignored
            return cls(Path(xdg) / "nearfield")
        try:
            home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
        except RuntimeError as error:
            raise CertificateError("no home directory for certificates", hint="set NEARFIELD_STATE_DIR") from error
        return cls(home.absolute() / ".local" / "state" / "nearfield")

    def ensure(self, *parts: str) -> Path:
        """Make the directory, and the one below it named by `parts`, if they do not exist.

        Raises:
            CertificateError: it cannot be made, is not ours, or others may write to it.
        """
        directory = self.path
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            for step in (directory, *(directory.joinpath(*parts[: n + 1]) for n in range(len(parts)))):
                step.mkdir(mode=0o700, exist_ok=True)
                _refuse_foreign(step)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            hint = "set NEARFIELD_STATE_DIR to a directory of yours"
            raise CertificateError(f"cannot make `{directory}`: {reason}", hint=hint) from error
        return directory.joinpath(*parts)

    @contextmanager
    def locked(self, timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the directory's lock, against other processes and other threads of this one. May block.

        Raises:
            CertificateError: another process held it for `timeout_s`.
        """
        lock = self.ensure() / "lock"
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _take(descriptor, lock, timeout_s)
            yield
        finally:
            os.close(descriptor)  # gives the lock back


def write_private(path: Path, content: bytes) -> None:
    """Replace a file in one step, readable by its owner only. Readers see the old content or the new, never a part.

    Raises:
        CertificateError: the disk refuses.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with suppress(FileNotFoundError):
            partial.unlink()
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise CertificateError(f"cannot write `{path}`: {(error.strerror or str(error)).lower()}") from error


def read_private(path: Path) -> bytes:
    """Read a private key's file, refusing one that others can read.

    Allowed are files of ours that only we can read, and files of root that root's group can read, the way secrets are
    mounted for services.

    Raises:
        CertificateError: missing, unreadable, of someone else, or readable by others.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            refuse_shared_key(path, mode=stat.S_IMODE(status.st_mode), owner=status.st_uid, user=os.geteuid())
            return file.read()
    except OSError as error:
        raise CertificateError(
            f"cannot read the key: {(error.strerror or str(error)).lower()}", where=str(path)
        ) from error


def _take(descriptor: int, lock: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                hint = "another nearfield command seems to be stopped"
                raise CertificateError(
                    f"`{lock}` was held by another process for {timeout_s:g} s", hint=hint
                ) from error
            time.sleep(0.01)
        else:
            return


def _refuse_foreign(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise CertificateError("owned by someone else", where=str(directory), hint="set NEARFIELD_STATE_DIR")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(status.st_mode)
        what = f"others may write to it: got mode {mode:04o}, expected 0700"
        raise CertificateError(what, where=str(directory), hint=f"run `chmod 700 {directory}`")


def refuse_shared_key(path: Path, *, mode: int, owner: int, user: int) -> None:
    """Raise CertificateError if others than `user`, or root on its behalf, can use the key in `path`.

    Args:
        mode: permission bits.
        owner: user id of the file's owner.
        user: effective user id of this process.
    """
    if owner == user:
        forbidden, expected = 0o077, "0600"
    elif owner == 0:
        forbidden, expected = 0o027, "0640 or less"
    else:
        raise CertificateError("the key is owned by someone else, expected yourself or root", where=str(path))
    if mode & forbidden:
        what = f"the key can be used by others: got mode {mode:04o}, expected {expected}"
        raise CertificateError(what, where=str(path), hint=f"run `chmod 600 {path}`")
