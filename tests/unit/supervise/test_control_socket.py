"""The control socket, between threads of this process."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import TransportError
from nearfield.supervise import ControlServer, ReloadRequest, running_zippers
from nearfield.transport import StateDirectory

DESCRIPTION = {"zipper": "line-1", "address": "127.0.0.1:9900", "workflow": "/w/line.yaml"}
PROGRESS = {"event": "reloading", "text": "starting"}
DONE = {"event": "reloaded", "took_s": 0.1, "functions": []}


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    """A folder whose name alone is longer than a socket's address may be."""
    return StateDirectory(tmp_path / ("long" * 40))


Serve = Callable[..., ControlServer]


@pytest.fixture
def serve(state: StateDirectory) -> Iterator[Serve]:
    with ExitStack() as stack:

        def start(request: Callable[[ReloadRequest], None] = lambda _: None, **changes: Any) -> ControlServer:
            server = ControlServer(state, {**DESCRIPTION, **changes}, request)
            server.start()
            stack.callback(server.close)
            return server

        yield start


def socket_of(state: StateDirectory) -> Path:
    return state.path / "control" / f"{os.getpid()}.sock"


def test_running_zipper_is_found_and_says_what_it_is(state: StateDirectory, serve: Serve) -> None:
    assert running_zippers(state) == []
    server = serve()
    (found,) = running_zippers(state)
    assert (found.pid, found.zipper, found.address, found.workflow) == (
        os.getpid(),
        "line-1",
        "127.0.0.1:9900",
        Path("/w/line.yaml"),
    )
    server.close()
    server.close()
    assert running_zippers(state) == []
    assert not socket_of(state).exists()


def test_socket_is_for_its_user_only(state: StateDirectory, serve: Serve) -> None:
    serve()
    assert stat.S_IMODE(socket_of(state).stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_of(state).parent.stat().st_mode) == 0o700


def test_reload_is_asked_for_and_its_events_come_back(state: StateDirectory, serve: Serve) -> None:
    asked: list[tuple[str, ...]] = []

    def reload(request: ReloadRequest) -> None:
        asked.append(request.functions)
        request.tell(PROGRESS)
        request.tell(DONE)

    serve(reload)
    (zipper,) = running_zippers(state)
    assert list(zipper.reload(["detect"])) == [PROGRESS, DONE]
    assert list(zipper.reload([])) == [PROGRESS, DONE]
    assert asked == [("detect",), ()]


def test_stale_socket_is_removed(state: StateDirectory) -> None:
    path = state.ensure("control") / "4711.sock"
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)
    assert path.exists()
    assert running_zippers(state) == []
    assert not path.exists()


def test_zipper_that_ends_meanwhile_is_an_error(state: StateDirectory, serve: Serve) -> None:
    server = serve(lambda request: request.tell(PROGRESS))
    (zipper,) = running_zippers(state)
    events = zipper.reload([])
    assert next(events) == PROGRESS
    server.close()
    with pytest.raises(TransportError, match=r"^zipper `line-1`: cannot be reached"):
        list(zipper.reload([]))


@pytest.mark.parametrize(
    "line", [b"", b"nonsense\n", b'{"ask": "x"}\n', b'{"ask": "reload", "functions": [1]}\n', b"[]\n"]
)
def test_request_that_is_none_is_refused(state: StateDirectory, serve: Serve, line: bytes) -> None:
    serve(lambda request: pytest.fail("nobody asked"))
    folder = os.open(socket_of(state).parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(f"/proc/self/fd/{folder}/{socket_of(state).name}")
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        assert b"request not understood" in client.recv(1000)
    os.close(folder)
    assert len(running_zippers(state)) == 1
