"""A client's connection, on a session in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from nearfield.errors import RefusedError, RemoteProtocolError, TransportError
from nearfield.frame import keys
from nearfield.frame.control import Granted, Hello, encode
from nearfield.transport import Address, Connection, Permission, connect
from nearfield.transport.homing import LOOK_S, SETTLED_AFTER_S, Homing
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
    assert caplog.messages == ["left zipper `line-1`; going on with zipper `line-2`"]
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


# ---- rights

SOME = Granted(send=(16,), origins=("cam",), functions=(), observe=(), ledger=False)


class Answers:
    """A session that answers `hello`, and `rights` with what it holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, granted: bytes | None, identity: str | None = "cam") -> None:
        asked = keys.rights("default", "line-1", identity or "-")
        self.session = MemorySession(identity=identity, answers={HELLO: encode(hello([], 5)), asked: granted})
        monkeypatch.setattr("nearfield.transport.connection.open_client", lambda *_, **__: self.session)

    def connect(self) -> Connection:
        return connect([ADDRESS], cast(Any, None))


@pytest.mark.parametrize("identity", ["cam", None])
def test_rights_are_learned_when_a_connection_is_made(monkeypatch: pytest.MonkeyPatch, identity: str | None) -> None:
    connection = Answers(monkeypatch, encode(SOME), identity).connect()
    assert connection.permission == Permission(identity, "line-1", SOME)
    connection.close()


