"""`nearfield` commands as real processes, for the tests that go through the command line.

A `Command` runs at once, speaks JSON lines, and is ended by its own process id. `Node` is a served workflow on a free
port of the loopback interface. Both end with the `Commands` that started them.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import yaml

from nearfield.frame import keys
from nearfield.transport import Connection, dial

ROOT = Path(__file__).parents[1]
GUESTS = ROOT / "guests"
FACTORY_LINE = ROOT / "src" / "nearfield" / "assets" / "factory_line"
TESTDATA = ROOT / ".." / "shared" / "testdata"

UPPERCASE = GUESTS / "uppercase" / "uppercase.wasm"
RECOGNISE = GUESTS / "recognise" / "recognise.wasm"
BELT = FACTORY_LINE / "belt.mp4"
PARTS = FACTORY_LINE / "parts.tflite"
PARTS_LABELS = FACTORY_LINE / "labels.txt"

# Generous: a failure takes this long, a success only as long as it needs.
DEADLINE_S = 30.0
POLL_S = 0.02

Line = dict[str, Any]
"""One JSON line of a command's output."""


class Command:
    """One command, started at once in a session of its own.

    Args:
        arguments: of `nearfield`; `--json` is added. Or, when the first is a Python file, of that program, which writes
            JSON lines too.
        environment: changes to the environment; None removes a variable.
        inside: a network namespace to run in.
    """

    def __init__(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str | None] | None = None,
        inside: str | None = None,
    ) -> None:
        is_program = isinstance(arguments[0], Path)
        self.arguments = [*map(str, arguments), *([] if is_program else ["--json"])]
        self.lines: list[Line] = []
        self._changed = threading.Condition()
        self._ended = False
        self._errors = tempfile.NamedTemporaryFile(prefix="stderr-")  # noqa: SIM115 - lives as long as the command
        self._last_words = ""
        line = [sys.executable, *self.arguments] if is_program else command_line(self.arguments)
        self._process = subprocess.Popen(
            # `ip` gives its process over to the command, so the process id stays.
            line if inside is None else ["ip", "netns", "exec", inside, *line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            env=environment_with(environment or {}),
        )
        self._reader = threading.Thread(target=self._read, name=f"read-{self.arguments[0]}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status; None while it runs; negative: ended by that signal."""
        return self._process.poll()

    @property
    def stderr(self) -> str:
        """What it wrote to standard error so far."""
        with contextlib.suppress(FileNotFoundError):  # closed
            self._last_words = Path(self._errors.name).read_text(errors="replace")
        return self._last_words

    @property
    def frames(self) -> list[Line]:
        """The lines that are about a frame, in order."""
        return [line for line in list(self.lines) if "sequence" in line]

    def sequences(self) -> list[int]:
        """Sequence numbers of those lines, in order."""
        return [line["sequence"] for line in self.frames]

    def until(self, condition: Callable[[], object], expected: str, *, timeout_s: float = DEADLINE_S) -> None:
        """Wait until `condition` holds, looked at after each line and a few times a second."""
        give_up_at = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                if self._ended and not condition():
                    raise AssertionError(f"ended without: {expected}{self.describe()}")
                if time.monotonic() >= give_up_at:
                    raise AssertionError(f"not within {timeout_s:g} s: {expected}{self.describe()}")
                self._changed.wait(0.1)

    def event(self, name: str) -> Line:
        """The line of an event, waited for."""
        found: list[Line] = []

        def is_there() -> bool:
            found[:] = [line for line in self.lines if line.get("event") == name]
            return bool(found)

        self.until(is_there, f"event `{name}`")
        return found[0]

    def ready(self) -> Self:
        """Wait for the line that says that it has begun its work."""
        self.event("ready")
        return self

    def says(self, text: str, *, times: int = 1) -> None:
        """Wait until standard error holds `text`."""
        self.until(lambda: self.stderr.count(text) >= times, f"`{text}` on standard error")

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def finish(self, timeout_s: float = DEADLINE_S) -> int:
        """Wait for its end and return the exit status. All its lines are there afterwards."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"did not end within {timeout_s:g} s{self.describe()}") from None
        self._reader.join(DEADLINE_S)
        return status

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and wait. Returns the exit status."""
        if self.status is None:
            self.send_signal(number)
        return self.finish()

    def close(self) -> None:
        """End it whatever it does, and free what it holds. Idempotent."""
        with contextlib.suppress(ProcessLookupError):
            if self.status is None:
                self.send_signal(signal.SIGCONT)
                self.send_signal(signal.SIGTERM)
                self._process.wait(5.0)
        if self.status is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(DEADLINE_S)
        _ = self.stderr  # kept for `describe`
        self._errors.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def describe(self) -> str:
        """For messages: the command, its state, its last lines, and what it wrote to standard error."""
        state = "running" if self.status is None else f"ended with status {self.status}"
        lines = "\n".join(json.dumps(line)[:300] for line in self.lines[-5:])
        return f"\n`nearfield {' '.join(self.arguments)}` ({state}), last lines:\n{lines}\nstderr:\n{self.stderr}"

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            line = json.loads(text)
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that ended: its exit status and what it wrote."""

    status: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one error on standard error, without its mark. Nothing else may be there but notes of the log."""
        lines = [line for line in self.stderr.splitlines() if " INFO " not in line]
        assert len(lines) == 1, f"expected one line on standard error, got:\n{self.stderr}"
        assert lines[0].startswith("error: "), lines[0]
        return lines[0].removeprefix("error: ")


def nearfield(
    *arguments: str | Path,
    environment: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    timeout_s: float = DEADLINE_S,
) -> Finished:
    """Run a command to its end, with its output in pipes."""
    done = subprocess.run(
        command_line(map(str, arguments)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        cwd=cwd,
        env=environment_with(environment or {}),
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def command_line(arguments: Any) -> list[str]:
    return [sys.executable, "-m", "nearfield", *arguments]


def environment_with(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This process's environment with changes. Wide enough that no line of help is wrapped."""
    environment = {**os.environ, "COLUMNS": "200", "PYTHONFAULTHANDLER": "1"}
    for name, value in changes.items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


class Commands:
    """Starts commands and nodes, and ends them all when left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[Command] = []
        self._stack = ExitStack()
        OPEN.append(self)

    def start(
        self,
        *arguments: str | Path,
        environment: Mapping[str, str | None] | None = None,
        inside: str | None = None,
    ) -> Command:
        command = Command(*arguments, environment=environment, inside=inside)
        self.started.append(command)
        self._stack.callback(command.close)
        return command

    def node(self, functions: Sequence[Mapping[str, Any]], **more: Any) -> Node:
        """Serve a workflow with these functions and wait until it is ready."""
        port = free_port()
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        workflow = folder / "workflow.yaml"
        content = {"name": "node", "host": "127.0.0.1", "port": port, "functions": list(functions), **more}
        workflow.write_text(yaml.safe_dump(content, sort_keys=False))
        return self.serve(workflow, f"127.0.0.1:{port}")

    def serve(self, workflow: Path, address: str, *options: str) -> Node:
        """Serve a workflow file and wait until it is ready."""
        serve = self.start("serve", "-c", workflow, *options).ready()
        node = Node(self, serve, address)
        self._stack.callback(node.close)
        return node

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        OPEN.remove(self)


OPEN: list[Commands] = []
"""Those in use at this moment, whose commands a failing test describes."""


class Node:
    """A served workflow: its command, and a connection of our own for the ledger."""

    def __init__(self, commands: Commands, serve: Command, address: str) -> None:
        self.serve = serve
        self.address = address
        self.commands = commands
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """Made when first used."""
        if self._connection is None:
            self._connection = dial(self.address)
        return self._connection

    def run(self, *arguments: str | Path) -> Command:
        """Start a function and wait until it has joined."""
        return self.commands.start("run", *arguments, "--zipper", self.address).ready()

    def watch(self, *arguments: str | Path) -> Command:
        """Start a sink and wait until it receives."""
        return self.commands.start("watch", *arguments, "--zipper", self.address).ready()

    def send(self, *arguments: str | Path) -> Command:
        """Start a source."""
        return self.commands.start("send", *arguments, "--zipper", self.address)

    def ledger(self) -> dict[str, Any]:
        answer = self.connection.session.ask(keys.ledger(self.connection.namespace, self.connection.zipper))
        assert answer is not None, f"the zipper gives no ledger{self.serve.describe()}"
        ledger: dict[str, Any] = msgspec.json.decode(answer)
        for group in ledger["groups"].values():
            assert_adds_up(group)
        return ledger

    def group(self, function: str) -> dict[str, Any]:
        """A function's entry in the ledger."""
        group: dict[str, Any] = self.ledger()["groups"][function]
        return group

    def until_group(
        self, function: str, condition: Callable[[dict[str, Any]], object], expected: str
    ) -> dict[str, Any]:
        """Wait until the ledger's entry of a function satisfies `condition`, and return it."""
        group: dict[str, Any] = {}

        def holds() -> object:
            group.clear()
            group.update(self.group(function))
            return condition(group)

        poll(holds, lambda: f"{expected}; ledger: {group}{self.serve.describe()}")
        return group

    def until_instances(self, function: str, count: int) -> None:
        """Wait until so many instances are joined."""
        self.until_group(function, lambda group: group["instances"] == count, f"{count} instances of `{function}`")

    def until_settled(self, function: str, received: int) -> dict[str, Any]:
        """Wait until `received` frames have come and every one's story is over; returns the ledger's entry."""
        return self.until_group(
            function,
            lambda group: group["received"] >= received and group["queued"] == group["in_flight"] == 0,
            f"{received} frames settled",
        )

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def assert_adds_up(group: Mapping[str, Any]) -> None:
    """The ledger's law: every frame that reached a function is somewhere."""
    settled = group["completed"] + sum(group["failed"].values()) + sum(group["dropped"].values())
    assert group["received"] == settled + group["queued"] + group["in_flight"], group


def poll(condition: Callable[[], object], expected: str | Callable[[], str], *, timeout_s: float = DEADLINE_S) -> None:
    """Wait until `condition` holds."""
    give_up_at = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= give_up_at:
            raise AssertionError(f"not within {timeout_s:g} s: {expected if isinstance(expected, str) else expected()}")
        time.sleep(POLL_S)


# Below the range from which the kernel takes ports for everyone else, so that what is free here stays so until it is
# used, while other tests run beside it.
_PORTS = range(20_000, 32_768)
_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP, and was not given to anyone in this process before."""
    for _ in range(1_000):
        port = random.SystemRandom().choice(_PORTS)
        with (
            contextlib.suppress(OSError),
            socket.socket(type=socket.SOCK_DGRAM) as udp,
            socket.socket(type=socket.SOCK_STREAM) as tcp,
        ):
            udp.bind(("127.0.0.1", port))
            tcp.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("no port is free for both UDP and TCP")


# ---- what the kernel says of processes


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, zombies left out."""
    return [child for child, (parent, state) in _processes().items() if parent == pid and state != "Z"]


def descendants_of(pid: int) -> list[int]:
    """Processes that `pid` started, and those that they started."""
    children = children_of(pid)
    return children + [further for child in children for further in descendants_of(child)]


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs; a zombie does not."""
    return _processes().get(pid, (0, "Z"))[1] != "Z"


def until_gone(pids: Sequence[int], *, timeout_s: float = DEADLINE_S) -> None:
    """Wait until none of these processes runs."""
    poll(
        lambda: not any(map(is_alive, pids)),
        lambda: f"processes {[pid for pid in pids if is_alive(pid)]} gone",
        timeout_s=timeout_s,
    )


def _processes() -> dict[int, tuple[int, str]]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # pid (name, which may hold anything) state parent ...
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                found[int(entry.name)] = (int(parent), state)
    return found


def copy_of(path: Path, folder: Path, edit: Callable[[bytes], bytes] = lambda content: content) -> Path:
    """A changed copy of a file."""
    target = folder / path.name
    shutil.copyfile(path, target)
    target.write_bytes(edit(target.read_bytes()))
    return target
