"""Processes that a benchmark starts, commands and ends.

Each is a session of its own, so that Ctrl-C reaches the benchmark alone, which then ends them in order. Those that play
a role end by themselves when their standard input closes, however the benchmark came to its end.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.measure import ROOT

START_S = 60.0
END_S = 5.0
# Of standard error, shown when it fails.
LAST_LINES = 20


class ProcessFailed(Exception):
    """A process ended, said that it failed, or did not answer."""


class Process:
    """A child that speaks JSON lines on its standard output.

    Args:
        name: for messages.
        command: its arguments, the Python interpreter left out.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self._errors = tempfile.NamedTemporaryFile(prefix="bench-")  # noqa: SIM115 - lives as long as the process
        self._process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"read-{name}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, do: str, **parameters: Any) -> None:
        """Begin a call of the role's method `do`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **parameters}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ProcessFailed(f"`{self.name}` has ended{self._last_words()}") from None

    def answer(self, timeout_s: float = START_S) -> Any:
        """What the call returned.

        Raises:
            ProcessFailed: it raised, the process ended, or the time is up.
        """
        line = self.line(timeout_s)
        if "failed" in line:
            raise ProcessFailed(f"`{self.name}`: {line['failed']}")
        return line["answer"]

    def call(self, do: str, timeout_s: float = START_S, **parameters: Any) -> Any:
        """`tell`, and the `answer`."""
        self.tell(do, **parameters)
        return self.answer(timeout_s)

    def line(self, timeout_s: float) -> dict[str, Any]:
        """The next line of output."""
        try:
            text = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise ProcessFailed(f"`{self.name}` said nothing for {timeout_s:g} s{self._last_words()}") from None
        if text is None:
            raise ProcessFailed(f"`{self.name}` ended with status {self._process.wait()}{self._last_words()}")
        line: dict[str, Any] = json.loads(text)
        return line

    def close(self, number: signal.Signals | None = None) -> None:
        """End it: by closing its standard input, or by a signal. Idempotent."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        for attempt in (number, signal.SIGTERM, signal.SIGKILL):
            if attempt is not None and self._process.poll() is None:
                self._process.send_signal(attempt)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_S)
                break
        self._reader.join(END_S)
        self._process.stdout.close()
        self._errors.close()

    def _last_words(self) -> str:
        lines = Path(self._errors.name).read_text(errors="replace").splitlines()[-LAST_LINES:]
        return "".join(f"\n  {line[:300]}" for line in lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)


class Processes:
    """Starts processes, and ends them all when left, the latest first."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def play(self, role: str, **parameters: Any) -> Process:
        """Start a process that plays a role of `benchmarks.route.child`. `ready` waits for it."""
        process = Process(role, ["-m", "benchmarks.route.child", role, json.dumps(parameters)])
        self._stack.callback(process.close)
        return process

    def run(self, name: str, command: Sequence[str]) -> Process:
        """Start another command, which a signal ends."""
        process = Process(name, command)
        self._stack.callback(process.close, signal.SIGTERM)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def ready(*processes: Process) -> None:
    """Wait until each has taken up its role."""
    for process in processes:
        process.answer()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end this process as Ctrl-C does, with all that it started."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP at this moment."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(type=socket.SOCK_STREAM) as tcp:
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            with contextlib.suppress(OSError):
                tcp.bind(("127.0.0.1", port))
                return port
