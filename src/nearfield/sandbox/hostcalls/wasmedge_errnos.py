"""Errnos of WasmEdge's TensorFlow modules from 0.13 on, which both share, and the refusal of a session."""

from __future__ import annotations

from nearfield.errors import ConfigError, InferenceError, ModelInvalid
from nearfield.sandbox.call import WARNING
from nearfield.sandbox.host import Host, ModelTooLarge

SUCCESS, INVALID_ARGUMENT, INVALID_ENCODING, MISSING_MEMORY, BUSY, RUNTIME_ERROR = range(6)


class NotOpened(Exception):
    """There is no session. The reason is in the guest's log; `errno` is what generation B answers."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


def warn(host: Host, module: str, text: str) -> None:
    """Say in the guest's log what went wrong."""
    host.call.log(WARNING, f"{module}: {text}")


def require_room(host: Host, module: str) -> None:
    """Raise `NotOpened` when no further handle may be opened."""
    if not host.handles.has_room():
        warn(host, module, f"all {host.limits.handles} handles are in use; delete some, or raise the limit")
        raise NotOpened(BUSY)


def not_opened(
    host: Host, module: str, function: str, error: InferenceError | ConfigError, otherwise: int
) -> NotOpened:
    """What to raise for a model that cannot be had.

    Args:
        otherwise: the errno when it is not the model's own fault.
    """
    warn(host, module, f"{function}: {error}")
    if isinstance(error, ModelTooLarge):
        return NotOpened(BUSY)
    return NotOpened(INVALID_ARGUMENT if isinstance(error, ModelInvalid) else otherwise)
