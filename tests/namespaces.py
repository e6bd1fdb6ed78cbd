"""Networks for tests: namespaces of the kernel with cables between them, each with addresses of its own.

Nothing of the machine's own network is touched. Names hold the process id, `nf<pid>-<name>`, so that runs do not get in
each other's way, and what one that was killed left behind is swept away by the next. Needs root, `ip` and, for rates,
`tc`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

# For tests of networks (RFC 2544). Each cable gets four addresses; namespaces are closed, so runs may use the same.
_RANGE = ipaddress.ip_network("198.18.0.0/15")
_NAME = re.compile(r"nf(\d+)-\w+")
# Nobody has it, so what is sent there is taken by nobody.
_NOBODYS_MAC = "02:00:00:00:00:99"


class NotPermitted(Exception):
    """This machine does not let us make networks; the message says what is missing."""


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    if done.returncode:
        raise NotPermitted(f"`{' '.join(command)}`: {done.stderr.strip()}")
    return done.stdout


def _ip(*arguments: str) -> str:
    return _run("ip", *arguments)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable."""

    namespace: str
    device: str
    address: str


class Cable:
    """A line between two namespaces.

    Attributes:
        ends: by the names that the namespaces have in their network.
    """

    def __init__(self, ends: dict[str, End]) -> None:
        self.ends = ends

    def address(self, name: str) -> str:
        """Of the namespace of this name, on this cable."""
        return self.ends[name].address

    def cut(self) -> None:
        """Set both ends down: nothing passes, and both kernels know."""
        for end in self.ends.values():
            _ip("-n", end.namespace, "link", "set", end.device, "down")

    def cut_from(self, name: str) -> None:
        """Lose what this namespace sends over the cable, without a word; the other way stays."""
        (other,) = (end for key, end in self.ends.items() if key != name)
        end = self.ends[name]
        _ip(
            "-n", end.namespace, "neigh", "replace", other.address, "dev", end.device,
            "lladdr", _NOBODYS_MAC, "nud", "permanent",
        )  # fmt: skip

    def mend(self) -> None:
        """Undo every cut."""
        for end in self.ends.values():
            _ip("-n", end.namespace, "link", "set", end.device, "up")
            _ip("-n", end.namespace, "neigh", "flush", "dev", end.device, "nud", "all")

    def limit(self, name: str, rate: str, *, burst: str = "64kb", latency: str = "200ms") -> None:
        """Let this namespace send no faster than `rate`, such as ``50mbit``, with a buffer of `latency`."""
        end = self.ends[name]
        limit = ["root", "tbf", "rate", rate, "burst", burst, "latency", latency]
        _ip("netns", "exec", end.namespace, "tc", "qdisc", "replace", "dev", end.device, *limit)

    def unlimit(self, name: str) -> None:
        """Undo `limit`."""
        end = self.ends[name]
        _ip("netns", "exec", end.namespace, "tc", "qdisc", "del", "dev", end.device, "root")


class Network:
    """Namespaces and cables, which end with it.

    Raises:
        NotPermitted: on entering, and from the methods.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._cables: list[Cable] = []

    def namespace(self, name: str) -> str:
        """Make a namespace, or find it. Returns the name that the kernel knows it by."""
        if name not in self._names:
            made = f"nf{os.getpid()}-{name}"
            _ip("netns", "add", made)
            self._names[name] = made
            _ip("-n", made, "link", "set", "lo", "up")
        return self._names[name]

    def cable(self, first: str, second: str) -> Cable:
        """Lay a cable between two namespaces."""
        number = len(self._cables)
        addresses = [str(_RANGE[4 * number + 1]), str(_RANGE[4 * number + 2])]
        ends = {
            name: End(self.namespace(name), f"cable{number}", address)
            for name, address in zip((first, second), addresses, strict=True)
        }
        one, two = ends.values()
        _ip(
            "link", "add", one.device, "netns", one.namespace, "type", "veth",
            "peer", "name", two.device, "netns", two.namespace,
        )  # fmt: skip
        for end in ends.values():
            _ip("-n", end.namespace, "addr", "add", f"{end.address}/30", "dev", end.device)
            _ip("-n", end.namespace, "link", "set", end.device, "up")
        self._cables.append(Cable(ends))
        return self._cables[-1]

    def mend(self) -> None:
        """Undo every cut of every cable."""
        for cable in self._cables:
            cable.mend()

    def close(self) -> None:
        """Take everything down. Idempotent."""
        while self._names:
            _, made = self._names.popitem()
            with contextlib.suppress(NotPermitted):
                _ip("netns", "del", made)
        self._cables.clear()

    def __enter__(self) -> Self:
        missing = [program for program in ("ip", "tc") if shutil.which(program) is None]
        if missing or os.geteuid() != 0:
            raise NotPermitted(f"needs root, `ip` and `tc`; missing: {', '.join(missing) or 'root'}")
        sweep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def sweep() -> None:
    """Delete the namespaces that test runs left behind which were killed."""
    for name in left_behind():
        with contextlib.suppress(NotPermitted):
            _ip("netns", "del", name)


def left_behind() -> Iterator[str]:
    """Namespaces of test runs that are no more."""
    for entry in json.loads(_ip("-json", "netns", "list") or "[]"):
        found = _NAME.fullmatch(entry["name"])
        if found and not Path("/proc", found[1]).exists():
            yield entry["name"]
