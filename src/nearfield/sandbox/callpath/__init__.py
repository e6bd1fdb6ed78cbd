"""The two ways to reach wasmtime, behind one contract."""

from __future__ import annotations

import functools

from nearfield.sandbox.callpath.contract import CallPath, HostImport, Linked, LinkFailed, Sandbox, Trapped
from nearfield.sandbox.callpath.fast import FastPath
from nearfield.sandbox.callpath.ordinary import OrdinaryPath

__all__ = [
    "CallPath",
    "FastPath",
    "HostImport",
    "LinkFailed",
    "Linked",
    "OrdinaryPath",
    "Sandbox",
    "Trapped",
    "call_path",
]


@functools.cache
def call_path() -> CallPath:
    """The fastest path that the installed wheel allows."""
    return FastPath.create() or OrdinaryPath()
