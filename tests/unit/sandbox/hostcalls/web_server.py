"""A web server of our own on the loopback interface."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from nearfield.sandbox.hostcalls import http_client


class Handler(BaseHTTPRequestHandler):
    """Answers by path, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str], bytes]]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        kind = self.path.partition("?")[0]
        if kind.startswith("/to/"):
            self._send(int(self.headers.get("X-Status", 302)), b"", Location=self.path.removeprefix("/to/"))
        elif kind == "/large":
            self._send(200, b"x" * (http_client.MAX_RESPONSE_BYTES + 1))
        elif kind == "/twice":
            self.send_response(404, "Not Here")
            self.send_header("x-ONE-more", "first")
            self.send_header("X-One-More", "second")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(200, b"" if self.command == "HEAD" else b"hello " + body)

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    do_GET = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815 - names of the base class

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on standard error."""


class Server:
    """Serves from a thread until it is left. `seen`: method, path, headers and body of each request, in order."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"seen": self.seen}))
        self._server.daemon_threads = True
        self.scheme = "http" if tls is None else "https"
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def may_reach(self, host: str, port: int) -> bool:
        return (host, port) in {("127.0.0.1", self.port), ("localhost", self.port)}

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
