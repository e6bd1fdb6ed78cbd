"""Tokens: a name and a secret, for zippers whose workflow says `auth: {type: token}`.

zenoh asks for a user and a password, and proves the password by a keyed hash of the other side's challenge; both sides
must know it. We give it one that is derived from token and name, so that neither side hands the token itself on.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from nearfield.errors import UsageError
from nearfield.frame.names import is_name
from nearfield.frame.token import DEFAULT_TOKEN_NAME, TOKEN_EXPECTED, is_secret
from nearfield.transport.local_names import local_identity_name
from nearfield.transport.state_directory import StateDirectory, read_private, write_private

# RFC 7914: 16 MiB and some 50 ms for each guess.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
_LOCAL_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Token:
    """Who one is, and the proof. Printing it shows the name only."""

    name: str
    secret: str = field(repr=False)

    @property
    def password(self) -> str:
        """What zenoh gets. Derived when first asked for, which takes some 50 ms."""
        return _password(self.name, self.secret)


def parse_token(text: str, *, where: str) -> Token:
    """Read `NAME:TOKEN`, or `TOKEN` alone, which is that of `default`.

    Args:
        where: it came from, for the message, which never shows it.

    Raises:
        UsageError: it has another form.
    """
    name, colon, secret = text.strip().rpartition(":")
    if (colon and not is_name(name)) or not is_secret(secret):
        raise UsageError(f"got something else than NAME:TOKEN, with a token of {TOKEN_EXPECTED}", where=where)
    return Token(name or DEFAULT_TOKEN_NAME, secret)


def read_token_file(path: Path) -> Token:
    """The token in a file that only its owner can read: one line, `NAME:TOKEN` or `TOKEN`.

    Raises:
        CertificateError: missing, unreadable, of someone else, or readable by others.
        UsageError: something else is in it.
    """
    try:
        text = read_private(path).decode("ascii")
    except UnicodeDecodeError:
        text = ""
    return parse_token(text, where=str(path))


def local_token_path(state: StateDirectory) -> Path:
    """Where the token lies that this user's commands on this machine share; `ensure_local_token` makes it."""
    return state.path / "tokens" / "local"


def ensure_local_token(state: StateDirectory) -> Token:
    """The token of this user on this machine, made at random when there is none. Every zipper of this user knows it.

    Raises:
        CertificateError: the state directory cannot be used, or the file is open to others.
    """
    path = local_token_path(state)
    with state.locked():
        state.ensure("tokens")
        if not path.exists():
            secret = secrets.token_hex(_LOCAL_SECRET_BYTES)
            write_private(path, f"{local_identity_name()}:{secret}\n".encode())
        return read_token_file(path)


@contextlib.contextmanager
def dictionary_file(tokens: Iterable[Token]) -> Iterator[str]:
    """A path under which this process, while inside, can read the users and passwords that zenoh wants from a file.

    The file is in memory only, without a name, and gone afterwards: zenoh reads it once, when a session opens.
    """
    descriptor = os.memfd_create("tokens", os.MFD_CLOEXEC)
    try:
        content = "".join(f"{token.name}:{token.password}\n" for token in tokens).encode()
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@functools.lru_cache(maxsize=256)
def _password(name: str, secret: str) -> str:
    derived = hashlib.scrypt(secret.encode(), salt=f"nearfield:{name}".encode(), **_SCRYPT)
    return derived.hex()
