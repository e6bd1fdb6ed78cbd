"""One HTTP request for a guest: to granted hosts only, with a deadline and sizes that hold whatever the server does.

No proxies, no cookies, no credentials of this machine; for https, the certificates that it trusts. A redirection is
followed only to the same host, never from https to http; any other one is the answer.
"""

from __future__ import annotations

import functools
import http.client
import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

MAX_BODY_BYTES = 1024 * 1024
MAX_RESPONSE_BYTES = 4 * 1024 * 1024

_MOST_REDIRECTIONS = 5
_REDIRECTIONS = (301, 302, 303, 307, 308)
_KEEPS_METHOD = (307, 308)
_PORTS = {"http": 80, "https": 443}

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# What decides where the request goes and how it is framed is ours to say.
_OUR_HEADERS = {"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"}
_MOST_HEADERS = 64

MayReach = Callable[[str, int], bool]


class Refused(Exception):
    """There is no answer; the text says why."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a guest wants sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; of several headers of one name the first, names written as in `Content-Type`."""

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes


def send(request: Request, may_reach: MayReach, timeout_s: float) -> Response:
    """Send a request and wait for the whole answer.

    Args:
        may_reach: whether a host and port are granted; asked before any name is looked up. Raises `ValueError` for
            what is no host.
        timeout_s: for everything together.

    Raises:
        Refused: not granted, malformed, no connection, too large, or too late.
    """
    if len(request.body) > MAX_BODY_BYTES:
        raise Refused(f"body: got {len(request.body)} bytes, expected at most {MAX_BODY_BYTES}")
    if not _TOKEN.fullmatch(request.method) or request.method.upper() == "CONNECT":
        raise Refused("method: got no method that may be sent")
    _check_headers(request.headers)
    ends_at_s = time.monotonic() + timeout_s
    for _ in range(_MOST_REDIRECTIONS):
        url = check_url(request.url, may_reach)
        try:
            response = _exchange(request, url, ends_at_s)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise Refused(f"`{url.hostname}`: {_describe(exc)}") from exc
        further = redirected(request, url, response)
        if further is None:
            return response
        request = further
    raise Refused(f"`{url.hostname}`: more than {_MOST_REDIRECTIONS} redirections")


def check_url(text: str, may_reach: MayReach) -> SplitResult:
    """Split an address into parts, if its host is granted. Pure.

    Raises:
        Refused: no http or https address, one with credentials, or a host that is not granted.
    """
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", port_of(url)
        is_granted = may_reach(host, port)
    except ValueError as exc:
        raise Refused("address: got something that is no URL") from exc
    if url.scheme not in _PORTS or not host:
        raise Refused("address: got something else than http://host/... or https://host/...")
    if url.username is not None or url.password is not None:
        raise Refused("address: got credentials in it; send them as a header")
    if not is_granted:
        raise Refused(f"`{host}` port {port} is not granted")
    return url


def port_of(url: SplitResult) -> int:
    """The port of an http or https address, also where it is not written. Raises `ValueError`."""
    return url.port or _PORTS.get(url.scheme, 0)


def redirected(request: Request, url: SplitResult, response: Response) -> Request | None:
    """The request that a redirection asks for, if it stays with the same host. Pure."""
    location = response.headers.get("Location")
    if response.status not in _REDIRECTIONS or location is None:
        return None
    try:
        target = urljoin(url.geturl(), location)
        to = urlsplit(target)
        same_host = to.hostname == url.hostname and port_of(to) in (port_of(url), _PORTS.get(to.scheme))
    except ValueError:
        return None
    if not same_host or (url.scheme, to.scheme) not in (("http", "http"), ("http", "https"), ("https", "https")):
        return None
    if response.status in _KEEPS_METHOD or request.method in ("GET", "HEAD"):
        return Request(request.method, target, request.headers, request.body)
    return Request("GET", target, request.headers, b"")


