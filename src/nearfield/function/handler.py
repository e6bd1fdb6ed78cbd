"""The contract between the worker and what handles frames: a Python function, or a guest in its sandbox."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from nearfield.errors import HandlerFailed
from nearfield.function.context import Context


class Handler(Protocol):
    """Handles frames; called from as many threads at once as `concurrency` says.

    Attributes:
        runtime: "python", or the ABI of the guest.
        concurrency: frames at a time, >= 1.
    """

    runtime: str
    concurrency: int

    def handle(self, context: Context) -> None:
        """Handle a frame, adding to `context.emissions`.

        Raises:
            NearfieldError: this frame failed. The worker counts it and goes on.
        """
        ...

    def close(self) -> None:
        """Free what the handler holds. Idempotent."""
        ...


PythonHandler = Callable[[Context], None] | Callable[[Context], Awaitable[None]]


class PythonFunction:
    """A Python callable as a handler, synchronous or asynchronous.

    An asynchronous one runs on an event loop of its own that lives as long as this object, so that clients it keeps
    open from frame to frame go on working; still one frame at a time.
    """

    runtime = "python"
    concurrency = 1

    def __init__(self, call: PythonHandler) -> None:
        self._call = call
        self._runner: asyncio.Runner | None = None

    def handle(self, context: Context) -> None:
        try:
            result = self._call(context)
            # Asked of the result, since an object with an asynchronous `__call__` does not show that it is one.
            if inspect.isawaitable(result):
                self._runner = self._runner or asyncio.Runner()
                self._runner.run(_finish(result))
        except (Exception, asyncio.CancelledError) as error:
            raise HandlerFailed(f"handler raised {describe_raised(error)}") from error

    def close(self) -> None:
        if self._runner is not None:
            self._runner.close()


async def _finish(result: Awaitable[None]) -> None:
    await result


def describe_raised(error: BaseException) -> str:
    """What a program of the user's raised, in one line: the class, the message, and the place."""
    message = str(error).splitlines()[0] if str(error) else "no message"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} at {Path(error.filename or '?').name}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {message}{place}"
