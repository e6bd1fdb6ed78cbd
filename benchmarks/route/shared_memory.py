"""Zenoh's shared memory, which nearfield never uses: switched on to show how much of a figure would be its work.

As a command, `nearfield` with shared memory allowed: `python -m benchmarks.route.shared_memory serve ...`.
"""

from __future__ import annotations

from typing import Any

from nearfield.transport import settings
from nearfield.transport.certificates import Credentials

_original = settings._shared


def allow(is_on: bool) -> None:
    """Let the sessions that this process opens from now on use shared memory, with zenoh's own defaults."""
    settings._shared = _with_shared_memory if is_on else _original


def _with_shared_memory(credentials: Credentials, *, mutual: bool) -> dict[str, Any]:
    return {**_original(credentials, mutual=mutual), "transport/shared_memory/enabled": True}


if __name__ == "__main__":
    from nearfield.cli import main

    allow(True)
    main()
