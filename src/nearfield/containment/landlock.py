"""Landlock: the file system, TCP, signals and abstract sockets, as far as this kernel's version of it goes.

Source: `include/uapi/linux/landlock.h` and `Documentation/userspace-api/landlock.rst` of Linux 6.18.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

from nearfield.containment.kernel import Kernel
from nearfield.containment.plan import ContainmentPlan

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, MAKE_SYM = 1 << 7, 1 << 8, 1 << 12
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

_KEEP_FILES = READ_FILE | READ_DIR | WRITE_FILE | TRUNCATE | MAKE_REG | REMOVE_FILE

# Rights that each version of the interface knows, all of which are withdrawn unless a rule grants them.
_RIGHTS_BY_ABI = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
# A rule for a file may grant only these.
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

_NETWORK_SINCE, _BIND_TCP, _CONNECT_TCP = 4, 1 << 0, 1 << 1
_SCOPES_SINCE, _ABSTRACT_SOCKETS, _SIGNALS = 6, 1 << 0, 1 << 1
_ALL_THREADS_SINCE, _ALL_THREADS = 8, 1 << 3

_GET_VERSION = 1 << 0
_RULE_PATH, _RULE_PORT = 1, 2


def landlock_abi(kernel: Kernel) -> int:
    """Version of the interface, 1 or more.

    Raises:
        OSError: ENOSYS, the kernel has none; EOPNOTSUPP, it was started without.
    """
    return kernel.call("landlock_create_ruleset", 0, 0, _GET_VERSION)


def rights_of(abi: int) -> int:
    """All rights on files that this version can withdraw. Pure."""
    return max(rights for since, rights in _RIGHTS_BY_ABI.items() if since <= abi)


def ruleset(abi: int) -> bytes:
    """`struct landlock_ruleset_attr`, as long as this version knows it. Pure."""
    fields = [rights_of(abi)]
    if abi >= _NETWORK_SINCE:
        fields.append(_BIND_TCP | _CONNECT_TCP)
    if abi >= _SCOPES_SINCE:
        fields.append(_ABSTRACT_SOCKETS | _SIGNALS)
    return struct.pack(f"={len(fields)}Q", *fields)


def rules_of(plan: ContainmentPlan) -> Iterator[tuple[Path, int]]:
    """Paths and the rights that the plan grants on them. Pure."""
    for path in plan.listable:
        yield path, READ_DIR
    for path in plan.readable:
        yield path, READ_FILE | READ_DIR
    for path in plan.executable:
        yield path, READ_FILE | EXECUTE
    for path in plan.devices:
        yield path, READ_FILE | WRITE_FILE
    for path in plan.writable:
        yield path, _KEEP_FILES
    for path in plan.granted:
        yield path, _KEEP_FILES | MAKE_DIR | REMOVE_DIR | MAKE_SYM | REFER


def restrict(kernel: Kernel, plan: ContainmentPlan, *, threads: int) -> str:
    """Confine this thread, and all threads and processes that it starts from now on. For good.

    Args:
        threads: of this process at this moment. Those beyond the calling one are confined from version 8 on.

    Returns:
        The version, and how many threads stay outside.

    Raises:
        OSError: the kernel does not have it, or refuses.
    """
    abi = landlock_abi(kernel)
    attributes = ruleset(abi)
    rules = kernel.call("landlock_create_ruleset", attributes, len(attributes), 0)
    try:
        for path, rights in rules_of(plan):
            _allow(kernel, rules, path, rights & rights_of(abi))
        if abi >= _NETWORK_SINCE:
            for port in plan.tcp_ports:
                kernel.call("landlock_add_rule", rules, _RULE_PORT, struct.pack("=QQ", _CONNECT_TCP, port), 0)
        together = threads > 1 and abi >= _ALL_THREADS_SINCE
        kernel.call("landlock_restrict_self", rules, _ALL_THREADS if together else 0)
    finally:
        os.close(rules)
    outside = 0 if together else threads - 1
    return f"ABI {abi}" + (f", {outside} earlier threads outside" if outside else "")


def _allow(kernel: Kernel, rules: int, path: Path, rights: int) -> None:
    try:
        # Links are followed: the rule is for what the path leads to now.
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _OF_FILES
        if rights:
            kernel.call("landlock_add_rule", rules, _RULE_PATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)
