"""Stand-ins for what lies outside a process: a session that carries messages in memory, and handlers.

`MemorySession` has the methods of `nearfield.transport.Session` with the same contracts, apart from time: callbacks
run at once, on the thread that publishes. Tests of sessions themselves use real ones (`tests/integration`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, cast

from nearfield.frame import keys
from nearfield.frame.control import PROTOCOL_VERSION, Granted, Hello, encode
from nearfield.transport import REPORT_LANES, Connection, Lane, Permission

Callback = Callable[[str, Any, bytes], None]
BundleCallback = Callable[[str, Sequence[tuple[Any, bytes]]], None]


class MemoryPayload:
    """Bytes as they arrived."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def to_bytes(self) -> bytes:
        return self._data

    def __len__(self) -> int:
        return len(self._data)


@dataclass(frozen=True, slots=True)
class Published:
    """One message that was published."""

    key: str
    payload: bytes
    attachment: bytes
    lane: Lane


class MemoryHandle:
    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self.is_closed = False

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._close()


@dataclass
class MemorySession:
    """A session to nobody but the test.

    Attributes:
        published: every message, in order.
        together: key and number of messages of each `publish_all`, in order.
        answers: by key, what a query gets: bytes, or None for no answer, or a function of the question.
        answering: by key, who answers questions.
        announced: keys of the liveliness tokens that are held.
        is_over_tcp: QUIC did not answer when it was connected.
        questions_behind: those that are to be answered when what was published before is through.
    """

    id: str = "memory"
    identity: str | None = None
    published: list[Published] = field(default_factory=list)
    answers: dict[str, Any] = field(default_factory=dict)
    questions: list[tuple[str, bytes]] = field(default_factory=list)
    announced: set[str] = field(default_factory=set)
    answering: dict[str, Callable[[str, bytes, Callable[[bytes], None]], None]] = field(default_factory=dict)
    subscriptions: list[tuple[str, BundleCallback]] = field(default_factory=list)
    together: list[tuple[str, int]] = field(default_factory=list)
    is_closed: bool = False
    routers: list[str] = field(default_factory=lambda: ["router"])
    is_over_tcp: bool = False
    router_watches: list[Callable[[str, bool], None]] = field(default_factory=list)
    questions_behind: list[tuple[str, Callable[[], None], Lane]] = field(default_factory=list)

    def router_ids(self) -> list[str]:
        return list(self.routers)

    def publish(self, key: str, payload: Any, *, attachment: bytes = b"", lane: Lane = Lane.FRAMES) -> None:
        data = payload if isinstance(payload, bytes) else payload.to_bytes()
        self.published.append(Published(key, data, attachment, lane))

    def publish_all(self, key: str, messages: Sequence[tuple[Any, bytes]], *, lane: Lane = Lane.FRAMES) -> None:
        """Each is recorded by itself."""
        self.together.append((key, len(messages)))
        for payload, attachment in messages:
            self.publish(key, payload, attachment=attachment, lane=lane)

    def deliver(self, key: str, payload: bytes, attachment: bytes = b"") -> None:
        """What a peer published reaches every subscription that matches."""
        self.deliver_all(key, [(payload, attachment)])

    def deliver_all(self, key: str, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """What a peer published together arrives together."""
        arrived = [(MemoryPayload(payload), attachment) for payload, attachment in messages]
        for expression, callback in list(self.subscriptions):
            if matches(expression, key):
                callback(key, arrived)

    def subscribe(self, key: str, callback: Callback) -> MemoryHandle:
        def on_messages(key: str, messages: Sequence[tuple[Any, bytes]]) -> None:
            for payload, attachment in messages:
                callback(key, payload, attachment)

        return self.subscribe_all(key, on_messages)

    def subscribe_all(self, key: str, callback: BundleCallback) -> MemoryHandle:
        entry = (key, callback)
        self.subscriptions.append(entry)
        return MemoryHandle(lambda: self.subscriptions.remove(entry))

    def ask(self, key: str, question: bytes = b"", *, timeout_s: float = 2.0, lane: Lane | None = None) -> bytes | None:
        self.questions.append((key, question))
        answer = self.answers.get(key)
        return answer(question) if callable(answer) else answer

    def ask_behind(self, key: str, on_answer: Callable[[], None], *, lane: Lane, timeout_s: float = 2.0) -> None:
        """Those behind frames are for the test to answer; those behind what is said of them are answered at once."""
        if lane in REPORT_LANES.values():
            on_answer()
        else:
            self.questions_behind.append((key, on_answer, lane))

    def watch_routers(self, callback: Callable[[str, bool], None]) -> MemoryHandle:
        self.router_watches.append(callback)
        return MemoryHandle(lambda: self.router_watches.remove(callback))

    def reconnect(self, router: str) -> None:
        """The session lost its router, and is connected to this one now."""
        self.routers = [router]
        for callback in list(self.router_watches):
            callback(router, True)

    def move_to(self, other: MemorySession) -> None:
        """What is declared here stays; only the connection is another."""
        self.routers, self.answers, self.is_over_tcp = other.routers, other.answers, other.is_over_tcp

    def answer(
        self,
        key: str,
        on_question: Callable[[str, bytes, Callable[[bytes], None]], None],
        *,
        is_direct: bool = False,
    ) -> MemoryHandle:
        """Questions that a test puts with `put_question`."""
        self.answering[key] = on_question

        def close() -> None:
            del self.answering[key]

        return MemoryHandle(close)

    def put_question(self, key: str, question: bytes, reply: Callable[[bytes], None]) -> None:
        """Somebody asks what this session answers."""
        self.answering[key](key, question, reply)

    def announce(self, key: str) -> MemoryHandle:
        self.announced.add(key)
        return MemoryHandle(lambda: self.announced.discard(key))

    def close(self) -> None:
        self.is_closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def sent_to(self, expression: str) -> list[Published]:
        """Published messages whose keys match."""
        return [message for message in self.published if matches(expression, message.key)]


@dataclass
class MemoryZipper:
    """A connection to a zipper that says what the test wants.

    Attributes:
        session: carries messages between the code under test and the test.
        connection: what the code under test is given.
    """

    session: MemorySession
    connection: Connection
    epoch: int = 5

    @classmethod
    def observing(cls, *tags: int, epoch: int = 5) -> MemoryZipper:
        session = MemorySession()
        connection = Connection(cast(Any, session), hello(tags, epoch), "default", [])
        return cls(session, connection, epoch)

    @classmethod
    def granting(cls, granted: Granted, identity: str = "me") -> MemoryZipper:
        """One that knows who asks, and lets them do what this says."""
        session = MemorySession(identity=identity)
        permission = Permission(identity, "line-1", granted)
        connection = Connection(cast(Any, session), hello([], 5), "default", [], permission=permission)
        zipper = cls(session, connection)
        zipper.grant(granted)
        return zipper

    def grant(self, granted: Granted | None, zipper: str = "line-1") -> None:
        """What is answered from now on to the question for rights; None: nothing."""
        key = keys.rights("default", zipper, self.session.identity or "-")
        self.session.answers[key] = None if granted is None else encode(granted)

    def move(self, name: str, observed: Iterable[int], epoch: int) -> None:
        """The session is connected anew, to the zipper of this name; returns when the connection has followed."""
        router = f"router of {name}, {epoch}"
        self.session.answers[keys.hello("default", router)] = encode(hello(observed, epoch, name))
        told = threading.Event()
        watch = self.connection.watch(lambda state, is_new: told.set() if is_new else None)
        self.session.reconnect(router)
        assert told.wait(10), "the connection did not follow"
        watch.close()
        self.epoch = epoch

    def say(self, observed: Iterable[int], epoch: int, *, ordered: bool = False) -> None:
        """Publish a state."""
        self.epoch = epoch
        zipper = self.connection.zipper
        self.session.deliver(keys.state("default", zipper), encode(hello(observed, epoch, zipper, ordered=ordered)))


def hello(observed: Iterable[int], epoch: int, zipper: str = "line-1", *, ordered: bool = False) -> Hello:
    return Hello(protocol=PROTOCOL_VERSION, zipper=zipper, epoch=epoch, observed=sorted(observed), ordered=ordered)


def matches(expression: str, key: str) -> bool:
    """Whether a key matches an expression in which `*` stands for one segment."""
    wanted, given = expression.split("/"), key.split("/")
    return len(wanted) == len(given) and all(
        part in ("*", segment) for part, segment in zip(wanted, given, strict=True)
    )
