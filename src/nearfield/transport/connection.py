"""A client's connection to one zipper: opened, greeted, and watched."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from nearfield.errors import NearfieldError, RefusedError, RemoteProtocolError, TransportError
from nearfield.frame import keys
from nearfield.frame.control import PROTOCOL_VERSION, Granted, Hello, decode
from nearfield.telemetry import RepeatedWarning
from nearfield.transport.address import Address
from nearfield.transport.certificates import Credentials
from nearfield.transport.homing import STEADY_S, Homing
from nearfield.transport.permission import Permission
from nearfield.transport.session import Handle, Lane, Payload, Session, open_client

_log = logging.getLogger(__name__)

# The zipper says its state once a second; three missed ones mean that it cannot be heard.
SILENCE_S = 3.0
GREETING_PAUSE_S = 0.05
# An address that does not answer is given up after 1.5 s.
CLOSE_TIMEOUT_S = 2.0
# A zipper that lets a client in and does not answer it, has no right for it.
UNHEARD_S = 5.0
# Stands for a client that is nobody in particular.
_NOBODY = "-"


class Reopen(Protocol):
    """Opens a session to the first of some addresses that answers, or raises `TransportError`."""

    def __call__(self, addresses: Sequence[Address], *, over_tcp: bool) -> Session: ...


StateCallback = Callable[[Hello, bool], None]
"""Called with the zipper's state, and whether what was sent and not confirmed may be lost: it is another zipper, or
another incarnation, or the connection was interrupted. Calls come one at a time, on threads that must not be held up.
"""


class Connection:
    """One session, and what its zipper last said.

    The session reconnects by itself, to another zipper when several addresses were given and the present one is gone;
    the connection follows: it learns who that is, and tells its watchers. When the first address has answered without
    a break for some seconds, it goes back there; and to QUIC, as soon as that answers, when it had to do with TCP.

    Args:
        reopen: None: it stays where it is.

    Attributes:
        session: for publishing and subscribing; the same for good.
        interruptions: how often it was cut off, or moved. What was sent before may be lost.
        permission: what we may do at the zipper, in this namespace. One that does not say lets us try everything: it
            enforces rights, whatever we know of them.
    """

    def __init__(
        self,
        session: Session,
        hello: Hello,
        namespace: str,
        addresses: Sequence[Address],
        reopen: Reopen | None = None,
        *,
        permission: Permission | None = None,
    ) -> None:
        self.session = session
        self.permission = permission or Permission(session.identity, hello.zipper)
        self.interruptions = 0
        self.namespace = namespace
        self.addresses = tuple(addresses)
        self._state = hello
        self._heard_at = time.monotonic()
        self._lock = threading.Lock()
        # Held while watchers are told, so that they learn of one state after the other.
        self._telling = threading.RLock()
        self._watchers: list[StateCallback] = []
        self._users = 0
        self._closed = threading.Event()
        self._warn = RepeatedWarning(_log)
        self._subscription: Handle = session.subscribe(keys.state(namespace, hello.zipper), self._on_state)
        self._router_watch: Handle = session.watch_routers(self._on_router)
        self._home: str | None = None
        self._was_over_tcp = False
        self._homing: threading.Thread | None = None
        self._note_way()
        if reopen is not None:
            self._homing = threading.Thread(target=self._keep_home, args=(reopen,), name="homing", daemon=True)
            self._homing.start()

    @property
    def zipper(self) -> str:
        """Name of the zipper; another one after the connection moved."""
        return self._state.zipper

    @property
    def state(self) -> Hello:
        """The latest state; updated from threads of its own."""
        return self._state

    @property
    def is_heard(self) -> bool:
        """Whether the zipper said something within the last three seconds."""
        return time.monotonic() - self._heard_at < SILENCE_S

    def watch(self, callback: StateCallback) -> Handle:
        """Call `callback` for each state from now on, until the handle is closed."""
        with self._lock:
            self._watchers.append(callback)
        return Handle(lambda: self._forget(callback))

    def ask_behind(self, on_answer: Callable[[], None], lane: Lane) -> None:
        """Ask the zipper a question behind all that was published in `lane`; see `Session.ask_behind`."""
        for router in self.session.router_ids()[:1]:
            self.session.ask_behind(keys.hello(self.namespace, router), on_answer, lane=lane)

    def retain(self) -> Self:
        """One more source or sink uses this connection; it calls `release` when it ends."""
        with self._lock:
            self._users += 1
        return self

    def release(self) -> None:
        """A user ended. The connection closes with its last one."""
        with self._lock:
            self._users -= 1
            is_last = self._users <= 0
        if is_last:
            self.close()

    def close(self) -> None:
        """End it for all its users. Idempotent. Waits for an attempt to go back that is just being made, up to 2 s."""
        self._closed.set()
        if self._homing is not None:
            self._homing.join(CLOSE_TIMEOUT_S)
        self._router_watch.close()
        self._subscription.close()
        self.session.close()

    def _forget(self, callback: StateCallback) -> None:
        with self._lock:
            self._watchers.remove(callback)

    def _on_state(self, key: str, payload: Payload, attachment: bytes) -> None:
        try:
            state = decode(Hello, payload.to_bytes())
        except RemoteProtocolError as error:
            self._warn("zipper `%s`: %s", self.zipper, error)
            return
        with self._telling:
            if state.zipper == self.zipper:  # else it is the one that this connection has left
                self._tell(state, is_new=state.epoch != self._state.epoch)

    def _tell(self, state: Hello, *, is_new: bool) -> None:
        with self._lock:
            self._state = state
            self._heard_at = time.monotonic()
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher(state, is_new)

    # ---- following

    def _on_router(self, router: str, is_connected: bool) -> None:
        if not is_connected:
            self.interruptions += 1
        if is_connected and not self._closed.is_set():
            # Asking takes time, which zenoh's thread has not.
            threading.Thread(target=self._follow, args=(router,), name="greeting", daemon=True).start()

    def _follow(self, router: str) -> None:
        """Greet the zipper that the session is connected to now, however long its answer takes."""
        warn_at = time.monotonic() + UNHEARD_S
        while not self._closed.is_set() and router in self.session.router_ids():
            try:
                hello = _ask_for_state(self.session, self.namespace, router)
                if hello is not None:
                    self._adopt(hello)
                    return
            except RemoteProtocolError as error:
                self._warn("zipper at %s: %s", ", ".join(map(str, self.addresses)), error)
                return
            except TransportError:  # closed meanwhile
                return
            self._closed.wait(GREETING_PAUSE_S)
            if time.monotonic() >= warn_at:
                warn_at = math.inf
                _log.warning(
                    "zipper at %s does not answer in namespace `%s`; %s may have no rights there any more",
                    ", ".join(map(str, self.addresses)),
                    self.namespace,
                    _named(self.session.identity),
                )

    def _adopt(self, hello: Hello) -> None:
        if hello.protocol != PROTOCOL_VERSION:
            _log.warning("zipper `%s` speaks protocol %d, we speak %d", hello.zipper, hello.protocol, PROTOCOL_VERSION)
            return
        self._learn_rights(hello.zipper)
        former, left = self.zipper, None
        if hello.zipper != former:
            _log.warning("left zipper `%s`; going on with zipper `%s`", former, hello.zipper)
            left = self._subscription
            self._subscription = self.session.subscribe(keys.state(self.namespace, hello.zipper), self._on_state)
        with self._telling:
            self._tell(hello, is_new=True)
        if left is not None:
            left.close()
        self._note_way()

    def _note_way(self) -> None:
        """Say when frames do not go over QUIC, and when they do again."""
        is_over_tcp = self.session.is_over_tcp
        if is_over_tcp and not self._was_over_tcp:
            _log.warning("zipper `%s` does not answer over QUIC; going on over TLS on TCP until it does", self.zipper)
        elif self._was_over_tcp and not is_over_tcp:
            _log.info("zipper `%s` answers over QUIC again", self.zipper)
        self._was_over_tcp = is_over_tcp

    def _learn_rights(self, zipper: str) -> None:
        former = self.permission
        permission = _ask_for_permission(self.session, self.namespace, zipper)
        if permission is None:  # nothing new is known of the same zipper, and nothing at all of another
            permission = former if former.zipper == zipper else Permission(self.session.identity, zipper)
        elif permission.granted != former.granted:
            _log.warning("zipper `%s`: %s has other rights than before", zipper, _named(self.session.identity))
        self.permission = permission

    # ---- going back

    def _keep_home(self, reopen: Reopen) -> None:
        """Look after the first address for as long as this connection is at another; and after QUIC."""
        homing = Homing()
        while not self._closed.wait(homing.wait_s):
            is_home = len(self.addresses) == 1 or self._home in self.session.router_ids()
            if is_home and not self.session.is_over_tcp:
                continue
            homing.is_away(time.monotonic())
            try:
                if self._go_home(reopen):
                    homing.returned(time.monotonic())
            except (TransportError, RemoteProtocolError) as error:
                _log.debug("not back at %s: %s", self.addresses[0], error)

    def _go_home(self, reopen: Reopen) -> bool:
        """Move to the first address, if that is another zipper and steady. Takes `STEADY_S`.

        From TCP, move to whichever answers over QUIC.
        """
        was_over_tcp = self.session.is_over_tcp
        with reopen(self.addresses if was_over_tcp else self.addresses[:1], over_tcp=False) as probe:
            (router, *_) = probe.router_ids() or [""]
            if router in self.session.router_ids():
                if not was_over_tcp:
                    self._home = router  # here already
                    return False
            elif not router or not self._is_steady(probe, router):
                return False
        # One that knows all the addresses, for the next time that the first is gone.
        fresh = reopen(self.addresses, over_tcp=True)
        try:
            is_there = router in fresh.router_ids() and not fresh.is_over_tcp
            hello = _ask_for_state(fresh, self.namespace, router) if is_there else None
            if hello is None or hello.protocol != PROTOCOL_VERSION or self._closed.is_set():
                fresh.close()
                return False
            self.session.move_to(fresh)
        except BaseException:
            fresh.close()
            raise
        self.interruptions += 1
        if not was_over_tcp:
            self._home = router
        self._adopt(hello)
        return True

    def _is_steady(self, probe: Session, router: str) -> bool:
        """Whether the zipper that a session is connected to answers for `STEADY_S`, as one and the same incarnation."""
        epochs = set()
        give_up_at = time.monotonic() + STEADY_S
        while time.monotonic() < give_up_at:
            hello = _ask_for_state(probe, self.namespace, router)
            if hello is None or hello.protocol != PROTOCOL_VERSION:
                return False
            epochs.add(hello.epoch)
            if self._closed.wait(STEADY_S / 5) or len(epochs) > 1 or router not in probe.router_ids():
                return False
        return True


def connect(
    addresses: Sequence[Address],
    credentials: Credentials,
    *,
    namespace: str = "default",
    timeout_s: float = 5.0,
    explain: Callable[[Address], NearfieldError | None] = lambda _: None,
) -> Connection:
    """Open a session to the first zipper that answers, and learn who it is. Blocks up to about `timeout_s`.

    Raises:
        CertificateError: one side does not accept the other's certificate.
        TransportError: nothing answers.
        RefusedError: the zipper does not let us in, speaks another protocol version, or does not serve `namespace`.
    """
    session = open_client(addresses, credentials, timeout_s=timeout_s, explain=explain)
    where = ", ".join(map(str, addresses))
    try:
        hello = _greet(session, namespace, timeout_s)
        if hello is None:
            known = "" if session.identity is None else f"; `{session.identity}` may have no rights there"
            raise RefusedError(f"no zipper answers in namespace `{namespace}`{known}", where=where)
        if hello.protocol != PROTOCOL_VERSION:
            raise RefusedError(
                f"protocol: zipper `{hello.zipper}` speaks version {hello.protocol}, we speak {PROTOCOL_VERSION}",
                where=where,
                hint="update the older side",
            )
        return Connection(
            session,
            hello,
            namespace,
            addresses,
            lambda some, *, over_tcp: open_client(some, credentials, timeout_s=0, over_tcp=over_tcp),
            permission=_ask_for_permission(session, namespace, hello.zipper),
        )
    except BaseException:
        session.close()
        raise


def _greet(session: Session, namespace: str, timeout_s: float) -> Hello | None:
    # The queryable's declaration may reach this session a moment after the session opened.
    give_up_at = time.monotonic() + timeout_s
    while time.monotonic() < give_up_at:
        for router in session.router_ids():
            hello = _ask_for_state(session, namespace, router)
            if hello is not None:
                return hello
        time.sleep(GREETING_PAUSE_S)
    if not session.router_ids():
        raise TransportError("the connection was lost while greeting")
    return None


def _ask_for_state(session: Session, namespace: str, router: str) -> Hello | None:
    answer = session.ask(keys.hello(namespace, router), timeout_s=1.0)
    return None if answer is None else decode(Hello, answer)


def _ask_for_permission(session: Session, namespace: str, zipper: str) -> Permission | None:
    """What we may do there; None: it does not say."""
    try:
        answer = session.ask(keys.rights(namespace, zipper, session.identity or _NOBODY), timeout_s=1.0)
        return None if answer is None else Permission(session.identity, zipper, decode(Granted, answer))
    except RemoteProtocolError as error:
        _log.warning("zipper `%s`: %s", zipper, error)
        return None


def _named(identity: str | None) -> str:
    return "whoever has no identity" if identity is None else f"`{identity}`"
