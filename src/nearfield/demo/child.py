"""A `nearfield` command as a child process that speaks JSON lines."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

from nearfield.errors import NearfieldError, TransportError
from nearfield.supervised import supervised_environment

STOP_GRACE_S = 3.0


class Child:
    """One command, started at once.

    Attributes:
        name: of the command, for messages.
        events: its JSON lines as they come, and None at the end of its output.
    """

    def __init__(self, *arguments: str) -> None:
        self.name = arguments[0]
        self.events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the child
        # A session of its own: Ctrl-C reaches us only, and we end the children in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nearfield", *arguments, "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
            env=supervised_environment(),
        )
        self._reader = threading.Thread(target=self._read, name=f"read-{self.name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def expect(self, event: str, timeout_s: float) -> dict[str, Any]:
        """Wait for an event, passing over others.

        Raises:
            TransportError: the command ended first, with what it said, or the time is up.
        """
        give_up_at = time.monotonic() + timeout_s
        while True:
            try:
                line = self.events.get(timeout=max(0.0, give_up_at - time.monotonic()))
            except queue.Empty:
                raise TransportError(f"`nearfield {self.name}` was not {event} within {timeout_s:g} s") from None
            if line is None:
                raise self.failure()
            if line.get("event") == event:
                return line

    def failure(self) -> NearfieldError:
        """Why it ended: its last words."""
        status = self._process.wait()
        reason = self.last_words() or "it said nothing"
        return TransportError(f"`nearfield {self.name}` ended with status {status}: {reason}")

    def last_words(self) -> str | None:
        """The latest error that it, or a worker of its, reported; else its last line; None when it said nothing."""
        lines = self.errors().strip().splitlines()
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        words = errors or lines
        return words[-1] if words else None

    def errors(self) -> str:
        """What it wrote to standard error so far."""
        self._errors.seek(0)
        return self._errors.read()

    def stop(self) -> None:
        """End it: asked first, then made to. Idempotent."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                self._process.wait(STOP_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(timeout=1.0)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed while reading
            for line in self._process.stdout:
                self.events.put(json.loads(line))
        self.events.put(None)
