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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import zenoh

from nearfield.errors import (
    CertificateError,
    InternalError,
    NearfieldError,
    RefusedError,
    RemoteProtocolError,
    TransportError,
)
from nearfield.frame import Priority
from nearfield.frame.bundle import decode_bundle, encode_bundle, in_bundles, is_bundle
from nearfield.frame.keys import SETTLED
from nearfield.frame.rights import Right
from nearfield.transport.access import TokenAccess
from nearfield.transport.access_control import access_settings
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


class CopiedPayload:
    """Bytes that are in Python already, like those that came in a bundle."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def to_bytes(self) -> bytes:
        return self._data

    def __len__(self) -> int:
        return len(self._data)


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
    # What was lost before, small or in small pieces: in the lane of the frames it might be lost again.
    REPAIRS = (zenoh.Priority.INTERACTIVE_LOW, zenoh.CongestionControl.BLOCK_FIRST, True)
    # Acknowledgements, state: small, ahead of frames, repaired above when lost.
    CONTROL = (zenoh.Priority.INTERACTIVE_HIGH, zenoh.CongestionControl.BLOCK_FIRST, True)


FRAME_LANES: Mapping[Priority, Lane] = {"high": Lane.FRAMES_HIGH, "normal": Lane.FRAMES, "low": Lane.FRAMES_LOW}
REPORT_LANES: Mapping[Priority, Lane] = {"high": Lane.REPORTS_HIGH, "normal": Lane.REPORTS, "low": Lane.REPORTS_LOW}

MessageCallback = Callable[[str, Payload, bytes], None]
"""Called with key, payload and attachment, on a thread of zenoh's: must not block."""


Message = tuple[Payload, bytes]
"""Payload and attachment."""

BundleCallback = Callable[[str, Sequence[Message]], None]
"""Called with the key and the messages that travelled together, on a thread of zenoh's: must not block."""

Reply = Callable[[bytes], None]

QuestionCallback = Callable[[str, bytes, Reply], None]


SETTLE_TIMEOUT_S = 2.0
# Payloads up to this are copied when they arrive.
COPIED_BYTES = 16 * 1024
# Larger questions are none of ours, and not answered.
MAX_QUESTION_BYTES = 256 * 1024


class Handle:
    """Something declared on a session. Closing is idempotent."""

    def __init__(self, undeclare: Callable[[], object]) -> None:
        self._undeclare: Callable[[], object] | None = undeclare

    def close(self) -> None:
        undeclare, self._undeclare = self._undeclare, None
        if undeclare is not None:
            with contextlib.suppress(zenoh.ZError):  # the session is closed already, and took this with it
                undeclare()


@dataclass(slots=True, eq=False)
class _Declared:
    """Something declared on a session, and how to declare it on another."""

    declare: Callable[[zenoh.Session], Callable[[], object]]
    undeclare: Callable[[], object]


