"""Whether a zipper's listeners answer, seen from outside, without a certificate and without becoming a session."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Mapping
from typing import Literal

from nearfield.transport.address import Address
from nearfield.transport.quic_initial import NO_HANDSHAKE, initial_packet

# As long as a client waits before it turns to the next address.
ANSWER_TIMEOUT_S = 1.5
# No record of TLS; answered with an alert.
_NO_RECORD = b"\x00"
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}

Way = Literal["quic", "tls"]


def probe_listener(address: Address, *, timeout_s: float = ANSWER_TIMEOUT_S) -> Mapping[Way, bool]:
    """Whether something answers at an address, over QUIC and over TLS on TCP. Blocks up to `timeout_s`.

    What is sent begins no handshake. A listener that reads it refuses it at once; one that waits for somebody else's
    handshake does not read it.
    """
    with selectors.DefaultSelector() as selector:
        ways: list[Way] = ["quic", "tls"]
        sockets = {way: _asking(address, way) for way in ways}
        try:
            for way, asking in sockets.items():
                if asking is not None:
                    selector.register(asking, selectors.EVENT_READ, way)
            answered = _answers(selector, timeout_s)
        finally:
            for asking in sockets.values():
                if asking is not None:
                    asking.close()
    return {way: way in answered for way in ways}


def _asking(address: Address, way: Way) -> socket.socket | None:
    """A socket on which the answer will come; None: nobody is there."""
    kind = socket.SOCK_DGRAM if way == "quic" else socket.SOCK_STREAM
    host = _UNSPECIFIED.get(address.host, address.host)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, address.port, type=kind)[0]
    except socket.gaierror:
        return None
    asking = socket.socket(family, kind)
    try:
        # To ourselves, a connection is made at once, or not at all.
        asking.settimeout(ANSWER_TIMEOUT_S)
        asking.connect(target)
        asking.send(initial_packet(NO_HANDSHAKE) if way == "quic" else _NO_RECORD)
    except OSError:
        asking.close()
        return None
    return asking


def _answers(selector: selectors.BaseSelector, timeout_s: float) -> set[Way]:
    answered: set[Way] = set()
    give_up_at = time.monotonic() + timeout_s
    while selector.get_map() and (left_s := give_up_at - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            asking = key.fileobj
            assert isinstance(asking, socket.socket)
            selector.unregister(asking)
            try:
                if asking.recv(1_500) or key.data == "tls":  # TLS: to be hung up on is an answer as well
                    answered.add(key.data)
            except ConnectionResetError:
                answered.add(key.data)
            except OSError:  # over UDP: nobody listens
                continue
    return answered