@pytest.mark.parametrize("answer", [None, b"{", b'{"send": 5}'], ids=["none", "no JSON", "another form"])
def test_zipper_that_does_not_say_what_rights_there_are_lets_us_try(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Answers(monkeypatch, answer).connect()
    assert connection.permission == Permission("cam", "line-1")
    assert len(caplog.messages) == (answer is not None)
    connection.close()


def test_rights_are_learned_anew_with_each_connection_and_changes_are_said(caplog: pytest.LogCaptureFixture) -> None:
    zipper = MemoryZipper.granting(SOME)
    zipper.move("line-1", [], epoch=5)
    assert (zipper.connection.permission.granted, caplog.messages) == (SOME, [])
    other = Granted(send=(16, 17), origins=("cam",))
    zipper.grant(other)
    zipper.move("line-1", [], epoch=5)
    assert zipper.connection.permission == Permission("me", "line-1", other)
    assert caplog.messages == ["zipper `line-1`: `me` has other rights than before"]


def test_rights_stay_as_they_were_where_the_same_zipper_does_not_say() -> None:
    zipper = MemoryZipper.granting(SOME)
    zipper.grant(None)
    zipper.move("line-1", [], epoch=5)
    assert zipper.connection.permission == Permission("me", "line-1", SOME)
    zipper.move("line-2", [], epoch=9)  # of which nothing is known
    assert zipper.connection.permission == Permission("me", "line-2")


@pytest.mark.parametrize(("identity", "who"), [("cam", "`cam`"), (None, "whoever has no identity")])
def test_zipper_that_does_not_answer_any_more_is_said_once_to_have_no_rights_for_us(
    identity: str | None,
    who: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    eventually: Callable[..., None],
) -> None:
    monkeypatch.setattr("nearfield.transport.connection.UNHEARD_S", 0.0)
    session = MemorySession(identity=identity)
    connection = Connection(cast(Any, session), hello([], 5), "default", [ADDRESS])
    session.reconnect("same")
    eventually(lambda: len(session.questions) > 2, "asked again and again")
    assert caplog.messages == [
        f"zipper at localhost:9900 does not answer in namespace `default`; {who} may have no rights there any more"
    ]
    session.answers[keys.hello("default", "same")] = encode(hello([], 6))
    eventually(lambda: connection.state.epoch == 6, "heard again")
    connection.close()


# ---- going back


class Homecoming:
    """A connection at `backup`, the second of its two addresses; the first is `home`, once that answers."""

    def __init__(self) -> None:
        self.session = MemorySession(routers=["backup"])
        self.home: MemorySession | None = None
        self.opened: list[int] = []
        self.connection = Connection(
            cast(Any, self.session), hello([0x10], 5, "backup"), "default", [ADDRESS, ADDRESS], cast(Any, self.reopen)
        )

    def reopen(self, addresses: Sequence[Address], *, over_tcp: bool) -> MemorySession:
        self.opened.append(len(addresses))
        if self.home is None:
            raise TransportError("no answer")
        is_over_tcp = over_tcp and self.home.is_over_tcp
        return MemorySession(routers=list(self.home.routers), answers=self.home.answers, is_over_tcp=is_over_tcp)

    def answer(self, *epochs: int, router: str = "home") -> None:
        """From now on the first address answers: with these epochs, and with the last of them for good."""
        left = list(epochs)
        answer = lambda _: encode(hello([0x11], left.pop(0) if len(left) > 1 else left[0], "home"))  # noqa: E731
        self.home = MemorySession(routers=[router], answers={keys.hello("default", router): answer})


@pytest.fixture
def homecoming(monkeypatch: pytest.MonkeyPatch) -> Iterator[Homecoming]:
    monkeypatch.setattr("nearfield.transport.connection.STEADY_S", 0.05)
    monkeypatch.setattr("nearfield.transport.connection.Homing", lambda: Homing(wait_s=0.02))
    homecoming = Homecoming()
    yield homecoming
    homecoming.connection.close()
    assert not any(thread.name == "homing" for thread in threading.enumerate())


def test_connection_goes_back_to_its_first_address_and_tells_so(
    homecoming: Homecoming, eventually: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    told: list[tuple[str, bool]] = []
    homecoming.connection.watch(lambda state, is_new: told.append((state.zipper, is_new)))
    eventually(lambda: len(homecoming.opened) > 2, "looks again and again")
    assert told == []
    homecoming.answer(7)
    eventually(lambda: told, "went back")
    assert told == [("home", True)]
    assert homecoming.connection.zipper == "home"
    assert homecoming.session.router_ids() == ["home"]
    assert keys.state("default", "home") in [key for key, _ in homecoming.session.subscriptions]
    assert caplog.messages == ["left zipper `backup`; going on with zipper `home`"]
    looks = len(homecoming.opened)
    time.sleep(0.1)
    assert len(homecoming.opened) == looks, "who is home does not look any more"


def test_connection_does_not_go_back_to_a_zipper_that_restarts_meanwhile(
    homecoming: Homecoming, eventually: Callable[..., None]
) -> None:
    homecoming.answer(1, 2, 3, 4, 5, 6)
    eventually(lambda: homecoming.connection.zipper == "home", "went back when it was steady")
    assert homecoming.connection.state.epoch == 6


def test_connection_whose_first_address_is_where_it_is_stays(
    homecoming: Homecoming, eventually: Callable[..., None]
) -> None:
    homecoming.answer(5, router="backup")
    eventually(lambda: homecoming.opened, "looks once")
    looks = len(homecoming.opened)
    time.sleep(0.1)
    assert (len(homecoming.opened) - looks, homecoming.connection.zipper) == (0, "backup")


def test_connection_over_tcp_moves_to_quic_when_that_answers(
    homecoming: Homecoming, eventually: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    homecoming.answer(5, router="backup")
    eventually(lambda: homecoming.opened, "found to be home")
    interruptions = homecoming.connection.interruptions
    assert homecoming.home is not None
    homecoming.session.is_over_tcp, homecoming.home.is_over_tcp = True, True
    homecoming.session.answers = homecoming.home.answers
    homecoming.session.reconnect("backup")
    warning = "zipper `home` does not answer over QUIC; going on over TLS on TCP until it does"
    eventually(lambda: warning in caplog.messages, "a warning")
    looks = len(homecoming.opened)
    eventually(lambda: len(homecoming.opened) > looks + 3, "looks again and again")
    assert homecoming.session.is_over_tcp, "the new session got no answer over QUIC either"
    homecoming.home.is_over_tcp = False
    eventually(lambda: not homecoming.session.is_over_tcp, "moved")
    eventually(lambda: homecoming.connection.interruptions > interruptions, "what was under way counts as lost")
    assert homecoming.connection.zipper == "home"
    assert caplog.messages.count(warning) == 1


def test_connection_to_one_address_never_looks_elsewhere() -> None:
    session = MemorySession()
    connection = Connection(cast(Any, session), hello([], 5), "default", [ADDRESS], cast(Any, None))
    assert not any(thread.name == "homing" for thread in threading.enumerate())
    connection.close()


def test_who_is_driven_away_again_soon_waits_longer_each_time() -> None:
    homing, now_s, waits = Homing(), 0.0, []
    for _ in range(8):
        homing.returned(now_s)
        now_s += 10
        homing.is_away(now_s)
        homing.is_away(now_s + 5)  # still: that is no other time
        waits.append(homing.wait_s)
    assert waits == [10, 20, 40, 80, 160, 320, 320, 320]
    homing.returned(now_s)
    homing.is_away(now_s + SETTLED_AFTER_S + 1)
    assert homing.wait_s == LOOK_S


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