class Session:
    """A connection to the mesh, as a router or as a client of one. Usable from any thread.

    Attributes:
        identity: the name that the other side knows this client by; None: nobody in particular.
    """

    def __init__(self, session: zenoh.Session, *, is_client: bool = False, identity: str | None = None) -> None:
        self.identity = identity
        self._session = session
        self._is_client = is_client
        self._closing = threading.Lock()
        # Guards the session's replacement by another one, and what is declared on it.
        self._replacing = threading.RLock()
        self._declared: set[_Declared] = set()
        self._is_reopening = False

    @property
    def id(self) -> str:
        """Changes with every session; no identity."""
        return str(self._session.info.zid())

    def router_ids(self) -> list[str]:
        """Session ids of the routers that this session is connected to at this moment."""
        return [str(zid) for zid in self._session.info.routers_zid()]

    @property
    def is_over_tcp(self) -> bool:
        """Whether it is connected over TLS on TCP at this moment, since QUIC did not answer."""
        return any(str(link.dst).startswith("tls/") for link in self._session.info.links())

    def publish(self, key: str, payload: bytes | Payload, *, attachment: bytes = b"", lane: Lane = Lane.FRAMES) -> None:
        """Send to every subscriber of `key`. May wait a moment for room; delivery is not confirmed.

        Raises:
            TransportError: the session is closed.
        """
        priority, congestion_control, express = lane.value
        session = self._session
        try:
            session.put(
                key,
                payload.to_bytes() if isinstance(payload, CopiedPayload) else payload,
                attachment=attachment or None,
                priority=priority,
                congestion_control=congestion_control,
                express=express,
            )
        except zenoh.ZError as error:
            # Nobody is connected at that moment; what is lost then is repaired like anything that a link lost.
            if not self._is_reopening and session is self._session:
                raise TransportError(f"cannot publish on `{key}`: {error}") from error

    def publish_all(
        self, key: str, messages: Sequence[tuple[bytes | Payload, bytes]], *, lane: Lane = Lane.FRAMES
    ) -> None:
        """Send messages, payload and attachment each, in order, the small ones together. Otherwise as `publish`."""
        for together in in_bundles(messages):
            if len(together) == 1:
                payload, attachment = together[0]
            else:
                payload, attachment = encode_bundle(
                    [each if isinstance(each, bytes) else each.to_bytes() for each, _ in together],
                    [each for _, each in together],
                )
            self.publish(key, payload, attachment=attachment, lane=lane)

    def subscribe(self, key: str, callback: MessageCallback) -> Handle:
        """Call `callback` for every message that matches `key` from now on.

        As a client, waits for one round trip: from then on the router lets nothing pass by.

        Raises:
            TransportError: the session is closed.
        """

        def on_messages(key: str, messages: Sequence[Message]) -> None:
            for payload, attachment in messages:
                callback(key, payload, attachment)

        return self.subscribe_all(key, on_messages)

    def subscribe_all(self, key: str, callback: BundleCallback) -> Handle:
        """Call `callback` with those messages together that travelled together. Otherwise as `subscribe`.

        What means to be a bundle and is none is taken for a message.

        Raises:
            TransportError: the session is closed.
        """

        def on_sample(sample: zenoh.Sample) -> None:
            attachment = sample.attachment
            data = b"" if attachment is None else attachment.to_bytes()
            callback(str(sample.key_expr), _open_bundle(sample.payload, data))

        try:
            handle = self._declare(lambda session: session.declare_subscriber(key, on_sample).undeclare)
            if self._is_client:
                self._settle()
            return handle
        except zenoh.ZError as error:
            raise TransportError(f"cannot subscribe to `{key}`: {error}") from error

    def answer(
        self, key: str | Callable[[str], str], on_question: QuestionCallback, *, is_direct: bool = False
    ) -> Handle:
        """Answer queries on `key`, or on the key that it gives for this session's id.

        `on_question(key, question, reply)` runs on a thread of zenoh's and must not block; `reply` may be called later,
        once, from any thread.

        Args:
            is_direct: it only hands over, and never replies itself: it needs no thread of its own.

        Raises:
            TransportError: the session is closed.
        """

        def on_query(query: zenoh.Query) -> None:
            def reply(answer: bytes) -> None:
                with query:
                    try:
                        query.reply(query.key_expr, answer, express=True)
                    except zenoh.ZError:
                        _log.debug("the asker of `%s` is gone", query.key_expr)

            question = query.payload
            if question is not None and len(question) > MAX_QUESTION_BYTES:
                return
            on_question(str(query.key_expr), b"" if question is None else question.to_bytes(), reply)

        def declare(session: zenoh.Session) -> Callable[[], object]:
            chosen = key if isinstance(key, str) else key(str(session.zid()))
            handler = zenoh.handlers.Callback(on_query, indirect=False) if is_direct else on_query
            return session.declare_queryable(chosen, handler).undeclare

        try:
            return self._declare(declare)
        except zenoh.ZError as error:
            raise TransportError(f"cannot answer questions: {error}") from error

    def ask(self, key: str, question: bytes = b"", *, timeout_s: float = 2.0, lane: Lane | None = None) -> bytes | None:
        """Query `key` and wait for the first answer; None when there was none in time. Blocks.

        Args:
            lane: it arrives behind all that was published in this lane before. None: ahead of frames.

        Raises:
            TransportError: the session is closed.
        """
        try:
            replies = self._session.get(
                key,
                payload=question,
                timeout=timeout_s,
                priority=zenoh.Priority.INTERACTIVE_HIGH if lane is None else lane.value[0],
                express=True,
            )
        except zenoh.ZError as error:
            raise TransportError(f"cannot ask `{key}`: {error}") from error
        for reply in replies:
            if reply.ok is not None:
                return bytes(reply.ok.payload.to_bytes())
        return None

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

        # On zenoh's own thread: nothing can be sent over a new connection before the end of the old one is known.
        direct = zenoh.handlers.Callback(on_event, indirect=False)
        return self._declare(lambda session: session.info.declare_transport_events_listener(direct).undeclare)

    def announce(self, key: str) -> Handle:
        """Hold a liveliness token: it vanishes when this session ends, however that happens."""
        return self._declare(lambda session: session.liveliness().declare_token(key).undeclare)

    def watch_announcements(self, key: str, callback: Callable[[str, bool], None]) -> Handle:
        """Call `callback(key, is_alive)` for each token that matches, those already there included."""

        def on_sample(sample: zenoh.Sample) -> None:
            callback(str(sample.key_expr), sample.kind == zenoh.SampleKind.PUT)

        return self._declare(
            lambda session: session.liveliness().declare_subscriber(key, on_sample, history=True).undeclare
        )

    def reopen(self, config: zenoh.Config, *, timeout_s: float = 5.0) -> None:
        """Close, and open again with other settings; all that was declared is declared anew. Blocks until then.

        The settings of an open session cannot change. Whoever is connected is cut off, and connects again by itself;
        what is published meanwhile is lost. The session's id changes.

        Args:
            timeout_s: how long to try to bind the addresses, which are free only a moment after they were closed.

        Raises:
            TransportError: it cannot be opened with these settings; it stays closed, and what is published is lost,
                until this is called with success.
        """
        with self._replacing:
            self._is_reopening = True
            self.close()
            self._session = _open_in_time(config, timeout_s)
            for declared in self._declared:
                declared.undeclare = declared.declare(self._session)
            self._is_reopening = False

    def move_to(self, other: Session) -> None:
        """Go on with the connection of `other`, a session just opened, which is used up by it. Blocks for a round trip.

        What was subscribed, announced and watched here is so there before the connection so far ends, so that nothing
        is missed; messages that come over both come twice. What is on its way out may be lost.

        Raises:
            TransportError: one of the two is closed; this session goes on as it was.
        """
        with self._replacing:
            if self._session.is_closed():
                raise TransportError("cannot move: the session is closed")
            try:
                there = [(declared, declared.declare(other._session)) for declared in self._declared]
            except zenoh.ZError as error:
                raise TransportError(f"cannot move: {error}") from error
            for declared, undeclare in there:
                declared.undeclare = undeclare
            former, self._session = self._session, other._session
        with contextlib.suppress(zenoh.ZError):  # whatever becomes of the former one, we are there
            self._settle()
            former.close()  # type: ignore[no-untyped-call]

    def _declare(self, declare: Callable[[zenoh.Session], Callable[[], object]]) -> Handle:
        """Declare something now, and again on whatever takes this session's place."""
        with self._replacing:
            # Where it did not open again yet, that will declare it.
            declared = _Declared(declare, (lambda: None) if self._is_reopening else declare(self._session))
            self._declared.add(declared)
        return Handle(lambda: self._undeclare(declared))

    def _undeclare(self, declared: _Declared) -> None:
        with self._replacing:
            self._declared.discard(declared)
            undeclare = declared.undeclare
        undeclare()

    def _settle(self) -> None:
        """Wait until the router has taken in what was declared before.

        Subscriptions and queries travel in different lanes, and frames would miss a subscription that is still under
        way. This question has the lane of declarations, and nothing answers it but its end.
        """
        for _ in self._session.liveliness().get(SETTLED, timeout=SETTLE_TIMEOUT_S):
            pass

    def close(self) -> None:
        """End the session and all that was declared on it. Idempotent."""
        with self._closing, self._replacing:
            if not self._session.is_closed():
                self._session.close()  # type: ignore[no-untyped-call]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Opening:
    """How the session of a zipper is opened.

    Attributes:
        zipper: its name, which is part of keys.
        peers: other routers, with which this one forms a mesh. They need not be there yet.
        client: certificates to show them; None: `identity`.
        rights: who may do what; None: everyone who is let in may do everything.
        peer_names: common names of certificates of zippers that are peers in every namespace.
        max_payload_bytes: of every frame.
    """

    zipper: str
    listen: Sequence[Address]
    identity: Identity
    peers: Sequence[Address] = ()
    client: Identity | None = None
    rights: Sequence[Right] | None = None
    peer_names: Sequence[str] = ()
    max_payload_bytes: int = 16 * 1024 * 1024


