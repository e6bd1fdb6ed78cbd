"""Against a web server of our own on the loopback interface."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from nearfield.sandbox.hostcalls import http_client
from nearfield.sandbox.hostcalls.http_client import Refused, Request, Response, check_url, redirected, send
from tests.unit.sandbox.hostcalls.web_server import Server

LONG_S = 20.0


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def get(server: Server, path: str, **changes: Any) -> Response:
    request = {"method": "GET", "url": server.url(path), "headers": {}, "body": b"", **changes}
    return send(Request(**request), server.may_reach, LONG_S)


def test_an_answer_comes_back(server: Server) -> None:
    answer = get(server, "/a?b=c")
    assert (answer.status, answer.reason, answer.body) == (200, "OK", b"hello ")
    assert answer.headers["Content-Length"] == "6"
    ((method, path, headers, _),) = server.seen
    assert (method, path) == ("GET", "/a?b=c")
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    assert (headers["User-Agent"], headers["Connection"]) == ("nearfield", "close")


def test_a_name_is_looked_up(server: Server) -> None:
    assert get(server, "", url=server.url("", "localhost")).body == b"hello "
    assert server.seen[0][1] == "/"


def test_method_headers_and_body_go_out(server: Server) -> None:
    answer = get(server, "/", method="POST", headers={"X-Key": "7", "user-agent": "mine"}, body=b"\0body")
    assert answer.body == b"hello \0body"
    ((method, _, headers, body),) = server.seen
    assert (method, headers["X-Key"], body) == ("POST", "7", b"\0body")
    assert [value for name, value in headers.items() if name.lower() == "user-agent"] == ["mine"]


def test_where_a_request_goes_is_not_the_headers_to_say(server: Server) -> None:
    get(server, "/", method="POST", body=b"12", headers={"Host": "elsewhere", "Content-Length": "1", "Connection": "x"})
    headers = server.seen[0][2]
    assert (headers["Host"], headers["Content-Length"]) == (f"127.0.0.1:{server.port}", "2")


def test_an_error_of_the_server_is_an_answer_and_headers_have_one_form(server: Server) -> None:
    answer = get(server, "/twice")
    assert (answer.status, answer.reason) == (404, "Not Here")
    assert answer.headers["X-One-More"] == "first"


def test_the_answer_to_head_has_no_body(server: Server) -> None:
    assert get(server, "/", method="HEAD").body == b""


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:1/", "`127.0.0.1` port 1 is not granted"),
        ("http://example.org/", "`example.org` port 80 is not granted"),
        ("https://example.org", "`example.org` port 443 is not granted"),
        ("http://127.1/", "`127.1` port 80 is not granted"),
        ("http://me:secret@127.0.0.1/", "address: got credentials in it"),
        ("http://127.0.0.1@example.org/", "address: got credentials in it"),
        ("file:///etc/passwd", "address: got something else than http"),
        ("ftp://127.0.0.1/", "address: got something else than http"),
        ("http:///", "address: got something else than http"),
        ("", "address: got something else than http"),
        ("http://[::1", "address: got something that is no URL"),
        ("http://127.0.0.1:99999/", "address: got something that is no URL"),
    ],
)
def test_what_is_not_granted_is_never_connected_to(server: Server, url: str, why: str) -> None:
    with pytest.raises(Refused) as caught:
        get(server, "", url=url)
    assert str(caught.value).startswith(why)
    assert server.seen == []


def test_a_host_that_makes_no_sense_to_the_grants_is_refused() -> None:
    def may_reach(host: str, port: int) -> bool:
        raise ValueError(host)

    with pytest.raises(Refused, match="no URL"):
        check_url("http://a/", may_reach)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": ""},
        {"method": "GET /"},
        {"method": "CONNECT"},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X": "a\r\n b"}},
        {"headers": {"X Y": "a"}},
        {"headers": {"Content-Length ": "1"}},
        {"headers": {"": "a"}},
        {"headers": {"X": "漢"}},
        {"headers": {str(n): "" for n in range(65)}},
        {"body": b"x" * (http_client.MAX_BODY_BYTES + 1)},
    ],
)
def test_a_malformed_request_is_not_sent(server: Server, changes: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        get(server, "/", **changes)
    assert server.seen == []


def test_a_path_that_is_no_ascii_is_refused(server: Server) -> None:
    with pytest.raises(Refused):
        get(server, "/漢")


def test_an_answer_that_is_too_large_is_refused(server: Server) -> None:
    with pytest.raises(Refused, match="answer: got more than 4194304 bytes"):
        get(server, "/large")


def test_a_redirection_to_the_same_host_is_followed(server: Server) -> None:
    assert get(server, "/to//there").body == b"hello "
    assert [path for _, path, _, _ in server.seen] == ["/to//there", "/there"]


def test_a_redirection_elsewhere_is_the_answer(server: Server) -> None:
    for elsewhere in (f"http://localhost:{server.port}/", "http://example.org/", "http://127.0.0.1:1/", "file:///etc"):
        answer = get(server, "/to/" + elsewhere)
        assert (answer.status, answer.headers["Location"]) == (302, elsewhere)
    assert len(server.seen) == 4


def test_redirections_have_an_end(server: Server) -> None:
    with pytest.raises(Refused, match="more than 5 redirections"):
        get(server, "/to//to//to//to//to//to/")


@pytest.mark.parametrize(
    ("status", "method", "kept"),
    [
        (301, "POST", False),
        (302, "POST", False),
        (303, "POST", False),
        (307, "POST", True),
        (308, "DELETE", True),
        (302, "GET", True),
    ],
)
def test_a_redirected_request_is_sent_again_as_browsers_do(status: int, method: str, kept: bool) -> None:
    request = Request(method, "http://a/b", {}, b"body")
    url = check_url(request.url, lambda host, port: True)
    again = redirected(request, url, Response(status, "", {"Location": "c?d"}, b""))
    assert again == Request(method if kept else "GET", "http://a/c?d", {}, b"body" if kept else b"")


@pytest.mark.parametrize(
    ("url", "location", "follows"),
    [
        ("http://a/", "https://a/", True),
        ("https://a/", "http://a/", False),
        ("https://a/", "https://a:8443/", False),
        ("http://a:8080/", "http://a:8080/b", True),
        ("http://a/", "http://a.b/", False),
        ("http://a/", "http://[", False),
        ("http://a/", "//a/b", True),
    ],
)
def test_a_redirection_never_leaves_host_or_encryption(url: str, location: str, follows: bool) -> None:
    request = Request("GET", url, {}, b"")
    again = redirected(request, check_url(url, lambda host, port: True), Response(302, "", {"Location": location}, b""))
    assert (again is not None) == follows


@pytest.fixture
def dripping() -> Iterator[int]:
    """The port of a server that sends one byte of an endless header whenever the last one was read."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            while not ended.wait(0.01):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    ended.set()
    thread.join()
    listener.close()


