"""Sessions: the one place where zenoh is called.

Callbacks run on zenoh's threads, and one that blocks holds up every subscription of its session: they only hand over.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import zenoh

from nearfield.errors import CertificateError, InternalError, NearfieldError, RefusedError, TransportError
from nearfield.frame import Priority
from nearfield.transport.access import TokenAccess
from nearfield.transport.address import Address
from nearfield.transport.certificates import Credentials, Identity, Uncertified
from nearfield.transport.settings import OPEN_TIMEOUT_MS, client_settings, router_settings
from nearfield.transport.tokens import dictionary_file

_log = logging.getLogger(__name__)


class Payload(Protocol):
    """Bytes as they arrived, not copied into Python until asked. Can be sent on as it is."""

    def to_bytes(self) -> bytes:
        """A copy."""
        ...

    def __len__(self) -> int: ...


class Lane(enum.Enum):
    """How a message queues: what waits for what, and what happens when a link is full."""

    # Frames wait for room, one at a time: DROP loses most of the goodput above 64 KB, BLOCK lets a dead peer stall all.
    FRAMES = (zenoh.Priority.DATA, zenoh.CongestionControl.BLOCK_FIRST, False)
    # A QUIC stream of its own for each priority: what is small and urgent does not wait behind what is large.
    FRAMES_HIGH = (zenoh.Priority.DATA_HIGH, zenoh.CongestionControl.BLOCK_FIRST, False)
    FRAMES_LOW = (zenoh.Priority.DATA_LOW, zenoh.CongestionControl.BLOCK_FIRST, False)
    # Reports: never ahead of the results they speak of, so that an instance that dies between the two is known not to
    # have finished. Messages of one priority keep their order; those of two have streams of their own and do not.
    REPORTS = (zenoh.Priority.DATA, zenoh.CongestionControl.BLOCK_FIRST, True)
    REPORTS_HIGH = (zenoh.Priority.DATA_HIGH, zenoh.CongestionControl.BLOCK_FIRST, True)
    REPORTS_LOW = (zenoh.Priority.DATA_LOW, zenoh.CongestionControl.BLOCK_FIRST, True)
    # Acknowledgements, state: small, ahead of frames, repaired above when lost.
    CONTROL = (zenoh.Priority.INTERACTIVE_HIGH, zenoh.CongestionControl.BLOCK_FIRST, True)


FRAME_LANES: Mapping[Priority, Lane] = {"high": Lane.FRAMES_HIGH, "normal": Lane.FRAMES, "low": Lane.FRAMES_LOW}
REPORT_LANES: Mapping[Priority, Lane] = {"high": Lane.REPORTS_HIGH, "normal": Lane.REPORTS, "low": Lane.REPORTS_LOW}

MessageCallback = Callable[[str, Payload, bytes], None]
"""Called with key, payload and attachment, on a thread of zenoh's: must not block."""


Reply = Callable[[bytes], None]


# A key under which nobody announces anything.
_NO_TOKEN = "nearfield/settled"


class Handle:
    """Something declared on a session. Closing is idempotent."""

    def __init__(self, undeclare: Callable[[], object]) -> None:
        self._undeclare: Callable[[], object] | None = undeclare

    def close(self) -> None:
        undeclare, self._undeclare = self._undeclare, None
        if undeclare is not None:
            with contextlib.suppress(zenoh.ZError):  # the session is closed already, and took this with it
                undeclare()


