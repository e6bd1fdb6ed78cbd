"""Signals that end a command in good order."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import time
from collections.abc import Callable
from types import FrameType

EXIT_INTERRUPTED = 130

# A signal that comes so soon after the first is the same wish: `timeout` signals the command and then its group.
SAME_WISH_S = 0.3


class Stopping:
    """Set by SIGINT or SIGTERM. A second signal ends the process at once, without good order.

    Made on the main thread. `exit_code` is 130 after SIGINT and 0 after SIGTERM, which asks for an orderly end.
    """

    def __init__(self, on_stop: Callable[[], None] = lambda: None) -> None:
        self._on_stop = on_stop
        # Not an event: its lock is not reentrant, and a handler may run in the midst of `wait`.
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_set = False
        self._set_at: float | None = None
        self._interrupted = False
        signal.signal(signal.SIGINT, self._handle)
        signal.signal(signal.SIGTERM, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._set_at is not None:
            if time.monotonic() - self._set_at > SAME_WISH_S:
                # Processes that we started end with us; see `nearfield.supervised`.
                os._exit(EXIT_INTERRUPTED)
            return
        self._set_at = time.monotonic()
        self._interrupted = number == signal.SIGINT
        self._is_set = True
        self._signals.put(number)
        self._on_stop()

    @property
    def is_set(self) -> bool:
        return self._is_set

    @property
    def exit_code(self) -> int:
        return EXIT_INTERRUPTED if self._interrupted else 0

    def wait(self, timeout_s: float) -> bool:
        """Wait for a signal. False: none came in time."""
        if not self._is_set:
            with contextlib.suppress(queue.Empty):
                self._signals.get(timeout=timeout_s)
        return self._is_set
