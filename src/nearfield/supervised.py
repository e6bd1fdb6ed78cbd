"""A supervised process never outlives its supervisor."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Mapping

# Tells a nearfield command the process id of the one that started it. Not passed on to its own children.
SUPERVISOR_VARIABLE = "NEARFIELD_SUPERVISOR"

# Carries the variables that a guest is granted from the workflow to `nearfield run`, as a JSON object.
GUEST_ENVIRONMENT_VARIABLE = "NEARFIELD_GUEST_ENVIRONMENT"
# Tells it where to say why it ends: a descriptor of a pipe that its supervisor reads.
LAST_WORDS_VARIABLE = "NEARFIELD_LAST_WORDS"
# What a pipe takes without anyone reading, at the least (pipe(7)).
_MOST_LAST_WORDS = 4096

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def supervised_environment(defaults: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a nearfield command that must end with this process.

    Args:
        defaults: variables to set where our own environment does not.
    """
    return {**(defaults or {}), **os.environ, SUPERVISOR_VARIABLE: str(os.getpid())}


def is_supervised() -> bool:
    """Whether another nearfield process started this one, by `supervised_environment`."""
    return _supervisor is not None


def say_last_words(text: str) -> None:
    """Tell the supervisor, if it wants to know, why this process ends. Does not block."""
    if _last_words is not None:
        with contextlib.suppress(OSError):  # it does not listen any more
            os.write(_last_words, text.encode()[:_MOST_LAST_WORDS])


def end_with_supervisor() -> None:
    """Have the kernel kill this process when the thread that started it ends, even by SIGKILL.

    Does nothing in a process that nobody supervises. Call once, at the start of the process.
    """
    global _supervisor, _last_words
    descriptor = os.environ.pop(LAST_WORDS_VARIABLE, "")
    text = os.environ.pop(SUPERVISOR_VARIABLE, "")
    if not text.isdigit():
        return
    _supervisor = int(text)
    _last_words = int(descriptor) if descriptor.isdigit() else None
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != _supervisor:
        sys.exit(1)  # it died before the request took effect


_supervisor: int | None = None
_last_words: int | None = None
