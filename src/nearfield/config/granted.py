"""The forms of what a guest may be granted: names of variables, paths it sees, hosts it may ask. Pure."""

from __future__ import annotations

import ipaddress
import re
from pathlib import PurePosixPath

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_HOST_NAME = re.compile(r"(?!-)[a-z0-9-]{1,63}(\.(?!-)[a-z0-9-]{1,63})*", re.ASCII)

VARIABLE_EXPECTED = "letters, digits and `_`, not beginning with a digit"
GUEST_PATH_EXPECTED = "an absolute path without `..`, such as `/data`"
HTTP_HOST_EXPECTED = "a host such as `api.example.org`, `10.0.0.7:8080` or `[fd00::7]:8080`"


def is_variable(name: str) -> bool:
    """Whether an environment variable may have this name."""
    return _VARIABLE.fullmatch(name) is not None


def is_guest_path(path: str) -> bool:
    """Whether a directory may be granted under this path."""
    return path.startswith("/") and ".." not in PurePosixPath(path).parts and path.isprintable()


def split_http_host(text: str) -> tuple[str, int | None]:
    """Host (lower case; addresses in their shortest form) and port, if one is given.

    Raises:
        ValueError: something else than `name`, `name:port`, `address`, `[v6]` or `[v6]:port`.
    """
    host, colon, port = text, "", ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
        if not text.endswith("]" + rest) or colon not in ("", ":") or ":" not in host:
            raise ValueError(text)
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
    if colon and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(text)
    name = canonical_host(host)
    if ":" not in name and not _HOST_NAME.fullmatch(name):
        raise ValueError(text)
    return name, int(port) if colon else None


def canonical_host(host: str) -> str:
    """A name in lower case, or an address in its shortest form.

    Raises:
        ValueError: it has a colon and is no IPv6 address.
    """
    name = host.removesuffix(".").lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if ":" in name:
            raise
        return name