def test_a_server_that_drips_ends_with_the_deadline(dripping: int) -> None:
    with pytest.raises(Refused, match=r"`127.0.0.1`: timed out"):
        send(Request("GET", f"http://127.0.0.1:{dripping}/", {}, b""), lambda host, port: True, 0.2)


def test_no_time_left_is_too_late(server: Server) -> None:
    with pytest.raises(Refused, match="timed out"):
        send(Request("GET", server.url("/"), {}, b""), server.may_reach, 0.0)
    assert server.seen == []


def test_a_connection_that_is_refused_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Refused, match=r"`127\.0\.0\.1`: .*refused"):
        send(Request("GET", f"http://127.0.0.1:{port}/", {}, b""), lambda host, port: True, LONG_S)


def test_a_name_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Refused, match=r"`nowhere\.example`: Name or service not known"):
        send(Request("GET", "http://nowhere.example/", {}, b""), lambda host, port: True, LONG_S)


def test_look_ups_that_hang_neither_block_nor_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    asked = []

    def hang(host: str, *_: Any, **__: Any) -> Any:
        asked.append(host)
        release.wait(LONG_S)
        raise socket.gaierror("late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(http_client, "_looking_up", threading.BoundedSemaphore(2))
    reasons = []
    for _ in range(4):
        with pytest.raises(Refused) as caught:
            send(Request("GET", "http://slow.example/", {}, b""), lambda host, port: True, 0.05)
        reasons.append(str(caught.value))
    release.set()
    assert reasons == ["`slow.example`: timed out"] * 2 + ["`slow.example`: too many names are being looked up"] * 2
    assert len(asked) == 2


def test_proxies_of_the_environment_are_not_used(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1/")
    assert get(server, "/").status == 200


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `localhost` that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    return path


def test_https_reaches_only_who_has_a_trusted_certificate_of_that_name(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Server(context) as server:
        with pytest.raises(Refused, match=r"`localhost`: .*certificate verify failed"):
            get(server, "", url=server.url("/", "localhost"))
        monkeypatch.setattr(http_client, "_tls", lambda: ssl.create_default_context(cafile=str(certificate)))
        assert get(server, "", url=server.url("/", "localhost")).body == b"hello "
        with pytest.raises(Refused, match=r"`127\.0\.0\.1`: .*certificate verify failed"):
            get(server, "", url=server.url("/"))
        assert len(server.seen) == 1
