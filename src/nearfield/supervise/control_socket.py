"""How commands of the same user reach a `serve` that runs on this machine: a socket in the state directory.

Each `serve` listens at `control/<process id>.sock`, so that any number of zippers, of one name or of several, can be
told apart by asking them. One request is one line of JSON; answers are lines of JSON.

============================================================  ==================================================
``{"ask": "describe"}``                                       ``{"pid": .., "zipper": .., "workflow": .., ..}``
``{"ask": "reload", "functions": ["detect"]}``                the events of the reload, see `reloader.Event`
============================================================  ==================================================
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from nearfield.errors import NearfieldError, RemoteProtocolError, TransportError
from nearfield.supervise.reloader import LAST_EVENTS, Event, ReloadRequest
from nearfield.transport import StateDirectory

_log = logging.getLogger(__name__)

_FOLDER = "control"
_MOST_LINE_BYTES = 1024 * 1024
_MOST_CONNECTIONS = 16
_ANSWER_TIMEOUT_S = 5.0


class ControlServer:
    """Answers on a thread of its own, and one for each connection.

    Args:
        description: what this `serve` says of itself.
        request: called from those threads with each reload that is asked for.
    """

    def __init__(
        self, state: StateDirectory, description: Mapping[str, Any], request: Callable[[ReloadRequest], None]
    ) -> None:
        self._folder = state.ensure(_FOLDER)
        self._name = f"{os.getpid()}.sock"
        self._description = {"pid": os.getpid(), **description}
        self._request = request
        self._places = threading.Semaphore(_MOST_CONNECTIONS)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            TransportError: the socket cannot be made.
        """
        partial = f".{self._name}.partial"
        try:
            with _short(self._folder) as folder:
                path = Path(folder, partial)
                path.unlink(missing_ok=True)
                self._socket.bind(str(path))
                path.chmod(0o600)
                self._socket.listen()
                # Under its own name only now, so that a socket that refuses is always one of a process that is gone.
                path.replace(self._folder / self._name)
        except OSError as error:
            self._socket.close()
            reason = (error.strerror or str(error)).lower()
            raise TransportError(f"cannot make the control socket: {reason}", where=str(self._folder)) from error
        self._thread.start()

    def close(self) -> None:
        """Listen no more. Idempotent."""
        with contextlib.suppress(OSError):
            (self._folder / self._name).unlink()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            if not _is_ours(connection) or not self._places.acquire(blocking=False):
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection,), name="control-answer", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, contextlib.suppress(OSError):  # the other side went away
                connection.settimeout(_ANSWER_TIMEOUT_S)
                self._answer(connection)
        finally:
            self._places.release()

    def _answer(self, connection: socket.socket) -> None:
        try:
            question = json.loads(next(_lines(connection), b""))
            asked, functions = question["ask"], question.get("functions", [])
            if asked not in ("describe", "reload") or not all(isinstance(name, str) for name in functions):
                raise ValueError(asked)
        except (ValueError, KeyError, TypeError, AttributeError):
            _send(connection, {"event": "reload-failed", "error": "request not understood", "exit_code": 1})
            return
        if asked == "describe":
            _send(connection, self._description)
            return
        events: SimpleQueue[Event] = SimpleQueue()
        self._request(ReloadRequest(tuple(functions), events.put))
        while True:
            event = events.get()
            _send(connection, event)
            if event["event"] in LAST_EVENTS:
                return


@dataclass(frozen=True, slots=True)
class RunningZipper:
    """A `serve` of this user on this machine.

    Attributes:
        workflow: the absolute path of its file.
    """

    pid: int
    zipper: str
    address: str
    workflow: Path
    socket_path: Path

    def reload(self, functions: list[str]) -> Iterator[Event]:
        """Ask it to reload, and give the events until the last. Blocks.

        Raises:
            TransportError: it is gone, or ended meanwhile.
            RemoteProtocolError: it says what is no event.
        """
        where = f"zipper `{self.zipper}`"
        try:
            with _ask(self.socket_path, {"ask": "reload", "functions": functions}, timeout_s=None) as answers:
                for answer in answers:
                    if not isinstance(answer.get("event"), str):
                        raise RemoteProtocolError("got an answer that is no event", where=where)
                    yield answer
                    if answer["event"] in LAST_EVENTS:
                        return
        except OSError as error:
            raise TransportError(f"cannot be reached: {error.strerror}", where=where) from error
        raise TransportError("ended before the reload did", where=where)


def running_zippers(state: StateDirectory) -> list[RunningZipper]:
    """Every `serve` that runs, by process id. Removes what those that are gone have left."""
    found = []
    for path in sorted(state.ensure(_FOLDER).glob("[0-9]*.sock"), key=lambda path: int(path.stem)):
        try:
            with _ask(path, {"ask": "describe"}, timeout_s=_ANSWER_TIMEOUT_S) as answers:
                said = next(answers, {})
            found.append(RunningZipper(int(said["pid"]), said["zipper"], said["address"], Path(said["workflow"]), path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except (OSError, KeyError, TypeError, ValueError, NearfieldError) as error:
            _log.debug("%s: %s", path, error)
    return found


@contextmanager
def _ask(path: Path, question: Mapping[str, Any], *, timeout_s: float | None) -> Iterator[Iterator[dict[str, Any]]]:
    with ExitStack() as open_until_end:
        connection = open_until_end.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(timeout_s)
        with _short(path.parent) as folder:
            connection.connect(f"{folder}/{path.name}")
        _send(connection, question)
        yield (_object(line) for line in _lines(connection))


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise RemoteProtocolError("got an answer that is no JSON", where="control socket") from error
    return value if isinstance(value, dict) else {}


def _lines(connection: socket.socket) -> Iterator[bytes]:
    with connection.makefile("rb") as reader:
        while line := reader.readline(_MOST_LINE_BYTES):
            yield line


def _send(connection: socket.socket, content: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")


def _is_ours(connection: socket.socket) -> bool:
    """Whether the process at the other end belongs to this user, or to root."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", credentials)
    return user in (0, os.geteuid())


@contextmanager
def _short(folder: Path) -> Iterator[str]:
    """Another name for a folder: a socket's address has 108 bytes (unix(7)), and a folder's own name may have more."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
