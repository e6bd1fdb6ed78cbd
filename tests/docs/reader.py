"""Somebody who does what a document says: runs its commands, saves its files, starts its servers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.docs.markdown import pattern_of

ROOT = Path(__file__).parents[2]

DOCUMENTED_PORT = "9900"
# Generous, for a busy machine; nothing waits for as long when all is well.
COMMAND_TIMEOUT_S = 60.0
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.02


class Background:
    """A command that goes on running, and what it has printed so far."""

    def __init__(self, command: str, folder: Path, environment: dict[str, str], log: Path) -> None:
        self.command = command
        self.log = log
        with log.open("wb") as output:
            # `exec`: the process that we end later is the command itself, not a shell around it.
            self.process = subprocess.Popen(
                ["bash", "-euc", f"exec {command}"],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: re.Pattern[str]) -> None:
        """Wait until it has printed something that matches."""
        give_up_at = time.monotonic() + READY_TIMEOUT_S
        while not pattern.search(self.output()):
            status = self.process.poll()
            assert status is None, f"`{self.command}` ended with status {status}:\n{self.output()}"
            assert time.monotonic() < give_up_at, (
                f"`{self.command}` did not print {pattern.pattern!r}:\n{self.output()}"
            )
            time.sleep(POLL_INTERVAL_S)

    def stop(self) -> None:
        """Ctrl-C, as a reader would. Idempotent."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"`{self.command}` did not end within {STOP_TIMEOUT_S:g} s") from None


class Reader:
    """Works in a folder that looks like a fresh clone, with a free port in place of the documented one.

    `python` and `nearfield` are those of this test run. Leaving the `with` ends everything that was started.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.last_output = ""
        self._port = str(port)
        self._running: dict[str, Background] = {}
        for name in ("src", "guests", "examples", "docs"):
            (folder / name).symlink_to(ROOT / name)
        programs = folder / ".programs"
        programs.mkdir()
        for name, arguments in (("python", ""), ("nearfield", "-m nearfield")):
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
            program.chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")])),
            "PYTHONUNBUFFERED": "1",
            # For commands that leave the address out.
            "NEARFIELD_ZIPPER": f"localhost:{self._port}",
        }

    def adapt(self, text: str) -> str:
        """The text with this reader's port."""
        return re.sub(rf"\b{DOCUMENTED_PORT}\b", self._port, text)

    def save(self, name: str, text: str) -> None:
        (self.folder / name).write_text(self.adapt(text), encoding="utf-8")

    def run(self, command: str, status: int = 0) -> str:
        """Run a script to its end; returns what it printed."""
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.adapt(command)],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=COMMAND_TIMEOUT_S,
            text=True,
        )
        self.last_output = ended.stdout
        assert ended.returncode == status, f"status {ended.returncode}, expected {status}: {command}\n{ended.stdout}"
        return ended.stdout

    def start(self, name: str, command: str, ready: str | None) -> None:
        """Run a single command in the background, and wait until it has printed `ready`."""
        log = self.folder / f".{name}.log"
        started = Background(self.adapt(command).strip(), self.folder, self._environment, log)
        self._running[name] = started
        if ready is not None:
            started.wait_for(re.compile(re.escape(ready)))

    def check_shown(self, text: str, name: str | None) -> None:
        """Compare documented output with that of a background command, or of the last `run`."""
        for line in filter(str.strip, self.adapt(text).splitlines()):
            pattern = pattern_of(line)
            if name is not None:
                self._running[name].wait_for(pattern)
            else:
                assert pattern.search(self.last_output), f"not printed: {line!r}\n{self.last_output}"

    def finish(self, name: str) -> str:
        """Wait until a background command ends by itself; returns what it printed."""
        started = self._running[name]
        status = started.process.wait(COMMAND_TIMEOUT_S)
        assert status == 0, f"`{started.command}` ended with status {status}:\n{started.output()}"
        return started.output()

    def stop(self, name: str) -> None:
        self._running.pop(name).stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The last started first: functions and sinks before their zipper.
        for name in reversed(list(self._running)):
            self.stop(name)
