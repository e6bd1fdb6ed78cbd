"""Ends the process when a call outlives its deadline: the last resort against host functions that do not return.

Epochs end a guest that computes for ever, but no model that does: one `invoke` cannot be interrupted. The supervisor
starts the worker again, and the zipper hands its frames out anew.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable

#: Exit status of a worker that was ended; EX_SOFTWARE of sysexits.h.
EXIT_STUCK = 70

# How often calls are looked at while some run.
LOOK_S = 0.5

# Native code that keeps the interpreter lock stops this thread too. Then faulthandler, which needs no lock, writes
# where each thread is and ends the process with status 1.
_DEAD_MAN_S = 30.0


def end_process(message: str) -> None:
    """Say why, and end this process at once. Other threads may hold any lock, so nothing is cleaned up."""
    os.write(sys.stderr.fileno(), f"error: {message}\n".encode())
    os._exit(EXIT_STUCK)


class Watchdog:
    """Looks after the calls of a process. One daemon thread, started with the first call; asleep while none runs."""

    def __init__(self, on_stuck: Callable[[str], None] = end_process, *, dead_man_s: float | None = None) -> None:
        """Args:
        on_stuck: called on the watchdog's thread, once for each call that is stuck, with a message for people.
        dead_man_s: have `faulthandler` end the process when this thread got no turn for so long while calls run;
            None: do not, because it exists once in a process and others may be using it.
        """
        self._on_stuck = on_stuck
        self._dead_man_s = dead_man_s
        self._calls: dict[int, tuple[float, Callable[[], str]]] = {}
        self._numbers = itertools.count(1)
        self._latest = 0
        self._wanted = threading.Event()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @classmethod
    def for_worker(cls) -> Watchdog:
        """One that ends this process, for a process that does nothing but run guests."""
        return cls(dead_man_s=_DEAD_MAN_S)

    def begin(self, ends_at_s: float, message: Callable[[], str]) -> int:
        """Note that a call runs, and return its number.

        Args:
            ends_at_s: of `time.monotonic`, when it counts as stuck.
            message: gives what to say then.
        """
        self._latest = number = next(self._numbers)
        self._calls[number] = ends_at_s, message
        if not self._wanted.is_set():
            self._wanted.set()
            if self._thread is None:
                self._start()
        return number

    def end(self, number: int) -> None:
        """The call has returned."""
        self._calls.pop(number, None)

    @property
    def is_running(self) -> bool:
        """Whether calls are being looked at."""
        return self._wanted.is_set()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="nearfield-watchdog", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            # Short calls come and go unseen: the thread goes to sleep after a look that found none, and since the one
            # before.
            seen = 0
            while self._calls or seen != self._latest:
                seen = self._latest
                self._push_back_the_end()
                time.sleep(LOOK_S)
                self._look(time.monotonic())
            self._wanted.clear()
            if self._calls:
                self._wanted.set()
            elif self._dead_man_s is not None:
                faulthandler.cancel_dump_traceback_later()

    def _push_back_the_end(self) -> None:
        if self._dead_man_s is not None:
            faulthandler.dump_traceback_later(self._dead_man_s, exit=True)

    def _look(self, now_s: float) -> None:
        for number, (ends_at_s, message) in list(self._calls.items()):
            if now_s >= ends_at_s:
                self.end(number)
                self._on_stuck(message())