def open_router(opening: Opening) -> Session:
    """Open the session of a zipper, listening at each address over QUIC, and over TLS on TCP at the same port number.

    Clients use TCP only while QUIC does not answer: one unfinished handshake keeps zenoh's QUIC listener from all
    others for 30 s, but not the one on TCP. It also lets a client that was refused find out why (see `diagnosis`): QUIC
    through zenoh reports any TLS problem as a timeout.

    Raises:
        TransportError: an address cannot be bound.
    """
    try:
        with _router_config(opening) as config:
            return Session(zenoh.open(config))
    except zenoh.ZError as error:
        addresses = ", ".join(map(str, opening.listen))
        raise TransportError(
            f"cannot listen: {error}", where=addresses, hint="is another zipper running there?"
        ) from error


def reopen_router(session: Session, opening: Opening) -> None:
    """Open the session of a zipper anew, which is how its rights change. See `Session.reopen`.

    Raises:
        TransportError: an address cannot be bound; it stays closed.
    """
    with _router_config(opening) as config:
        session.reopen(config)


@contextlib.contextmanager
def _router_config(opening: Opening) -> Iterator[zenoh.Config]:
    """Of use only while inside: it names a file that is gone afterwards."""
    endpoints = [endpoint for address in opening.listen for endpoint in (address.quic, address.tls)]
    identity = opening.identity
    tokens = identity.access.tokens if isinstance(identity.access, TokenAccess) else ()
    with dictionary_file(tokens) as dictionary:
        settings = router_settings(
            endpoints, identity, [peer.quic for peer in opening.peers], opening.client, dictionary
        )
        if opening.rights is not None:
            settings |= access_settings(
                opening.rights,
                opening.zipper,
                max_payload_bytes=opening.max_payload_bytes,
                named_by="token" if isinstance(identity.access, TokenAccess) else "certificate",
                peer_names=opening.peer_names,
            )
        yield _config(settings)