def _exchange(request: Request, url: SplitResult, ends_at_s: float) -> Response:
    assert url.hostname is not None
    plain = _connect(url.hostname, port_of(url), ends_at_s)
    try:
        plain.settimeout(_remaining_s(ends_at_s))
        sock = plain if url.scheme == "http" else _tls().wrap_socket(plain, server_hostname=url.hostname)
    except BaseException:
        plain.close()
        raise
    connection = http.client.HTTPConnection(url.netloc)
    connection.sock = _Bounded(sock, ends_at_s)
    try:
        connection.putrequest(request.method, _target(url), skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", url.netloc)
        for name, value in _headers(request):
            connection.putheader(name, value)
        connection.endheaders(request.body or None)
        return _read(connection.getresponse())
    finally:
        connection.close()
        sock.close()


def _target(url: SplitResult) -> str:
    return (url.path or "/") + (f"?{url.query}" if url.query else "")


def _check_headers(headers: Mapping[str, str]) -> None:
    if len(headers) > _MOST_HEADERS:
        raise Refused(f"headers: got {len(headers)}, expected at most {_MOST_HEADERS}")
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            raise Refused("headers: got one that is malformed")


def _headers(request: Request) -> list[tuple[str, str]]:
    given = [(name, value) for name, value in request.headers.items() if name.lower() not in _OUR_HEADERS]
    names = {name.lower() for name, _ in given}
    ours = [("User-Agent", "nearfield"), ("Accept-Encoding", "identity")]
    framing = [("Connection", "close")]
    if request.body or request.method in ("POST", "PUT", "PATCH"):
        framing.append(("Content-Length", str(len(request.body))))
    return [*given, *(entry for entry in ours if entry[0].lower() not in names), *framing]


def _read(response: http.client.HTTPResponse) -> Response:
    body = response.read(MAX_RESPONSE_BYTES + 1)
    if len(body) > MAX_RESPONSE_BYTES:
        raise Refused(f"answer: got more than {MAX_RESPONSE_BYTES} bytes")
    headers: dict[str, str] = {}
    for name, value in response.getheaders():
        headers.setdefault("-".join(part.capitalize() for part in name.split("-")), value)
    return Response(response.status, response.reason, headers, body)


class _Bounded:
    """A socket as `http.client` uses it, whose every step ends with the deadline: a timeout alone starts anew each."""

    def __init__(self, sock: socket.socket, ends_at_s: float) -> None:
        self._sock = sock
        self._ends_at_s = ends_at_s

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_remaining_s(self._ends_at_s))
        self._sock.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._ends_at_s))

    def close(self) -> None:
        """The socket is closed by whoever opened it."""


class _Reader(io.RawIOBase):
    def __init__(self, sock: socket.socket, ends_at_s: float) -> None:
        self._sock = sock
        self._ends_at_s = ends_at_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._sock.settimeout(_remaining_s(self._ends_at_s))
        return self._sock.recv_into(buffer)


def _connect(host: str, port: int, ends_at_s: float) -> socket.socket:
    failure: OSError = TimeoutError("timed out")
    for address in _look_up(host, ends_at_s):
        try:
            return socket.create_connection((address, port), _remaining_s(ends_at_s))
        except OSError as exc:
            failure = exc
    raise failure


def _look_up(host: str, ends_at_s: float) -> list[str]:
    """Addresses of a host. The system's look-up knows no deadline, so it runs beside; a late one ends unheard."""
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        pass
    answers: queue.SimpleQueue[list[str] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            answers.put([str(entry[4][0]) for entry in found])
        except (OSError, UnicodeError) as exc:
            answers.put(exc if isinstance(exc, OSError) else OSError(str(exc)))

    slots = _looking_up
    if not slots.acquire(blocking=False):
        raise OSError("too many names are being looked up")
    try:
        threading.Thread(target=_then_release, args=(ask, slots), name="nearfield-look-up", daemon=True).start()
    except RuntimeError as exc:
        # This process may start no further thread.
        slots.release()
        raise OSError(str(exc)) from exc
    try:
        answer = answers.get(timeout=_remaining_s(ends_at_s))
    except queue.Empty:
        raise TimeoutError("timed out") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


# Look-ups that nobody waits for any more must not pile up.
_looking_up = threading.BoundedSemaphore(4)


def _then_release(ask: Callable[[], None], slots: threading.BoundedSemaphore) -> None:
    try:
        ask()
    finally:
        slots.release()


def _remaining_s(ends_at_s: float) -> float:
    remaining_s = ends_at_s - time.monotonic()
    if remaining_s <= 0:
        raise TimeoutError("timed out")
    return remaining_s


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _describe(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return "timed out"
    return str(exc) or type(exc).__name__
