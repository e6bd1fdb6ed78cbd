"""Explaining a failed connection, against real TLS servers on loopback and against a real zipper's session."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from nearfield.errors import CertificateError, TransportError
from nearfield.transport.address import Address
from nearfield.transport.authority import ensure_local_identity, ensure_server_certificate
from nearfield.transport.certificates import Identity, describe_name, read_certificates
from nearfield.transport.diagnosis import diagnose_endpoint
from nearfield.transport.session import Opening, open_client, open_router
from nearfield.transport.state_directory import StateDirectory

LONG_AGO = datetime.now(UTC) - timedelta(days=500)
TOMORROW = datetime.now(UTC) + timedelta(days=1)

Handler = Callable[[socket.socket], None]


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


@pytest.fixture
def stranger(tmp_path: Path) -> StateDirectory:
    """The state of another user, with an authority of its own."""
    return StateDirectory(tmp_path / "stranger")


@contextmanager
def served(handle: Handler, host: str = "127.0.0.1") -> Iterator[int]:
    """A port of `host` where every connection is given to `handle`, then closed."""
    with socket.create_server((host, 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, suppress(OSError):
                    handle(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def tls(identity: Identity, *, maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> Handler:
    """A server that asks for certificates and then waits for the client to close."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = maximum
    context.load_cert_chain(identity.certificate_path, identity.key_path)
    context.load_verify_locations(identity.ca_pem_path)
    context.verify_mode = ssl.CERT_REQUIRED

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(1)

    return handle


def diagnosis(port: int, identity: Identity, **settings: Any) -> str | None:
    error = diagnose_endpoint(Address(settings.pop("host", "127.0.0.1"), port), identity, **settings)
    return None if error is None else str(error)


def name_of_authority(identity: Identity) -> str:
    return describe_name(read_certificates(identity.ca_pem_path)[0].subject)


def test_sound_endpoint_gives_nothing_to_explain(state: StateDirectory) -> None:
    with served(tls(ensure_server_certificate(state))) as port:
        assert diagnosis(port, ensure_local_identity(state)) is None
        assert diagnosis(port, ensure_local_identity(state), host="localhost") is None


def test_port_where_nothing_listens(state: StateDirectory) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        port = unheard.getsockname()[1]
        error = diagnose_endpoint(Address("127.0.0.1", port), ensure_local_identity(state))
    assert isinstance(error, TransportError)
    assert not isinstance(error, CertificateError)
    assert str(error) == f"127.0.0.1:{port}: nothing listens there; is the zipper running?"


def test_authority_that_we_do_not_know(state: StateDirectory, stranger: StateDirectory) -> None:
    ours, theirs = ensure_local_identity(state), ensure_server_certificate(stranger)
    with served(tls(theirs)) as port:
        error = diagnose_endpoint(Address("127.0.0.1", port), ours)
    assert isinstance(error, CertificateError)
    assert str(error) == (
        f"127.0.0.1:{port}: its certificate is signed by an authority ({name_of_authority(theirs)}) "
        f"that is not in `{ours.ca_pem_path}`"
    )


def test_our_certificate_refused_because_its_authority_is_unknown(
    state: StateDirectory, stranger: StateDirectory
) -> None:
    ours, foreign = ensure_local_identity(state), ensure_local_identity(stranger)
    mixed = Identity(ours.ca_pem_path, foreign.certificate_path, foreign.key_path)
    with served(tls(ensure_server_certificate(state))) as port:
        error = diagnose_endpoint(Address("127.0.0.1", port), mixed)
    assert isinstance(error, CertificateError)
    assert str(error) == (
        f"127.0.0.1:{port}: refused our certificate: it does not know the authority that signed it; "
        f"ours is `{mixed.certificate_path}`"
    )


def test_our_certificate_refused_because_it_is_a_servers(state: StateDirectory) -> None:
    server = ensure_server_certificate(state)
    with served(tls(server)) as port:
        message = diagnosis(port, server)
    assert message == (
        f"127.0.0.1:{port}: refused our certificate: it is not for use by a client; ours is `{server.certificate_path}`"
    )


