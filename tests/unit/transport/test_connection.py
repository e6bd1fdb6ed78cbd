"""A client's connection, on a session in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from nearfield.errors import RefusedError, RemoteProtocolError
from nearfield.frame import keys
from nearfield.frame.control import Hello, encode
from nearfield.transport import Address, connect
from tests.doubles import MemorySession, MemoryZipper, hello

HELLO = keys.hello("default", "router")
ADDRESS = Address("localhost", 9900)


def test_state_is_the_latest_and_watchers_learn_of_a_new_epoch() -> None:
    zipper = MemoryZipper.observing(0x10, epoch=5)
    told: list[tuple[list[int], bool]] = []
    zipper.connection.watch(lambda state, is_new: told.append((state.observed, is_new)))
    zipper.say([0x10, 0x11], epoch=5)
    zipper.say([0x10], epoch=6)
    zipper.say([], epoch=6)
    assert told == [([0x10, 0x11], False), ([0x10], True), ([], False)]
    assert zipper.connection.state == hello([], 6)


def test_state_that_is_none_is_logged_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    zipper = MemoryZipper.observing(0x10)
    zipper.session.deliver(keys.state("default", "line-1"), b"{}")
    assert zipper.connection.state == hello([0x10], 5)
    assert caplog.messages[0].startswith("zipper `line-1`: hello message: ")


def test_zipper_is_heard_until_it_was_silent_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = MemoryZipper.observing().connection
    assert connection.is_heard
    monkeypatch.setattr("nearfield.transport.connection.SILENCE_S", 0.0)
    assert not connection.is_heard


def test_closed_connection_closes_its_session() -> None:
    zipper = MemoryZipper.observing()
    zipper.connection.close()
    zipper.connection.close()
    assert zipper.session.is_closed
    assert zipper.session.subscriptions == []


# ---- following


def test_connection_follows_its_session_to_another_zipper(caplog: pytest.LogCaptureFixture) -> None:
    zipper = MemoryZipper.observing(0x10)
    told: list[tuple[str, list[int], bool]] = []
    zipper.connection.watch(lambda state, is_new: told.append((state.zipper, state.observed, is_new)))
    zipper.move("line-2", [0x11], epoch=9)
    assert (zipper.connection.zipper, zipper.connection.state.epoch) == ("line-2", 9)
    assert told == [("line-2", [0x11], True)]
    assert caplog.messages == ["zipper `line-1` is gone; going on with zipper `line-2`"]
    zipper.say([0x12], epoch=9)
    # In a mesh the former one is still heard; it is not ours any more.
    zipper.session.deliver(keys.state("default", "line-1"), encode(hello([0x13], 5)))
    assert told[1:] == [("line-2", [0x12], False)]
    assert [key for key, _ in zipper.session.subscriptions] == [keys.state("default", "line-2")]


def test_interrupted_connection_to_the_same_zipper_counts_as_new(caplog: pytest.LogCaptureFixture) -> None:
    zipper = MemoryZipper.observing(0x10)
    told: list[bool] = []
    zipper.connection.watch(lambda state, is_new: told.append(is_new))
    zipper.move("line-1", [0x10], epoch=5)
    assert told == [True]
    assert caplog.messages == []


def test_zipper_is_greeted_until_it_answers(eventually: Callable[..., None]) -> None:
    zipper = MemoryZipper.observing()
    answers = iter([None, None, encode(hello([], 9, "line-2"))])
    zipper.session.answers[keys.hello("default", "other")] = lambda _: next(answers)
    zipper.session.reconnect("other")
    eventually(lambda: zipper.connection.zipper == "line-2", "moved")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"{}", "zipper at : hello message: "),
        (encode(Hello(protocol=2, zipper="line-2", epoch=9, observed=[])), "zipper `line-2` speaks protocol 2, we "),
    ],
    ids=["garbage", "another version"],
)
def test_zipper_that_does_not_suit_is_not_followed(
    answer: bytes, message: str, caplog: pytest.LogCaptureFixture, eventually: Callable[..., None]
) -> None:
    zipper = MemoryZipper.observing()
    zipper.session.answers[keys.hello("default", "other")] = answer
    zipper.session.reconnect("other")
    eventually(lambda: caplog.messages, "a warning")
    assert caplog.messages[0].startswith(message)
    assert zipper.connection.zipper == "line-1"


def test_connection_that_was_interrupted_again_stops_greeting(eventually: Callable[..., None]) -> None:
    zipper = MemoryZipper.observing()
    zipper.session.answers[keys.hello("default", "third")] = encode(hello([], 9, "line-3"))
    zipper.session.reconnect("second")  # never answers
    eventually(lambda: zipper.session.questions, "greeted")
    zipper.session.reconnect("third")
    eventually(lambda: zipper.connection.zipper == "line-3", "moved to the third")
    eventually(lambda: not any(thread.name == "greeting" for thread in threading.enumerate()), "no thread left")


def test_closed_connection_stops_greeting(eventually: Callable[..., None]) -> None:
    zipper = MemoryZipper.observing()
    zipper.session.reconnect("second")
    zipper.connection.close()
    eventually(lambda: not any(thread.name == "greeting" for thread in threading.enumerate()), "no thread left")
    assert zipper.session.router_watches == []


def test_watcher_that_is_taken_off_is_not_told_any_more() -> None:
    zipper = MemoryZipper.observing()
    told: list[Hello] = []
    watch = zipper.connection.watch(lambda state, is_new: told.append(state))
    watch.close()
    watch.close()
    zipper.say([], epoch=6)
    assert told == []


def test_connection_is_closed_with_its_last_user() -> None:
    zipper = MemoryZipper.observing()
    first, second = zipper.connection.retain(), zipper.connection.retain()
    first.release()
    assert not zipper.session.is_closed
    second.release()
    assert zipper.session.is_closed


@dataclass
class Greeting:
    """`connect`, with a session in memory where a real one would be opened."""

    session: MemorySession

    def connect(self, timeout_s: float = 5.0) -> Any:
        return connect([ADDRESS], None, timeout_s=timeout_s)  # type: ignore[arg-type]


@pytest.fixture
def greeting(monkeypatch: pytest.MonkeyPatch) -> Greeting:
    session = MemorySession()
    monkeypatch.setattr("nearfield.transport.connection.open_client", lambda *_, **__: session)
    return Greeting(session)


def test_connection_learns_who_the_zipper_is(greeting: Greeting) -> None:
    greeting.session.answers[HELLO] = encode(hello([0x10], 5))
    connection = greeting.connect()
    assert (connection.zipper, connection.namespace, connection.addresses) == ("line-1", "default", (ADDRESS,))


def test_greeting_is_repeated_until_it_is_answered(greeting: Greeting) -> None:
    answers = iter([None, None, encode(hello([], 5))])
    greeting.session.answers[HELLO] = lambda _: next(answers)
    assert greeting.connect().zipper == "line-1"


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            encode(Hello(protocol=2, zipper="line-1", epoch=5, observed=[])),
            RefusedError,
            "^localhost:9900: protocol: zipper `line-1` speaks version 2, we speak 1; update the older side$",
        ),
        (b"{}", RemoteProtocolError, "^hello message: "),
        (None, RefusedError, "^localhost:9900: no zipper answers in namespace `default`$"),
    ],
    ids=["another version", "garbage", "silence"],
)
def test_session_is_closed_when_the_zipper_does_not_suit(
    greeting: Greeting, answer: bytes | None, kind: type[Exception], message: str
) -> None:
    greeting.session.answers[HELLO] = answer
    with pytest.raises(kind, match=message):
        greeting.connect(timeout_s=0.1)
    assert greeting.session.is_closed