def open_client(
    addresses: Sequence[Address],
    credentials: Credentials,
    *,
    timeout_s: float = 5.0,
    explain: Callable[[Address], NearfieldError | None] = lambda _: None,
    over_tcp: bool = True,
) -> Session:
    """Connect to the first of `addresses` that answers, trying again until the time is up. Blocks.

    Over QUIC; when none of them answers, over TLS on TCP. Once open, the session reconnects by itself, in the same way.

    Args:
        credentials: a certificate is tried first, then a token.
        timeout_s: how long to try; an attempt takes up to 1.5 s for each address.
        over_tcp: False: over QUIC or not at all.
        explain: called for each address after a failed attempt, to find out why. When waiting cannot mend any of
            them (`CertificateError`, `RefusedError`), the attempts end at once.

    Raises:
        CertificateError, RefusedError: waiting cannot mend it.
        TransportError: nothing could be reached; the reason that `explain` found, if it did.
    """
    quic = [address.quic for address in addresses]
    tcp = [address.tls for address in addresses] if over_tcp else []
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            return _open_with_either(quic, tcp, credentials)
        except zenoh.ZError as error:
            reasons = [reason for reason in map(explain, addresses) if reason is not None]
            final = [reason for reason in reasons if isinstance(reason, (CertificateError, RefusedError))]
            if len(final) == len(addresses):
                raise final[0] from error
            if time.monotonic() >= give_up_at:
                if reasons:
                    raise [*final, *reasons][0] from error
                raise TransportError(
                    "no answer over QUIC" + (", and no session over TCP" if tcp else ""),
                    where=", ".join(map(str, addresses)),
                    hint="is UDP blocked on the way?",
                ) from error
            time.sleep(0.1)


