"""Whether an address can be listened on, asked of the kernel."""

from __future__ import annotations

import socket

import pytest

from nearfield.errors import ConfigError
from nearfield.transport import Address, check_listenable


def test_free_address_passes_and_stays_free(free_port: int) -> None:
    check_listenable(Address("127.0.0.1", free_port))
    check_listenable(Address("localhost", free_port))
    check_listenable(Address("0.0.0.0", free_port))


@pytest.mark.parametrize(("kind", "name"), [(socket.SOCK_DGRAM, "UDP"), (socket.SOCK_STREAM, "TCP")])
def test_port_in_use_is_named_with_its_protocol(kind: socket.SocketKind, name: str) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            check_listenable(Address("127.0.0.1", port))
    assert str(caught.value) == (
        f"listen on 127.0.0.1:{port}: the port is in use ({name}); "
        "is another zipper running? choose another with --port"
    )


def test_address_of_another_machine_is_told_apart() -> None:
    with pytest.raises(ConfigError, match=r"^listen on 192\.0\.2\.1:9900: this machine has no such address \(UDP\)"):
        check_listenable(Address("192.0.2.1", 9900))


def test_name_that_does_not_resolve_is_told_apart() -> None:
    with pytest.raises(ConfigError, match=r"^listen on no-such-host\.invalid:9900: cannot resolve the host: "):
        check_listenable(Address("no-such-host.invalid", 9900))
