"""What a sender says of what it published, and what it answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nearfield.clock import ManualClock
from nearfield.errors import TransportError
from nearfield.frame import FLAG_KEPT, Header, keys
from nearfield.frame.control import SentSoFar, Wanted, decode, encode
from nearfield.frame.resent import decode_resent
from nearfield.recovery import KeptFrame, Resender, resender, rounds
from nearfield.recovery.kept import ANSWER_BYTES, KEEP_NS
from nearfield.recovery.rounds import Rounds
from nearfield.transport import Lane
from tests.doubles import MemoryZipper

TAG, SENDER = 17, 7
KEY = f"nearfield/default/sent/{TAG}/line-1/cam/-/{SENDER}"


def until(holds: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.002)


class Sender:
    """A resender, and what it does."""

    def __init__(self) -> None:
        self.zipper = MemoryZipper.observing(TAG)
        self.session = self.zipper.session
        self.clock = ManualClock()
        self.rounds = Rounds()
        self.resender = Resender(
            self.zipper.connection, "cam", keys.SOURCE, SENDER, Lane.REPORTS, self.clock, self.rounds
        )

    def keep(self, *counts: int, tag: int = TAG, size: int = 1) -> None:
        self.resender.keep(
            KeptFrame(tag, count, "cam", header(count, tag), b"%d" % count * size, self.clock.monotonic_ns())
            for count in counts
        )

    def listens_at(self, key: str = KEY) -> None:
        until(lambda: key in self.session.answering, f"nobody listens at {key}")

    def asked(self, question: bytes, key: str = KEY) -> list[bytes]:
        """Where answers will come."""
        answers: list[bytes] = []
        self.listens_at(key)
        self.session.put_question(key, question, answers.append)
        return answers

    def answer(self, *counts: tuple[int, int], max_age_ms: int = 2**63 - 1) -> tuple[list[bytes], int]:
        answers = self.asked(encode(Wanted(counts=list(counts), max_age_ms=max_age_ms)))
        until(lambda: answers, "no answer came")
        resent = decode_resent(answers[0])
        return [frame.payload for frame in resent.frames], resent.through

    def said(self, key: str = KEY) -> list[int]:
        return [decode(SentSoFar, message.payload).count for message in self.session.sent_to(key)]

    @property
    def is_looked_after(self) -> bool:
        return self.rounds.members > 0


def header(count: int, tag: int = TAG) -> bytes:
    return Header(tag, 1, count, 0, 0, flags=FLAG_KEPT, sender=SENDER, count=count).encode()


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sender]:
    monkeypatch.setattr(rounds, "TICK_S", 0.01)
    sender = Sender()
    yield sender
    sender.resender.close()
    assert not sender.is_looked_after
    assert sender.session.answering == {}


def test_a_sender_that_keeps_nothing_is_not_looked_after_and_closes_silently(sender: Sender) -> None:
    assert not sender.is_looked_after
    sender.resender.close()
    sender.resender.close()
    sender.keep(1)
    assert not sender.is_looked_after
    assert sender.session.published == []


def test_frames_that_were_asked_for_come_as_they_were_published(sender: Sender) -> None:
    sender.keep(*range(1, 6))
    answers = sender.asked(encode(Wanted(counts=[(2, 2), (4, 9)], max_age_ms=1)))
    until(lambda: answers, "no answer came")
    resent = decode_resent(answers[0])
    assert resent.through == 9
    assert [(frame.origin, frame.header, frame.payload) for frame in resent.frames] == [
        ("cam", header(count), b"%d" % count) for count in (2, 4, 5)
    ]


def test_answers_are_small_and_go_on_where_the_one_before_ended(sender: Sender) -> None:
    sender.keep(*range(1, 8), size=ANSWER_BYTES // 4)
    got: list[bytes] = []
    through = 0
    while through < 7:
        payloads, through = sender.answer((through + 1, 7))
        assert 1 <= len(payloads) <= 3
        got.extend(payloads)
    assert [payload[:1] for payload in got] == [b"%d" % count for count in range(1, 8)]


def test_what_was_published_before_the_asker_listened_is_not_sent_again(sender: Sender) -> None:
    sender.keep(1)
    sender.clock.advance(2.0)
    sender.keep(2)
    assert sender.answer((1, 2), max_age_ms=1_999) == ([b"2"], 2)
    assert sender.answer((1, 2), max_age_ms=2_000) == ([b"1", b"2"], 2)


def test_what_nobody_needs_any_more_is_forgotten_and_the_sender_rests_until_the_next_frame(sender: Sender) -> None:
    sender.keep(1)
    sender.listens_at()
    sender.clock.advance(KEEP_NS / 1e9 + 1)
    until(lambda: not sender.is_looked_after, "it is still at work")
    until(lambda: sender.session.answering == {}, "it still listens")
    sender.keep(2)
    assert sender.answer((1, 2)) == ([b"2"], 2)


def test_the_count_is_said_once_nothing_more_comes_and_again_from_time_to_time(sender: Sender) -> None:
    sender.keep(1, 2, 3)
    until(lambda: len(sender.said()) >= 4, "it says nothing")
    assert set(sender.said()) == {3}
    message = sender.session.sent_to(KEY)[0]
    assert (message.lane, message.attachment) == (Lane.REPORTS, b"")
    sender.keep(4)
    until(lambda: sender.said()[-1] == 4, "it does not say how many there are now")
    assert sender.said() == sorted(sender.said())


def test_of_frames_that_are_not_kept_only_the_count_is_said(sender: Sender) -> None:
    for count in (1, 3, 2):  # of several threads
        sender.resender.note(TAG, count)
    until(lambda: len(sender.said()) >= 2, "it says nothing")
    assert {message.payload for message in sender.session.sent_to(KEY)} == {encode(SentSoFar(count=3, kept=False))}
    assert sender.session.answering == {}
    sender.clock.advance(KEEP_NS / 1e9 + 1)
    until(lambda: not sender.is_looked_after, "it is still at work")


def test_what_is_remembered_of_frames_that_are_not_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resender, "_MOST_TAGS", 3)
    sender = Sender()
    for tag, count in ((1, 1), (2, 1), (3, 1), (1, 2), (4, 1)):
        sender.resender.note(tag, count)
    sender.resender.close()
    assert {keys.parse_sent_key(message.key).tag for message in sender.session.published} == {3, 1, 4}


def test_each_tag_has_a_count_and_a_place_of_its_own(sender: Sender) -> None:
    other = KEY.replace("/17/", "/18/")
    sender.keep(1, 2)
    sender.keep(1, tag=18)
    until(lambda: sender.said() and sender.said(other), "it does not say both")
    assert (sender.said()[0], sender.said(other)[0]) == (2, 1)
    answers = sender.asked(encode(Wanted(counts=[(1, 9)], max_age_ms=1)), other)
    until(lambda: answers, "no answer came")
    assert [frame.header for frame in decode_resent(answers[0]).frames] == [header(1, 18)]


@pytest.mark.parametrize(
    "question",
    [
        b"",
        b"{",
        b"\xff",
        b'{"counts":[],"max_age_ms":1}',
        b'{"counts":[[0,1]],"max_age_ms":1}',
        b'{"counts":[[1,2]],"max_age_ms":-1}',
        encode({"counts": [[1, 2]] * 65, "max_age_ms": 1}),
    ],
)
def test_questions_that_make_no_sense_are_ignored(
    sender: Sender, question: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sender.keep(1)
    with caplog.at_level(logging.WARNING):
        answers = sender.asked(question)
        assert sender.answer((1, 1)) == ([b"1"], 1)
    assert answers == []
    assert "question for frames ignored: wanted message: " in caplog.text


def test_more_questions_than_it_remembers_are_not_answered(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "_MOST_QUESTIONS", 3)
    question = encode(Wanted(counts=[(1, 1)], max_age_ms=1))
    answers: list[bytes] = []
    is_answering, may_go_on = threading.Event(), threading.Event()

    def hold_up(_: bytes) -> None:
        is_answering.set()
        may_go_on.wait(10)

    sender.keep(1)
    sender.listens_at()
    sender.session.put_question(KEY, question, hold_up)
    assert is_answering.wait(10)
    for _ in range(10):
        sender.session.put_question(KEY, question, answers.append)
    may_go_on.set()
    until(lambda: len(answers) >= 3, "it did not go on")
    assert sender.answer((1, 1)) == ([b"1"], 1)
    assert len(answers) == 3


def test_whoever_asks_without_end_keeps_it_neither_from_its_work_nor_from_its_end(sender: Sender) -> None:
    question = encode(Wanted(counts=[(1, 9)], max_age_ms=1))
    sender.keep(1)
    sender.listens_at()
    ask = sender.session.answering[KEY]

    def ask_again(_: bytes) -> None:
        ask(KEY, question, ask_again)

    ask_again(b"")
    until(lambda: sender.said(), "it only answers")
    sender.keep(1, tag=18)
    sender.listens_at(KEY.replace("/17/", "/18/"))
    sender.resender.close()
    assert not sender.is_looked_after


def test_it_can_be_asked_where_its_connection_is(sender: Sender) -> None:
    sender.keep(1, 2)
    sender.listens_at()
    sender.zipper.move("line-2", [TAG], 6)
    moved = KEY.replace("line-1", "line-2")
    answers = sender.asked(encode(Wanted(counts=[(1, 2)], max_age_ms=1)), moved)
    until(lambda: answers, "no answer came")
    assert list(sender.session.answering) == [moved]
    until(lambda: sender.said(moved), "it says nothing there")


def test_a_function_says_so_in_its_key() -> None:
    zipper = MemoryZipper.observing()
    sender = Resender(zipper.connection, keys.SOURCE, "detect", SENDER, Lane.REPORTS, ManualClock())
    sender.keep([KeptFrame(TAG, 1, "cam", header(1), b"", 0)])
    sender.close()
    (message,) = zipper.session.published
    key = keys.parse_sent_key(message.key)
    assert (key.origin, key.by, key.sender) == (keys.SOURCE, "detect", SENDER)
    assert key.frame_key("door") == "nearfield/default/frames/17/line-1/door/detect"


# ---- its end


def test_on_its_end_it_says_how_much_there_was_and_answers_those_who_missed_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resender, "_LAST_QUESTION_S", 1.0)
    monkeypatch.setattr(resender, "_LAST_ANSWER_S", 0.0)  # the first answer is the last
    sender = Sender()
    sender.keep(1, 2)
    closing = threading.Thread(target=sender.resender.close)
    closing.start()
    until(lambda: sender.said() == [2], "it does not say how much there was")
    assert sender.answer((1, 2)) == ([b"1", b"2"], 2)
    closing.join(10)
    assert not closing.is_alive()
    assert (sender.is_looked_after, sender.session.answering) == (False, {})
    sender.keep(3)
    assert sender.said() == [2]


def test_it_waits_for_nobody_when_all_was_said_long_ago(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resender, "_LAST_QUESTION_S", 60.0)
    sender.keep(1)
    until(lambda: len(sender.said()) >= 3, "it says nothing")
    sender.resender.close()
    assert not sender.is_looked_after


def test_it_waits_for_nobody_when_its_zipper_is_gone(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resender, "_LAST_QUESTION_S", 60.0)
    monkeypatch.setattr(resender, "_MOST_ROUND_TRIP_S", 0.01)
    monkeypatch.setattr(sender.session, "ask_behind", lambda *_, **__: None)
    sender.keep(1)
    sender.resender.close()
    assert not sender.is_looked_after


def test_a_session_that_was_closed_before_ends_it(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise TransportError("the session is closed")

    sender.keep(1)
    sender.listens_at()
    monkeypatch.setattr(sender.session, "publish", refuse)
    until(lambda: not sender.is_looked_after, "it goes on")
    sender.keep(2)
    sender.resender.close()