def _open_bundle(payload: Payload, attachment: bytes) -> Sequence[Message]:
    if not is_bundle(attachment):
        # What is small would keep all of the buffer that it came in, of 64 KB.
        kept = payload if len(payload) > COPIED_BYTES else CopiedPayload(payload.to_bytes())
        return ((kept, attachment),)
    try:
        messages = decode_bundle(payload.to_bytes(), attachment)
    except RemoteProtocolError:
        return ((payload, attachment),)
    return [(CopiedPayload(part), own_attachment) for part, own_attachment in messages]


def _open_in_time(config: zenoh.Config, timeout_s: float) -> zenoh.Session:
    give_up_at = time.monotonic() + timeout_s
    while True:
        try:
            return zenoh.open(config)
        except zenoh.ZError as error:
            if time.monotonic() >= give_up_at:
                raise TransportError(f"cannot open the session again: {error}") from error
            time.sleep(0.05)


def is_let_in(address: Address, credentials: Credentials) -> bool:
    """Whether the zipper there, which asks for no certificate, lets us in over TLS on TCP. Blocks up to 1.5 s."""
    by_token = credentials.token is not None
    try:
        session = zenoh.open(_config(client_settings([address.tls], credentials, by_token=by_token)))
    except zenoh.ZError:
        return False
    session.close()  # type: ignore[no-untyped-call]
    return True


def _open_with_either(quic: Sequence[str], tcp: Sequence[str], credentials: Credentials) -> Session:
    """One attempt. Who has both a certificate and a token cannot know which of them the zipper wants.

    Raises:
        zenoh.ZError: refused, or no answer.
    """
    endpoints = [*quic, *tcp]
    if isinstance(credentials, Uncertified) or credentials.token is None:
        return _open(endpoints, credentials, by_token=credentials.token is not None)
    began = time.monotonic()
    try:
        return _open(endpoints, credentials, by_token=False)
    except zenoh.ZError:
        # A refusal comes at once. Where QUIC gives no answer, a token gets none there either.
        is_answered = time.monotonic() - began < OPEN_TIMEOUT_MS / 1e3
        return _open(endpoints if is_answered else tcp or quic, credentials, by_token=True)


def _open(endpoints: Sequence[str], credentials: Credentials, *, by_token: bool) -> Session:
    shown = credentials.token if by_token else credentials
    session = zenoh.open(_config(client_settings(endpoints, credentials, by_token=by_token)))
    return Session(session, is_client=True, identity=None if shown is None else shown.name)


def _config(settings: Mapping[str, Any]) -> zenoh.Config:
    config = zenoh.Config()
    for path, value in settings.items():
        try:
            config.insert_json5(path, json.dumps(value))
        except zenoh.ZError as error:
            raise InternalError(f"zenoh does not know the setting `{path}`: {error}") from error
    return config
