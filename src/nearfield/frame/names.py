"""Names of zippers, sources, functions and namespaces: one path segment of a key expression each."""

from __future__ import annotations

import re

from nearfield.errors import UsageError

MAX_NAME_LENGTH = 64
# Names of identities that begin so are those of a machine's own users.
LOCAL_PREFIX = "local-"
# zenoh reserves * $ ? # and / in key expressions; a leading @ hides a key from wildcards.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}")


def check_name(kind: str, name: str) -> str:
    """Return `name` if it is well-formed.

    Args:
        kind: what is named, for the message: "function", "source".

    Raises:
        UsageError: characters other than letters, digits, `-`, `_`, `.`, or more than 64 of them, or none.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{kind} name: got {name!r}, expected 1 to {MAX_NAME_LENGTH} letters, digits, `-`, `_` or `.`, "
            "beginning with a letter, digit or `_`"
        )
    return name


def is_name(name: str) -> bool:
    """Whether `check_name` would accept it."""
    return _NAME.fullmatch(name) is not None


def name_from(text: str) -> str:
    """The nearest well-formed name: for hostnames and file names that become default names."""
    cleaned = re.sub(r"[^A-Za-z0-9_.\-]+", "-", text).strip("-.")[:MAX_NAME_LENGTH]
    return cleaned or "unnamed"
