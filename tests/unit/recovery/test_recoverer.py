"""A sink's side, on a session in memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from nearfield.errors import TransportError
from nearfield.frame import FLAG_EMITTED, FLAG_IN_ORDER, FLAG_KEPT, Header, keys
from nearfield.frame.control import SentSoFar, Wanted, decode, encode
from nearfield.frame.resent import Resent, ResentFrame, encode_resent
from nearfield.recovery import Arrival, Recoverer, missing, recoverer
from tests.doubles import MemoryPayload, MemoryZipper

TAG, SENDER = 17, 7
KEY = keys.frame("default", TAG, "line-1", "cam", "track")
PLACE = f"nearfield/default/sent/{TAG}/line-1/-/track/{SENDER}"
IN_ORDER = FLAG_KEPT | FLAG_IN_ORDER
EVER_NS = 10**12


def until(holds: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < give_up_at, what
        time.sleep(0.002)


def header(count: int, *, flags: int = FLAG_KEPT, sender: int = SENDER, tag: int = TAG) -> bytes:
    return Header(tag, 1, count, 0, 0, flags=flags | FLAG_EMITTED, sender=sender, count=count).encode()


class Receiver:
    """What a sink does with what comes: the program is to have it in this order."""

    def __init__(self, tags: Sequence[int] | None = (TAG,)) -> None:
        self.zipper = MemoryZipper.observing()
        self.session = self.zipper.session
        self.got: list[int] = []
        self.late: list[Arrival] = []
        self.is_passing_on = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.recoverer = Recoverer(self.zipper.connection, tags, self._on_late)
        self._lock = threading.Lock()

    def come(self, *counts: int, flags: int = FLAG_KEPT, sender: int = SENDER) -> None:
        messages = [(MemoryPayload(b"%d" % count), header(count, flags=flags, sender=sender)) for count in counts]
        new = self.recoverer.note(KEY, messages)
        with self._lock:
            self.got.extend(int(payload.to_bytes()) for payload, _ in new)

    def keeps(self, *counts: int, flags: int = FLAG_KEPT, through: int = 2**32 - 1) -> None:
        """What the sender answers from now on: as much of it as was asked for."""

        def answer(question: bytes) -> bytes:
            wanted = decode(Wanted, question).counts
            frames = [
                ResentFrame("cam", header(count, flags=flags), b"%d" % count)
                for count in counts
                if any(first <= count <= last for first, last in wanted)
            ]
            return encode_resent(Resent(through=through, frames=frames))

        self.session.answers[PLACE] = answer

    def is_told(self, count: int, place: str = PLACE) -> None:
        self.session.deliver(place, encode(SentSoFar(count=count, kept=True)))

    def asked(self) -> list[list[tuple[int, int]]]:
        return [decode(Wanted, question).counts for key, question in self.session.questions if "/sent/" in key]

    def _on_late(self, arrivals: Sequence[Arrival]) -> None:
        self.is_passing_on.set()
        assert self.may_go_on.wait(10)
        with self._lock:
            self.late.extend(arrivals)
            self.got.extend(int(payload.to_bytes()) for _, payload, _ in arrivals)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(missing, "ASK_AGAIN_AFTER_NS", 2_000_000)
    receiver = Receiver()
    yield receiver
    receiver.may_go_on.set()
    receiver.recoverer.close()
    thread = receiver.recoverer._thread
    assert thread is None or not thread.is_alive()
    assert receiver.recoverer.held == 0
    assert not [key for key, _ in receiver.session.subscriptions if "/sent/" in key]


def test_a_sink_that_misses_nothing_has_no_thread(receiver: Receiver) -> None:
    receiver.come(1, 2, 3)
    receiver.is_told(3)
    receiver.recoverer.close()
    receiver.recoverer.close()
    assert (receiver.recoverer._thread, receiver.got) == (None, [1, 2, 3])


def test_asking_takes_no_more_than_half_of_a_slow_line(receiver: Receiver) -> None:
    answer_s = 0.05

    def slowly(question: bytes) -> bytes:
        # One frame in each answer.
        wanted = decode(Wanted, question).counts
        time.sleep(answer_s)
        receiver.keeps(wanted[0][0], through=wanted[0][0])
        answered: bytes = receiver.session.answers[PLACE](question)
        receiver.session.answers[PLACE] = slowly
        return answered

    receiver.session.answers[PLACE] = slowly
    began = time.monotonic()
    receiver.come(1, 7)
    until(lambda: len(receiver.got) == 7, "not everything came")
    assert time.monotonic() - began >= (5 + 4) * answer_s
    assert receiver.got == [1, 7, 2, 3, 4, 5, 6]


def test_what_was_lost_comes_late_and_as_it_was_sent(receiver: Receiver) -> None:
    receiver.keeps(2, 3)
    receiver.come(1, 4, 5)
    until(lambda: len(receiver.got) == 5, "nothing came")
    assert receiver.got == [1, 4, 5, 2, 3]
    assert [(key, payload.to_bytes(), attachment) for key, payload, attachment in receiver.late] == [
        (KEY, b"2", header(2)),
        (KEY, b"3", header(3)),
    ]
    assert receiver.asked() == [[(2, 3)]]
    assert (receiver.recoverer.recovered, receiver.recoverer.lost) == (2, 0)


def test_the_loss_of_the_latest_is_noticed_when_the_sender_says_how_many_there_are(receiver: Receiver) -> None:
    receiver.keeps(2, 3)
    receiver.come(1)
    receiver.is_told(3)
    until(lambda: receiver.got == [1, 2, 3], "nothing came")


def test_first_contact_asks_for_what_was_sent_since_the_sink_listens(receiver: Receiver) -> None:
    receiver.keeps(2)
    receiver.come(3)
    until(lambda: receiver.got == [3, 2], "nothing came")
    (_, question), *_ = receiver.session.questions
    assert 0 <= decode(Wanted, question).max_age_ms < 60_000
    assert receiver.recoverer.lost == 0


def test_what_nobody_sends_again_is_lost_after_so_many_questions(receiver: Receiver) -> None:
    receiver.come(1, 4)
    until(lambda: receiver.recoverer.lost == 2, "it does not give up")
    assert receiver.asked() == [[(2, 3)]] * missing.MOST_QUESTIONS
    receiver.come(2)
    assert (receiver.recoverer.lost, receiver.recoverer.recovered) == (1, 0)


def test_a_late_original_is_left_out_and_counted(receiver: Receiver) -> None:
    receiver.keeps(2)
    receiver.come(1, 3)
    until(lambda: receiver.got == [1, 3, 2], "nothing came")
    receiver.come(2, 4)
    assert (receiver.got, receiver.recoverer.repeated) == ([1, 3, 2, 4], 1)


def answer_of(*frames: tuple[str, bytes], through: int = 9) -> bytes:
    return encode_resent(
        Resent(through=through, frames=[ResentFrame(origin, header, b"2") for origin, header in frames])
    )


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x80",
        b"\xc1",
        answer_of(("cam", header(2)))[:-1],
        answer_of(("x" * 65, header(2))),
        answer_of(("cam", header(2)), through=2**32),
    ],
)
def test_answers_that_make_no_sense_are_none(
    receiver: Receiver, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.session.answers[PLACE] = answer
    with caplog.at_level(logging.WARNING):
        receiver.come(1, 3)
        until(lambda: receiver.recoverer.lost == 1, "it does not give up")
    assert len(receiver.asked()) == missing.MOST_QUESTIONS
    assert receiver.got == [1, 3]
    assert "answer of a sender ignored: resent message: " in caplog.text


@pytest.mark.parametrize(
    "wrong", [header(2, tag=TAG + 1), header(2, sender=SENDER + 1), header(9), header(0), b"", header(2)[:-1]]
)
def test_frames_that_nobody_asked_for_are_left_out_of_an_answer(receiver: Receiver, wrong: bytes) -> None:
    receiver.session.answers[PLACE] = answer_of(("cam", wrong))
    receiver.come(1, 3)
    until(lambda: receiver.recoverer.lost == 1, "it does not give up")
    assert (receiver.got, receiver.recoverer.recovered) == ([1, 3], 0)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (PLACE, b""),
        (PLACE, b'{"count":0}'),
        (PLACE, b'{"count":4294967296}'),
        (PLACE.replace("/-/track", "/cam/track"), b'{"count":9}'),
        (PLACE.replace("line-1", "$*"), b'{"count":9}'),
    ],
)
def test_counts_that_make_no_sense_are_ignored(
    receiver: Receiver, key: str, message: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        receiver.session.deliver(key, message)
    assert "malformed message ignored: " in caplog.text
    assert receiver.recoverer._thread is None


def test_only_senders_of_its_tags_are_heard_or_all_of_them() -> None:
    for tags, hears in (([TAG], False), (None, True)):
        receiver = Receiver(tags)
        receiver.is_told(1, PLACE.replace("/17/", "/18/"))
        assert (receiver.recoverer._thread is not None) == hears
        receiver.recoverer.close()


def test_a_closed_session_ends_it_and_nothing_waits(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> bytes:
        raise TransportError("the session is closed")

    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    monkeypatch.setattr(receiver.session, "ask", refuse)
    receiver.come(1, 3, flags=IN_ORDER)
    until(lambda: receiver.got == [1, 3], "they wait for ever")
    receiver.come(5, flags=IN_ORDER)
    assert receiver.got == [1, 3, 5]


def test_nothing_waits_once_it_is_closed(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    receiver.come(1, 3, flags=IN_ORDER)
    assert receiver.recoverer.held == 2
    receiver.recoverer.close()
    receiver.come(5, flags=IN_ORDER)
    assert receiver.got == [1, 3, 5]


# ---- in order


def test_frames_that_are_to_be_in_order_wait_for_those_that_are_missing(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    receiver.come(1, flags=IN_ORDER)
    receiver.come(4, flags=IN_ORDER)
    receiver.come(5, 7, flags=IN_ORDER)
    assert (receiver.got, receiver.recoverer.held) == ([1], 3)
    receiver.keeps(2, 3, 6, flags=IN_ORDER)
    until(lambda: len(receiver.got) == 7, "they wait still")
    assert receiver.got == [1, 2, 3, 4, 5, 6, 7]
    receiver.come(8, flags=IN_ORDER)
    assert (receiver.got[-1], receiver.recoverer.held, receiver.recoverer.lost) == (8, 0, 0)


def test_frames_whose_order_does_not_matter_do_not_wait(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    receiver.come(1, 3, flags=IN_ORDER)
    receiver.come(100, 102, sender=8)
    assert (receiver.got, receiver.recoverer.held) == ([100, 102], 2)


def test_after_so_long_nothing_waits_any_more_although_some_are_missing_still(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", 100_000_000)
    monkeypatch.setattr(missing, "ASK_AGAIN_AFTER_NS", EVER_NS)
    receiver.come(1, flags=IN_ORDER)
    receiver.is_told(2)
    until(receiver.asked, "it does not ask")
    receiver.come(3, flags=IN_ORDER)
    until(lambda: receiver.got == [1, 3], "they wait still")
    receiver.come(5, flags=IN_ORDER)
    assert receiver.got == [1, 3, 5]
    assert receiver.recoverer.lost == 0


def test_frames_wait_for_a_later_gap_after_one_that_closed_by_itself(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", 50_000_000)
    monkeypatch.setattr(missing, "ASK_AGAIN_AFTER_NS", EVER_NS)
    receiver.come(1, 3)
    receiver.come(2)
    over_at = time.monotonic() + 0.06
    until(lambda: time.monotonic() > over_at, "time stands still")
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    receiver.come(4, 6, flags=IN_ORDER)
    assert receiver.recoverer.held == 2
    receiver.come(5, flags=IN_ORDER)
    until(lambda: len(receiver.got) == 6, "they wait still")
    assert receiver.got == [1, 3, 2, 4, 5, 6]


def test_a_late_original_takes_its_place_among_those_that_wait(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    monkeypatch.setattr(missing, "ASK_AFTER_NS", EVER_NS)
    receiver.come(1, 4, flags=IN_ORDER)
    receiver.come(3, flags=IN_ORDER)
    receiver.come(2, flags=IN_ORDER)
    until(lambda: len(receiver.got) == 4, "they wait for nothing")
    assert receiver.got == [1, 2, 3, 4]


def test_frames_do_not_overtake_those_that_are_passed_on_meanwhile(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    receiver.may_go_on.clear()
    receiver.keeps(2, 5, flags=IN_ORDER)
    receiver.come(1, 3, flags=IN_ORDER)
    assert receiver.is_passing_on.wait(10)
    receiver.come(4, flags=IN_ORDER)
    receiver.come(6, flags=IN_ORDER)
    assert receiver.got == []
    receiver.may_go_on.set()
    until(lambda: len(receiver.got) == 6, "some are stuck")
    assert receiver.got == [1, 2, 3, 4, 5, 6]


def test_a_frame_that_comes_with_the_answer_does_not_overtake_it(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits while the sender is silent; what follows comes just before the recovered one is passed on."""
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    receiver.may_go_on.clear()
    receiver.come(1, flags=IN_ORDER)
    receiver.keeps(2, flags=IN_ORDER)
    receiver.is_told(2)
    assert receiver.is_passing_on.wait(10)
    receiver.come(3, flags=IN_ORDER)
    receiver.may_go_on.set()
    until(lambda: len(receiver.got) == 3, "some are stuck")
    assert receiver.got == [1, 2, 3]


