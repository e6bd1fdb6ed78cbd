"""What of this machine a guest gets to see: nothing, except what is listed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from nearfield.config.granted import (
    GUEST_PATH_EXPECTED,
    HTTP_HOST_EXPECTED,
    VARIABLE_EXPECTED,
    canonical_host,
    is_guest_path,
    is_variable,
    split_http_host,
)

# What most systems' clocks give; coarser ones make timing attacks harder.
DEFAULT_CLOCK_RESOLUTION_NS = 1000
_COARSEST_CLOCK_NS = 10**9

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
        if not is_guest_path(self.guest):
            raise ValueError(f"directory: got guest path `{self.guest}`, expected {GUEST_PATH_EXPECTED}")


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
            if not is_variable(name) or "\0" in value:
                raise ValueError(f"environment: got `{name}`, expected {VARIABLE_EXPECTED}, and a value without NUL")
        paths = [PurePosixPath(directory.guest) for directory in self.directories]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"directories: got guest path `{path}` twice, expected each once")
        if not 1 <= self.clock_resolution_ns <= _COARSEST_CLOCK_NS:
            raise ValueError(f"clock resolution: got {self.clock_resolution_ns} ns, expected 1 to {_COARSEST_CLOCK_NS}")
        for host in self.http_hosts:
            try:
                split_http_host(host)
            except ValueError:
                raise ValueError(f"http host: got `{host}`, expected {HTTP_HOST_EXPECTED}") from None

    def may_reach(self, host: str, port: int) -> bool:
        """Whether an HTTP request may go to this host (a name or an address, without brackets) and port. Pure.

        What a name resolves to is not looked at: the one who grants a name trusts who answers for it.
        """
        try:
            wanted = canonical_host(host)
        except ValueError:
            return False
        for name, granted_port in map(split_http_host, self.http_hosts):
            if name == wanted and (port == granted_port if granted_port is not None else port in _WEB_PORTS):
                return True
        return False

    def http_ports(self) -> tuple[int, ...]:
        """TCP ports of all granted hosts."""
        ports = (split_http_host(host)[1] for host in self.http_hosts)
        return tuple(sorted({each for port in ports for each in (_WEB_PORTS if port is None else (port,))}))