class Session:
    """A connection to the mesh, as a router or as a client of one. Usable from any thread."""

    def __init__(self, session: zenoh.Session) -> None:
        self._session = session
        self._closing = threading.Lock()

    @property
    def id(self) -> str:
        """Changes with every session; no identity."""
        return str(self._session.info.zid())

    def router_ids(self) -> list[str]:
        """Session ids of the routers that this session is connected to at this moment."""
        return [str(zid) for zid in self._session.info.routers_zid()]

    def publish(self, key: str, payload: bytes | Payload, *, attachment: bytes = b"", lane: Lane = Lane.FRAMES) -> None:
        """Send to every subscriber of `key`. May wait a moment for room; delivery is not confirmed.

        Raises:
            TransportError: the session is closed.
        """
        priority, congestion_control, express = lane.value
        try:
            self._session.put(
                key,
                payload,
                attachment=attachment or None,
                priority=priority,
                congestion_control=congestion_control,
                express=express,
            )
        except zenoh.ZError as error:
            raise TransportError(f"cannot publish on `{key}`: {error}") from error

    def subscribe(self, key: str, callback: MessageCallback) -> Handle:
        """Call `callback` for every message that matches `key` from now on.

        Raises:
            TransportError: the session is closed.
        """

        def on_sample(sample: zenoh.Sample) -> None:
            attachment = sample.attachment
            callback(str(sample.key_expr), sample.payload, b"" if attachment is None else attachment.to_bytes())

        try:
            return Handle(self._session.declare_subscriber(key, on_sample).undeclare)
        except zenoh.ZError as error:
            raise TransportError(f"cannot subscribe to `{key}`: {error}") from error

    def answer(self, key: str, on_question: Callable[[bytes, Reply], None]) -> Handle:
        """Answer queries on `key`.

        `on_question(question, reply)` runs on a thread of zenoh's and must not block; `reply` may be called later,
        once, from any thread.
        """

        def on_query(query: zenoh.Query) -> None:
            def reply(answer: bytes) -> None:
                with query:
                    try:
                        query.reply(query.key_expr, answer, express=True)
                    except zenoh.ZError:
                        _log.debug("the asker of `%s` is gone", key)

            question = query.payload
            on_question(b"" if question is None else question.to_bytes(), reply)

        return Handle(self._session.declare_queryable(key, on_query).undeclare)

    def ask(self, key: str, question: bytes = b"", *, timeout_s: float = 2.0) -> bytes | None:
        """Query `key` and wait for the first answer; None when there was none in time. Blocks.

        Raises:
            TransportError: the session is closed.
        """
        try:
            replies = self._session.get(
                key,
                payload=question,
                timeout=timeout_s,
                priority=zenoh.Priority.INTERACTIVE_HIGH,
                express=True,
            )
        except zenoh.ZError as error:
            raise TransportError(f"cannot ask `{key}`: {error}") from error
        for reply in replies:
            if reply.ok is not None:
                return bytes(reply.ok.payload.to_bytes())
        return None

    def settle(self, *, timeout_s: float = 2.0) -> None:
        """Wait until the router has taken in what was declared before. Blocks for one round trip.

        Subscriptions and queries travel in different lanes, and frames would miss a subscription that is still under
        way. This question has the lane of declarations, and nothing answers it but its end.
        """
        for _ in self._session.liveliness().get(_NO_TOKEN, timeout=timeout_s):
            pass

    def ask_behind(self, key: str, on_answer: Callable[[], None], *, lane: Lane, timeout_s: float = 2.0) -> None:
        """Query `key` behind all that was published in `lane`: the answer says that it is through. Does not wait.

        `on_answer` runs on a thread of zenoh's, at most once for each answer, and must not block. No answer within the
        time: it is not called.

        Raises:
            TransportError: the session is closed.
        """
        priority, congestion_control, express = lane.value

        def on_reply(reply: zenoh.Reply) -> None:
            if reply.ok is not None:
                on_answer()

        try:
            self._session.get(
                key,
                # On zenoh's own thread: one of Python's for each question costs more than the question.
                zenoh.handlers.Callback(on_reply, indirect=False),
                timeout=timeout_s,
                priority=priority,
                congestion_control=congestion_control,
                express=express,
            )
        except zenoh.ZError as error:
            raise TransportError(f"cannot ask `{key}`: {error}") from error

    def watch_routers(self, callback: Callable[[str, bool], None]) -> Handle:
        """Call `callback(router id, is_connected)` whenever a connection to a router opens or ends from now on."""

        def on_event(event: zenoh.TransportEvent) -> None:
            if event.transport.whatami == zenoh.WhatAmI.ROUTER:
                callback(str(event.transport.zid), event.kind == zenoh.SampleKind.PUT)

        return Handle(self._session.info.declare_transport_events_listener(on_event).undeclare)

    def announce(self, key: str) -> Handle:
        """Hold a liveliness token: it vanishes when this session ends, however that happens."""
        return Handle(self._session.liveliness().declare_token(key).undeclare)

    def watch_announcements(self, key: str, callback: Callable[[str, bool], None]) -> Handle:
        """Call `callback(key, is_alive)` for each token that matches, those already there included."""

        def on_sample(sample: zenoh.Sample) -> None:
            callback(str(sample.key_expr), sample.kind == zenoh.SampleKind.PUT)

        return Handle(self._session.liveliness().declare_subscriber(key, on_sample, history=True).undeclare)

    def close(self) -> None:
        """End the session and all that was declared on it. Idempotent."""
        with self._closing:
            if not self._session.is_closed():
                self._session.close()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_router(
    listen: Sequence[Address],
    identity: Identity,
    peers: Sequence[Address] = (),
    client: Identity | None = None,
) -> Session:
    """Open the session of a zipper, listening at each address over QUIC, and over TLS on TCP at the same port number.

    Clients use QUIC only. The TCP listener lets a client that was refused find out why (see `diagnosis`): QUIC
    through zenoh reports any TLS problem as a timeout.

    Args:
        peers: other routers, with which this one forms a mesh. They need not be there yet.
        client: certificates to show them; None: `identity`.

    Raises:
        TransportError: an address cannot be bound.
    """
    endpoints = [endpoint for address in listen for endpoint in (address.quic, address.tls)]
    tokens = identity.access.tokens if isinstance(identity.access, TokenAccess) else ()
    try:
        with dictionary_file(tokens) as dictionary:
            settings = router_settings(endpoints, identity, [peer.quic for peer in peers], client, dictionary)
            return Session(zenoh.open(_config(settings)))
    except zenoh.ZError as error:
        addresses = ", ".join(map(str, listen))
        raise TransportError(
            f"cannot listen: {error}", where=addresses, hint="is another zipper running there?"
        ) from error


