"""Host functions that guests may import, one module of theirs to a file."""

from __future__ import annotations

from nearfield.sandbox.hostcalls.preparation import prepare_host_modules
from nearfield.sandbox.hostcalls.registry import Missing, find, resolve

__all__ = ["Missing", "find", "prepare_host_modules", "resolve"]