def test_our_certificate_refused_because_it_expired(state: StateDirectory) -> None:
    ours = ensure_local_identity(state, now=LONG_AGO)
    old = ours.certificate_path.rename(ours.ca_pem_path.parent / "old.pem")
    expired = Identity(ours.ca_pem_path, old, ours.key_path)
    with served(tls(ensure_server_certificate(state))) as port:
        message = diagnosis(port, expired)
    assert message == (
        f"127.0.0.1:{port}: refused our certificate: it holds it for expired; ours is `{expired.certificate_path}`"
    )


def test_certificate_for_other_names(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def everywhere_is_here(host: Any, *args: Any, **settings: Any) -> Any:
        return look_up("127.0.0.1" if host == "site.example" else host, *args, **settings)

    monkeypatch.setattr(socket, "getaddrinfo", everywhere_is_here)
    with served(tls(ensure_server_certificate(state))) as port:
        error = diagnose_endpoint(Address("site.example", port), ensure_local_identity(state))
    assert isinstance(error, CertificateError)
    assert str(error).startswith(
        f"site.example:{port}: its certificate is not for `site.example`, but for `localhost`, "
    )
    assert "`127.0.0.1`" in str(error)


def test_certificate_for_another_address(state: StateDirectory) -> None:
    # On Linux all of 127/8 is the machine itself; the certificate names the first of them only.
    with served(tls(ensure_server_certificate(state)), host="127.0.0.2") as port:
        message = diagnosis(port, ensure_local_identity(state), host="127.0.0.2")
    assert message is not None
    assert message.startswith(f"127.0.0.2:{port}: its certificate is not for `127.0.0.2`, but for `localhost`, ")


def test_expired_certificate_with_its_date(state: StateDirectory) -> None:
    server = ensure_server_certificate(state, now=LONG_AGO)
    old = server.certificate_path.rename(server.ca_pem_path.parent / "old.pem")
    with served(tls(Identity(server.ca_pem_path, old, server.key_path))) as port:
        message = diagnosis(port, ensure_local_identity(state))
    date = LONG_AGO + timedelta(days=365)
    assert message == f"127.0.0.1:{port}: its certificate expired on {date:%Y-%m-%d %H:%M} UTC"


def test_certificate_from_the_future(state: StateDirectory) -> None:
    server = ensure_server_certificate(state, now=TOMORROW)
    client = ensure_local_identity(state, now=TOMORROW)
    with served(tls(server)) as port:
        message = diagnosis(port, client)
    date = TOMORROW - timedelta(hours=1)
    assert message == (
        f"127.0.0.1:{port}: its certificate is not valid before {date:%Y-%m-%d %H:%M} UTC; "
        "check the clock of this machine"
    )


def test_server_of_another_protocol(state: StateDirectory) -> None:
    def speak_http(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with served(speak_http) as port:
        message = diagnosis(port, ensure_local_identity(state))
    assert message == f"127.0.0.1:{port}: answers, but not with TLS; is this the port of a zipper?"


def test_server_that_never_answers(state: StateDirectory) -> None:
    with served(lambda connection: connection.recv(65536) and connection.recv(1) and None) as port:
        message = diagnosis(port, ensure_local_identity(state), deadline_s=0.2)
    assert message == (
        f"127.0.0.1:{port}: took the connection, but no TLS handshake within 0.2 s; is this the port of a zipper?"
    )


def test_server_that_hangs_up(state: StateDirectory) -> None:
    with served(lambda connection: connection.recv(65536) and None) as port:
        message = diagnosis(port, ensure_local_identity(state))
    assert message == f"127.0.0.1:{port}: closed the connection during the TLS handshake"


def test_server_that_hangs_up_after_the_handshake(state: StateDirectory) -> None:
    server = ensure_server_certificate(state)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate_path, server.key_path)

    def leave(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True):
            pass

    with served(leave) as port:
        message = diagnosis(port, ensure_local_identity(state))
    assert message == f"127.0.0.1:{port}: closed the connection right after the TLS handshake"


def test_server_of_an_older_tls(state: StateDirectory) -> None:
    with served(tls(ensure_server_certificate(state), maximum=ssl.TLSVersion.TLSv1_2)) as port:
        message = diagnosis(port, ensure_local_identity(state))
    assert message is not None
    assert message.startswith(f"127.0.0.1:{port}: the TLS handshake failed: ")
    assert "protocol" in message


def test_name_that_does_not_resolve(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    identity = ensure_local_identity(state)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert diagnosis(9900, identity, host="nowhere.example") == (
        "nowhere.example:9900: the name does not resolve: name or service not known"
    )


def test_name_that_cannot_resolve(state: StateDirectory) -> None:
    message = diagnosis(9900, ensure_local_identity(state), host="a..b")
    assert message is not None
    assert message.startswith("a..b:9900: the name does not resolve: ")


def test_resolver_that_hangs_is_left_behind(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        release.wait()
        return []

    identity = ensure_local_identity(state)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        assert diagnosis(9900, identity, host="slow.example", deadline_s=0.05) == (
            "slow.example:9900: the name does not resolve: no answer from the resolver within 0.05 s"
        )
    finally:
        release.set()


def test_host_that_does_not_answer(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def time_out(*_: Any, **__: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", time_out)
    message = diagnosis(9900, ensure_local_identity(state))
    assert message == "127.0.0.1:9900: no answer within 2 s; is a firewall in the way?"


def test_host_without_route(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(113, "No route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    message = diagnosis(9900, ensure_local_identity(state))
    assert message == "127.0.0.1:9900: cannot be reached: no route to host"


def test_ipv6_address_is_refused_with_a_way_out(state: StateDirectory) -> None:
    message = diagnosis(9900, ensure_local_identity(state), host="::1")
    assert message == (
        "[::1]:9900: IPv6 addresses cannot be used for TLS by zenoh; use a host name that resolves to it"
    )


def test_own_files_that_cannot_be_used(state: StateDirectory) -> None:
    identity = ensure_local_identity(state)
    identity.certificate_path.unlink()
    error = diagnose_endpoint(Address("127.0.0.1", 9900), identity)
    assert isinstance(error, CertificateError)
    assert str(error) == (
        "127.0.0.1:9900: our own certificates cannot be used: no such file or directory; "
        f"ours is `{identity.certificate_path}`"
    )


def test_encrypted_key_never_asks_on_the_terminal(state: StateDirectory) -> None:
    identity = ensure_local_identity(state)
    key = load_pem_private_key(identity.key_path.read_bytes(), password=None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    identity.key_path.write_bytes(encrypted)
    message = diagnosis(9900, identity)
    assert message is not None
    assert message.startswith("127.0.0.1:9900: our own certificates cannot be used: ")


# ---- a real zipper's session ----


@contextmanager
def zipper(identity: Identity) -> Iterator[int]:
    """A zenoh router with mutual TLS on a free port of 127.0.0.1, QUIC and TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        port = listener.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
    with open_router(Opening("line-1", [Address("127.0.0.1", port)], identity)):
        yield port


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_zenoh_accepts_the_local_certificates_over_quic(state: StateDirectory, host: str) -> None:
    with (
        zipper(ensure_server_certificate(state)) as port,
        open_client([Address(host, port)], ensure_local_identity(state)) as client,
    ):
        assert len(client.router_ids()) == 1
        assert diagnosis(port, ensure_local_identity(state), host=host) is None


def test_refusals_by_a_zipper_are_explained(state: StateDirectory, stranger: StateDirectory) -> None:
    ours, server = ensure_local_identity(state), ensure_server_certificate(state)
    foreign = ensure_local_identity(stranger)
    with zipper(server) as port:
        place = f"127.0.0.1:{port}"
        assert diagnosis(port, foreign) == (
            f"{place}: its certificate is signed by an authority ({name_of_authority(ours)}) "
            f"that is not in `{foreign.ca_pem_path}`"
        )
        assert diagnosis(port, Identity(ours.ca_pem_path, foreign.certificate_path, foreign.key_path)) == (
            f"{place}: refused our certificate: it does not know the authority that signed it; "
            f"ours is `{foreign.certificate_path}`"
        )
        assert diagnosis(port, server) == (
            f"{place}: refused our certificate: it is not for use by a client; ours is `{server.certificate_path}`"
        )


def test_certificates_that_a_zipper_refuses_open_no_session(state: StateDirectory, stranger: StateDirectory) -> None:
    ours, foreign = ensure_local_identity(state), ensure_local_identity(stranger)
    mixed = Identity(ours.ca_pem_path, foreign.certificate_path, foreign.key_path)
    with (
        zipper(ensure_server_certificate(state)) as port,
        pytest.raises(CertificateError, match="does not know the authority that signed it"),
    ):
        open_client([Address("127.0.0.1", port)], mixed, explain=lambda address: diagnose_endpoint(address, mixed))
