"""What of this machine a guest gets to see: nothing, except what is listed here."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

# What most systems' clocks give; coarser ones make timing attacks harder.
DEFAULT_CLOCK_RESOLUTION_NS = 1000
_COARSEST_CLOCK_NS = 10**9

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*", re.ASCII)

# The ports of http and https, for hosts that are granted without one.
_WEB_PORTS = frozenset({80, 443})


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of this machine that a guest may read.

    Attributes:
        host: the directory here; must exist when the guest is loaded.
        guest: absolute path under which the guest finds it, such as `/data`.
        write: whether it may also change what is in it.
    """

    host: Path
    guest: str
    write: bool = False

    def __post_init__(self) -> None:
        path = PurePosixPath(self.guest)
        if not self.guest.startswith("/") or ".." in path.parts or "\0" in self.guest:
            raise ValueError(f"directory: got guest path `{self.guest}`, expected an absolute one such as `/data`")


@dataclass(frozen=True, slots=True)
class Grants:
    """What one guest is given of its host, beyond its frames and models. The default is clocks and randomness alone.

    Attributes:
        environment: variables that the guest sees; nothing of this process's own environment.
        directories: directories it sees; later ones may not repeat a guest path.
        clock_resolution_ns: clocks are rounded down to this, 1 to 10^9.
        random_seed: None: real randomness. A number: the same bytes for the same seed, function, origin, tag and
            sequence number of the frame, so that a replay gives the same results.
        http_hosts: hosts that it may send HTTP requests to, each `name`, `name:port`, `address` or `[v6]:port`;
            without a port, 80 and 443 are meant. Names are compared as written: no wildcards, no subdomains.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    directories: tuple[Directory, ...] = ()
    clock_resolution_ns: int = DEFAULT_CLOCK_RESOLUTION_NS
    random_seed: int | None = None
    http_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in self.environment.items():
            if not _VARIABLE.fullmatch(name) or "\0" in value:
                raise ValueError(f"environment: got `{name}`, expected a variable's name, and a value without NUL")
        paths = [PurePosixPath(directory.guest) for directory in self.directories]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"directories: got guest path `{path}` twice, expected each once")
        if not 1 <= self.clock_resolution_ns <= _COARSEST_CLOCK_NS:
            raise ValueError(f"clock resolution: got {self.clock_resolution_ns} ns, expected 1 to {_COARSEST_CLOCK_NS}")
        for host in self.http_hosts:
            split_host(host)

    def may_reach(self, host: str, port: int) -> bool:
        """Whether an HTTP request may go to this host (a name or an address, without brackets) and port. Pure.

        What a name resolves to is not looked at: the one who grants a name trusts who answers for it.
        """
        wanted = _canonical(host)
        for name, granted_port in map(split_host, self.http_hosts):
            if name == wanted and (port == granted_port if granted_port is not None else port in _WEB_PORTS):
                return True
        return False


def split_host(text: str) -> tuple[str, int | None]:
    """Host (lower case; addresses in their shortest form) and port, if one is given. Pure.

    Raises:
        ValueError: something else than `name`, `name:port`, `address`, `[v6]` or `[v6]:port`.
    """
    refused = ValueError(f"http host: got `{text}`, expected a host such as `api.example.org` or `10.0.0.7:8080`")
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise refused
        port = rest[1:]
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise refused
    if port == "" and text.endswith(":"):
        raise refused
    try:
        name = _canonical(host)
    except ValueError:
        raise refused from None
    if ":" not in name and not _HOST_NAME.fullmatch(name):
        raise refused
    return name, int(port) if port else None


def _canonical(host: str) -> str:
    name = host.rstrip(".").lower()
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        if ":" in name:
            raise
        return name
