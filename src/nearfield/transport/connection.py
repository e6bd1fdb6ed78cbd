"""A client's connection to one zipper: opened, greeted, and watched."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from nearfield.errors import NearfieldError, RefusedError, RemoteProtocolError, TransportError
from nearfield.frame import keys
from nearfield.frame.control import PROTOCOL_VERSION, Hello, decode
from nearfield.transport.address import Address
from nearfield.transport.certificates import Identity
from nearfield.transport.session import Handle, Payload, Session, open_client

_log = logging.getLogger(__name__)

# The zipper says its state once a second; three missed ones mean that it cannot be heard.
SILENCE_S = 3.0

StateCallback = Callable[[Hello, bool], None]
"""Called with the zipper's state and whether its epoch is another than before. Runs on a thread of zenoh's."""


class Connection:
    """One session, and what its zipper last said.

    Attributes:
        session: for publishing and subscribing.
        zipper: name of the zipper.
    """

    def __init__(self, session: Session, hello: Hello, namespace: str, addresses: Sequence[Address]) -> None:
        self.session = session
        self.zipper = hello.zipper
        self.namespace = namespace
        self.addresses = tuple(addresses)
        self._state = hello
        self._heard_at = time.monotonic()
        self._lock = threading.Lock()
        self._watchers: list[StateCallback] = []
        self._subscription: Handle = session.subscribe(keys.state(namespace, hello.zipper), self._on_state)

    @property
    def state(self) -> Hello:
        """The latest state; updated from zenoh's threads."""
        return self._state

    @property
    def is_heard(self) -> bool:
        """Whether the zipper said something within the last three seconds."""
        return time.monotonic() - self._heard_at < SILENCE_S

    def watch(self, callback: StateCallback) -> None:
        """Call `callback` for each state from now on."""
        with self._lock:
            self._watchers.append(callback)

    def close(self) -> None:
        """Idempotent."""
        self._subscription.close()
        self.session.close()

    def _on_state(self, key: str, payload: Payload, attachment: bytes) -> None:
        try:
            state = decode(Hello, payload.to_bytes())
        except RemoteProtocolError as error:
            _log.warning("zipper `%s`: %s", self.zipper, error)
            return
        with self._lock:
            is_new = state.epoch != self._state.epoch
            self._state = state
            self._heard_at = time.monotonic()
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher(state, is_new)


def connect(
    addresses: Sequence[Address],
    identity: Identity,
    *,
    namespace: str = "default",
    timeout_s: float = 5.0,
    explain: Callable[[Address], NearfieldError | None] = lambda _: None,
) -> Connection:
    """Open a session to the first zipper that answers, and learn who it is. Blocks up to about `timeout_s`.

    Raises:
        CertificateError: one side does not accept the other's certificate.
        TransportError: nothing answers.
        RefusedError: the zipper speaks another protocol version, or does not serve `namespace`.
    """
    session = open_client(addresses, identity, timeout_s=timeout_s, explain=explain)
    where = ", ".join(map(str, addresses))
    try:
        hello = _greet(session, namespace, timeout_s)
        if hello is None:
            raise RefusedError(f"no zipper answers in namespace `{namespace}`", where=where)
        if hello.protocol != PROTOCOL_VERSION:
            raise RefusedError(
                f"protocol: zipper `{hello.zipper}` speaks version {hello.protocol}, we speak {PROTOCOL_VERSION}",
                where=where,
                hint="update the older side",
            )
        return Connection(session, hello, namespace, addresses)
    except BaseException:
        session.close()
        raise


def _greet(session: Session, namespace: str, timeout_s: float) -> Hello | None:
    # The queryable's declaration may reach this session a moment after the session opened.
    give_up_at = time.monotonic() + timeout_s
    while time.monotonic() < give_up_at:
        for router in session.router_ids():
            answer = session.ask(keys.hello(namespace, router), timeout_s=1.0)
            if answer is not None:
                return decode(Hello, answer)
        time.sleep(0.05)
    if not session.router_ids():
        raise TransportError("the connection was lost while greeting")
    return None
