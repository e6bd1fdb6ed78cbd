"""The names of this machine and its user, and its addresses, learned without sending anything."""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from nearfield.frame.names import LOCAL_PREFIX, MAX_NAME_LENGTH, name_from

# A letter-digit-hyphen name, with underscores, which occur in container names.
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_\-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_\-]{0,62})*", re.ASCII)
# Addresses for documentation (RFC 5737, RFC 3849): connecting a UDP socket only looks up the route towards them.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def user_name() -> str:
    """Of the user that this process acts for."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in containers, a user often has only a number
        return f"uid{os.geteuid()}"


def local_identity_name() -> str:
    """Under which this user's commands are known to the zippers of this user: `local-ada`."""
    return f"{LOCAL_PREFIX}{name_from(user_name())}"[:MAX_NAME_LENGTH]


def normalize_host(host: str) -> str | None:
    """The form in which a certificate holds `host`; None if it cannot hold it, as with 0.0.0.0."""
    with suppress(ValueError):
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        return None if address.is_unspecified else str(address)
    name = host.rstrip(".").lower()
    return name if _HOST.fullmatch(name) else None


def local_names() -> list[str]:
    """`localhost`, the hostname, and every address of an interface except link-local ones; sorted, each once."""
    candidates = ["localhost", "127.0.0.1", "::1", socket.gethostname(), *_kernel_addresses(), *_route_addresses()]
    names = {name for candidate in candidates if (name := normalize_host(candidate)) is not None}
    return sorted(name for name in names if not _is_link_local(name))


def _is_link_local(name: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(name).is_link_local
    return False


def _kernel_addresses() -> Iterator[str]:
    """Interface addresses from Linux' own tables; none elsewhere."""
    with suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            yield str(ipaddress.IPv6Address(int(line.split()[0], 16)))
    with suppress(OSError):
        yield from parse_route_trie(Path("/proc/net/fib_trie").read_text())


def parse_route_trie(text: str) -> set[str]:
    """The machine's own IPv4 addresses in the kernel's routing table, as `/proc/net/fib_trie` shows it."""
    found: set[str] = set()
    address = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["|--"] and len(words) == 2:
            address = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            found.add(address)
    return found


def _route_addresses() -> Iterator[str]:
    for family, destination in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((destination, 9))
            yield str(probe.getsockname()[0])