def test_more_than_a_sink_can_hold_waits_for_nothing(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    monkeypatch.setattr(recoverer, "MOST_HELD", 4)
    monkeypatch.setattr(missing, "ASK_AGAIN_AFTER_NS", EVER_NS)
    receiver.come(1, 3, 4, 5, flags=IN_ORDER)
    assert receiver.recoverer.held == 4
    receiver.come(6, flags=IN_ORDER)
    until(lambda: receiver.got == [1, 3, 4, 5, 6], "they wait still")
    receiver.come(7, flags=IN_ORDER)
    until(lambda: receiver.got[-1] == 7, "it waits still")


def test_under_traffic_from_several_threads_everything_comes_once_and_each_sender_in_order(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recoverer, "HOLD_NS", EVER_NS)
    monkeypatch.setattr(missing, "ASK_AFTER_NS", 1_000_000)
    receiver.keeps(*range(1, 2_001), flags=IN_ORDER)
    for first in range(1, 2_001, 5):
        receiver.come(*(count for count in range(first, first + 5) if count % 7), flags=IN_ORDER)
        if first % 50 == 1:
            time.sleep(0.001)
    until(lambda: len(receiver.got) == 2_000, "some are stuck")
    assert receiver.got == list(range(1, 2_001))
    assert (receiver.recoverer.recovered, receiver.recoverer.lost) == (2_000 // 7, 0)