def open_client(
    addresses: Sequence[Address],
    credentials: Credentials,
    *,
    timeout_s: float = 5.0,
    explain: Callable[[Address], NearfieldError | None] = lambda _: None,
) -> Session:
    """Connect to the first of `addresses` that answers, trying again until the time is up. Blocks.

    Once open, the session reconnects by itself.

    Args:
        credentials: a certificate is tried first, then a token.
        timeout_s: how long to try; each attempt takes up to 1.5 s.
        explain: called for each address after a failed attempt, to find out why. When waiting cannot mend any of
            them (`CertificateError`, `RefusedError`), the attempts end at once.

    Raises:
        CertificateError, RefusedError: waiting cannot mend it.
        TransportError: nothing could be reached; the reason that `explain` found, if it did.
    """
    endpoints = [address.quic for address in addresses]
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            return _open_with_either(endpoints, credentials)
        except zenoh.ZError as error:
            reasons = [reason for reason in map(explain, addresses) if reason is not None]
            final = [reason for reason in reasons if isinstance(reason, (CertificateError, RefusedError))]
            if len(final) == len(addresses):
                raise final[0] from error
            if time.monotonic() >= give_up_at:
                if reasons:
                    raise [*final, *reasons][0] from error
                raise TransportError(
                    "no answer over QUIC", where=", ".join(map(str, addresses)), hint="is UDP blocked on the way?"
                ) from error
            time.sleep(0.1)


def is_let_in(address: Address, credentials: Credentials) -> bool:
    """Whether the zipper there, which asks for no certificate, lets us in over TLS on TCP. Blocks up to 1.5 s."""
    by_token = credentials.token is not None
    try:
        session = zenoh.open(_config(client_settings([address.tls], credentials, by_token=by_token)))
    except zenoh.ZError:
        return False
    session.close()  # type: ignore[no-untyped-call]
    return True


def _open_with_either(endpoints: Sequence[str], credentials: Credentials) -> Session:
    """One attempt. Who has both a certificate and a token cannot know which of them the zipper wants.

    Raises:
        zenoh.ZError: refused, or no answer.
    """
    if isinstance(credentials, Uncertified) or credentials.token is None:
        return _open(endpoints, credentials, by_token=credentials.token is not None)
    began = time.monotonic()
    try:
        return _open(endpoints, credentials, by_token=False)
    except zenoh.ZError:
        # A refusal comes at once. Where there is no answer, a token gets none either.
        if time.monotonic() - began >= OPEN_TIMEOUT_MS / 1e3:
            raise
        return _open(endpoints, credentials, by_token=True)


def _open(endpoints: Sequence[str], credentials: Credentials, *, by_token: bool) -> Session:
    return Session(zenoh.open(_config(client_settings(endpoints, credentials, by_token=by_token))))


def _config(settings: Mapping[str, Any]) -> zenoh.Config:
    config = zenoh.Config()
    for path, value in settings.items():
        try:
            config.insert_json5(path, json.dumps(value))
        except zenoh.ZError as error:
            raise InternalError(f"zenoh does not know the setting `{path}`: {error}") from error
    return config
