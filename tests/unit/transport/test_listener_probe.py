"""Whether listeners answer, asked of real ones."""

from __future__ import annotations

import socket
from contextlib import closing
from pathlib import Path

from nearfield.transport import (
    Address,
    Opening,
    StateDirectory,
    ensure_local_identity,
    ensure_server_certificate,
    open_client,
    open_router,
    probe_listener,
)
from tests.hostile.attacks import unfinished_handshake


def test_zipper_answers_in_both_ways_and_lets_clients_in_afterwards(tmp_path: Path, free_port: int) -> None:
    state, address = StateDirectory(tmp_path), Address("127.0.0.1", free_port)
    with open_router(Opening("line-1", [Address("0.0.0.0", free_port)], ensure_server_certificate(state))):
        assert probe_listener(Address("0.0.0.0", free_port)) == {"quic": True, "tls": True}
        with closing(open_client([address], ensure_local_identity(state), over_tcp=False)) as client:
            assert (len(client.router_ids()), client.is_over_tcp) == (1, False)


def test_listener_that_waits_for_a_handshake_does_not_answer_until_it_is_given_up(
    tmp_path: Path, free_port: int
) -> None:
    address = Address("127.0.0.1", free_port)
    with open_router(Opening("line-1", [address], ensure_server_certificate(StateDirectory(tmp_path)))):
        with unfinished_handshake(free_port):
            assert probe_listener(address, timeout_s=0.5) == {"quic": False, "tls": True}
        assert probe_listener(address) == {"quic": True, "tls": True}


def test_port_where_nobody_listens_does_not_answer(free_port: int) -> None:
    assert probe_listener(Address("127.0.0.1", free_port)) == {"quic": False, "tls": False}


def test_host_that_does_not_resolve_does_not_answer() -> None:
    assert probe_listener(Address("nowhere.invalid", 1)) == {"quic": False, "tls": False}


def test_listener_that_says_nothing_does_not_answer(free_port: int) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.create_server(("127.0.0.1", free_port)):
        udp.bind(("127.0.0.1", free_port))
        assert probe_listener(Address("127.0.0.1", free_port), timeout_s=0.1) == {"quic": False, "tls": False}


def test_listener_that_hangs_up_answers(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)) as server:
        import threading

        thread = threading.Thread(target=lambda: server.accept()[0].close())
        thread.start()
        assert probe_listener(Address("127.0.0.1", free_port))["tls"]
        thread.join()
