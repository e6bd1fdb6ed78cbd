"""Senders that keep what they sent, sinks that notice what they miss, and a bad line between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nearfield.errors import RemoteProtocolError
from nearfield.frame import FLAG_KEPT, Header, keys
from nearfield.frame.control import Wanted, decode, encode
from nearfield.frame.ranges import Range, RangeSet
from nearfield.frame.resent import Resent, ResentFrame, decode_resent, encode_resent
from nearfield.recovery import Arrival, KeptFrame
from nearfield.recovery.held import Held
from nearfield.recovery.kept import ANSWER_BYTES, FRAME_BYTES, Kept
from nearfield.recovery.missing import (
    MOST_QUESTIONS,
    MOST_WANTED,
    REMEMBERED_LOST,
    REMEMBERED_RECOVERED,
    Missing,
    Question,
)
from tests.doubles import MemoryPayload

NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}", fullmatch=True)
TAG = 17
PLACES = [keys.SentKey("default", TAG, "line-1", "cam", keys.SOURCE, sender) for sender in (1, 2)]
EVER = -(10**18)


def header_of(sender: int, count: int, tag: int = TAG) -> bytes:
    return Header(tag, 1, count, 0, 0, flags=FLAG_KEPT, sender=sender, count=count).encode()


# ---- a bad line


@dataclass
class Sender:
    """One of two, and what a naive observer knows of it.

    Attributes:
        kept: has room for few.
        published: so many.
        late: copies on the line, that others overtook or that were sent again.
        first: count that the sink noticed first.
        told: up to which count it knows that there are frames.
        passed: to the program, by themselves or because they were asked for.
    """

    place: keys.SentKey
    kept: Kept
    published: int = 0
    late: list[int] = field(default_factory=list)
    first: int = 0
    told: int = 0
    passed: Counter[int] = field(default_factory=Counter)
    sent: Counter[int] = field(default_factory=Counter)

    def expected(self) -> set[int]:
        """What was sent after the sink first heard of it, as far as the sink knows."""
        return set(range(self.first + 1, self.told + 1)) if self.first else set()


class BadLine(RuleBasedStateMachine):
    """Everything that may happen between two senders and a sink."""

    max_kept = 6
    are_there = False  # always, to be asked

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 0
        self.missing = Missing()
        self.senders = [Sender(place, Kept(max_frames=self.max_kept)) for place in PLACES]
        self.question: Question | None = None
        self.recovered = 0

    which = st.integers(0, 1)

    @rule(which=which, fates=st.lists(st.sampled_from(["comes", "is lost", "is late"]), min_size=1, max_size=6))
    def publish(self, which: int, fates: list[str]) -> None:
        sender = self.senders[which]
        for fate in fates:
            sender.published += 1
            header = header_of(sender.place.sender, sender.published)
            sender.kept.add(KeptFrame(TAG, sender.published, "cam", header, b"", self.now_ns))
            sender.sent[sender.published] += 1
            if fate == "comes":
                self._arrive(sender, sender.published)
            elif fate == "is late":
                sender.late.append(sender.published)

    @rule(which=which, data=st.data())
    def send_again(self, which: int, data: st.DataObject) -> None:
        sender = self.senders[which]
        if sender.published:
            count = data.draw(st.integers(1, sender.published))
            sender.late.append(count)
            sender.sent[count] += 1

    @precondition(lambda self: any(sender.late for sender in self.senders))
    @rule(data=st.data())
    def deliver_late(self, data: st.DataObject) -> None:
        sender = data.draw(st.sampled_from([sender for sender in self.senders if sender.late]))
        self._arrive(sender, sender.late.pop(data.draw(st.integers(0, len(sender.late) - 1))))

    @rule(which=which)
    def announce(self, which: int) -> None:
        sender = self.senders[which]
        if sender.published:
            self.missing.learn(sender.place, sender.published, self.now_ns, is_kept=True)
            sender.first = sender.first or sender.published
            sender.told = max(sender.told, sender.published)

    @rule(milliseconds=st.sampled_from([1, 20, 300, 5_000]))
    def wait(self, milliseconds: int) -> None:
        self.now_ns += milliseconds * 1_000_000

    @precondition(lambda self: self.question is None)
    @rule(waits=st.booleans())
    def ask(self, waits: bool) -> None:
        due_ns = self.missing.due_ns
        if waits and due_ns is not None:
            self.now_ns = max(self.now_ns, due_ns)
        self.question = self.missing.question(self.now_ns)
        assert (self.question is not None) == (due_ns is not None and due_ns <= self.now_ns)

    @precondition(lambda self: self.question is not None)
    @rule(comes=st.booleans())
    def answer(self, comes: bool) -> None:
        question, self.question = self.question, None
        assert question is not None
        assert question.counts == sorted(question.counts)
        if not comes and not self.are_there:
            self.missing.unanswered(question, self.now_ns)
            return
        sender = self.senders[PLACES.index(question.place)]
        frames, through = sender.kept.find(TAG, question.counts, EVER)
        came = self.missing.answered(question, through, [frame.count for frame in frames], self.now_ns)
        assert came == sorted(came)
        sender.passed.update(came)
        self.recovered += len(came)

    @precondition(lambda self: not self.are_there)
    @rule()
    def senders_are_gone_for_a_while(self) -> None:
        for _ in range(2 * MOST_QUESTIONS + 1):
            if self.question is None:
                self.ask(True)
            if self.question is not None:
                self.answer(False)
        assert not self.missing.has_questions

    def teardown(self) -> None:
        """In the end nothing is open."""
        for which, sender in enumerate(self.senders):
            if sender.first:
                self.announce(which)
        self.settle()
        heard = {who[0]: each for who, each in self.missing._heard.items()}
        lost = 0
        for sender in self.senders:
            if sender.first:
                never = sender.expected() - set(sender.passed)
                assert never == set(heard[sender.place.sender].lost)
                lost += len(never)
        assert (self.missing.lost, self.missing.recovered) == (lost, self.recovered)

    def settle(self) -> None:
        for _ in range(500):
            if self.question is not None:
                self.answer(True)
            elif self.missing.due_ns is None:
                break
            else:
                self.ask(True)
        assert not self.missing.has_questions

    @invariant()
    def nothing_comes_twice_that_was_sent_once(self) -> None:
        for sender in self.senders:
            assert all(times <= sender.sent[count] for count, times in sender.passed.items())

    @invariant()
    def memory_is_bounded_and_each_frame_is_in_one_state(self) -> None:
        heard = self.missing._heard.values()
        assert sum(len(each.wanted) for each in heard) <= MOST_WANTED
        for each in heard:
            assert len(each.lost) <= REMEMBERED_LOST
            assert len(each.recovered) <= REMEMBERED_RECOVERED
            assert not each.wanted.keys() & each.lost.keys()
            assert not each.recovered.keys() & (each.wanted.keys() | each.lost.keys())
            assert all(count <= each.highest for count in (*each.wanted, *each.lost, *each.recovered))

    @invariant()
    def what_is_wanted_will_be_asked_for(self) -> None:
        for who, each in self.missing._heard.items():
            is_asked = self.question is not None and self.question.place.sender == who[0]
            assert (who in self.missing._asking) == (bool(each.wanted) or is_asked)
            assert (each.due_ns is not None) == (bool(each.wanted) and not is_asked)
        if self.missing.due_ns is None:
            assert self.missing.has_questions == (self.question is not None)

    @invariant()
    def counters_agree(self) -> None:
        assert self.missing.lost == sum(len(each.lost) for each in self.missing._heard.values())
        assert self.missing.recovered == self.recovered

    def _arrive(self, sender: Sender, count: int) -> None:
        key = keys.frame("default", TAG, "line-1", "cam")
        if self.missing.note(key, (TAG, FLAG_KEPT, sender.place.sender, count), self.now_ns):
            sender.passed[count] += 1
        sender.first = sender.first or count
        sender.told = max(sender.told, count)


class GoodSenders(BadLine):
    """Whatever the line does: senders that keep all and are there in the end leave nothing lost."""

    max_kept = 10_000
    are_there = True

    def teardown(self) -> None:
        super().teardown()
        assert self.missing.lost == 0
        for sender in self.senders:
            assert not sender.first or set(range(sender.first + 1, sender.published + 1)) <= sender.passed.keys()


TestBadLine = BadLine.TestCase
TestBadLine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestGoodSenders = GoodSenders.TestCase
TestGoodSenders.settings = TestBadLine.settings


# ---- what is kept


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 900), st.integers(0, 40)), max_size=40),
    numbers=st.lists(st.integers(1, 45), min_size=1),
    since_ns=st.integers(-100, 900),
)
def test_what_is_kept_is_what_a_list_would_hold(
    steps: list[tuple[int, int, int]], numbers: list[int], since_ns: int
) -> None:
    """Tag, size and how long after the one before, for each frame."""
    kept, naive = Kept(max_frames=12, max_bytes=10 * FRAME_BYTES, keep_ns=300), list[KeptFrame]()
    counts: Counter[int] = Counter()
    now_ns = 0
    for tag, size, passed_ns in steps:
        now_ns += passed_ns
        counts[tag] += 1
        frame = KeptFrame(tag, counts[tag], "cam", b"", bytes(size), now_ns)
        kept.add(frame)
        naive.append(frame)
        while len(naive) > 12 or (len(naive) > 1 and sum(FRAME_BYTES + len(each.payload) for each in naive) > 5_120):
            del naive[0]
        kept.expire(now_ns)
        naive = [each for each in naive if now_ns - each.published_ns <= 300]
        assert len(kept) == len(naive)
        assert {each.tag: each for each in naive} == {each.tag: each for each in kept.latest()}
    ranges = ranges_of(numbers)
    for tag in range(3):
        found, through = kept.find(tag, ranges, since_ns)
        assert through == ranges[-1][1]
        assert found == [
            each for each in naive if each.tag == tag and each.count in numbers and each.published_ns >= since_ns
        ]


def ranges_of(numbers: list[int]) -> list[Range]:
    ranges = RangeSet()
    for number in numbers:
        ranges.add(number)
    return ranges.ranges()


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.integers(0, ANSWER_BYTES), min_size=1, max_size=20),
    numbers=st.lists(st.integers(1, 25), min_size=1),
)
def test_whoever_asks_for_the_rest_gets_all_in_answers_that_fit(sizes: list[int], numbers: list[int]) -> None:
    kept = Kept()
    zeros = bytes(ANSWER_BYTES)
    for count, size in enumerate(sizes, 1):
        kept.add(KeptFrame(TAG, count, "cam", b"", zeros[:size], 0))
    wanted, got = ranges_of(numbers), list[int]()
    while wanted:
        found, through = kept.find(TAG, wanted, EVER)
        assert len(found) <= 1 or sum(FRAME_BYTES + len(frame.payload) for frame in found) <= ANSWER_BYTES
        got.extend(frame.count for frame in found)
        wanted = [(max(first, through + 1), last) for first, last in wanted if last > through]
    assert got == sorted(count for count in set(numbers) if count <= len(sizes))


@given(st.permutations(range(1, 15)), st.permutations(range(1, 15)))
def test_whatever_the_order_each_frame_is_kept_once(first: list[int], again: list[int]) -> None:
    kept = Kept()
    for count in (*first, *again):
        kept.add(KeptFrame(TAG, count, "cam", b"", b"", 0))
    assert [frame.count for frame in kept.find(TAG, [(1, 99)], EVER)[0]] == list(range(1, 15))
    kept.expire(10**12)
    assert (len(kept), kept.latest()) == (0, [])


# ---- what is held


@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 30)))),
        max_size=12,
    )
)
def test_held_frames_leave_ascending_by_sender_and_tag_however_they_came(
    steps: list[tuple[bool, list[tuple[int, int, int]]]],
) -> None:
    held, came = Held(), Counter[tuple[int, int, int]]()
    for is_recovered, frames in steps:
        (held.insert if is_recovered else held.add)([arrival(*frame) for frame in frames])
        came.update(frames)
        assert len(held) == came.total()
    left = [named(arrival) for arrival in held.take()]
    assert Counter(left) == came
    for tag, sender in {(tag, sender) for tag, sender, _ in left}:
        counts = [count for *who, count in left if who == [tag, sender]]
        assert counts == sorted(counts)


def arrival(tag: int, sender: int, count: int) -> Arrival:
    return f"{tag}/{sender}/{count}", MemoryPayload(b""), header_of(sender, count, tag)


def named(arrival: Arrival) -> tuple[int, int, int]:
    tag, sender, count = map(int, arrival[0].split("/"))
    return tag, sender, count


# ---- what travels


FRAMES = st.lists(
    st.builds(ResentFrame, st.text("ab.-", max_size=64), st.binary(max_size=64), st.binary(max_size=40)), max_size=5
)


@given(st.integers(0, 2**32 - 1), FRAMES)
def test_an_answer_is_read_back_as_it_was_written(through: int, frames: list[ResentFrame]) -> None:
    resent = Resent(through=through, frames=frames)
    assert decode_resent(encode_resent(resent)) == resent


@given(st.binary(max_size=80))
@example(b"\x91" * 100_000)
@example(b"\x82\xa7through\x01\xa6frames\xdd\xff\xff\xff\xff")
def test_any_bytes_are_an_answer_or_refused_by_name(data: bytes) -> None:
    try:
        resent = decode_resent(data)
    except RemoteProtocolError as error:
        assert str(error).startswith("resent message: ")
    else:
        assert decode_resent(encode_resent(resent)) == resent


@given(FRAMES, st.integers(0, 200), st.integers(0, 200), st.binary(max_size=4))
def test_a_damaged_answer_is_an_answer_or_refused_by_name(
    frames: list[ResentFrame], begin: int, end: int, instead: bytes
) -> None:
    data = encode_resent(Resent(through=7, frames=frames))
    try:
        resent = decode_resent(data[:begin] + instead + data[end:])
    except RemoteProtocolError as error:
        assert str(error).startswith("resent message: ")
    else:
        assert 0 <= resent.through < 2**32


@given(NAMES, st.integers(0, 2**32 - 1), NAMES, NAMES, st.booleans(), st.integers(0, 2**32 - 1))
def test_sent_key_is_read_back_and_leads_to_the_frames(
    namespace: str, tag: int, zipper: str, name: str, is_source: bool, sender: int
) -> None:
    origin, by = (name, keys.SOURCE) if is_source else (keys.SOURCE, name)
    key = keys.SentKey(namespace, tag, zipper, origin, by, sender)
    assert keys.parse_sent_key(str(key)) == key
    assert keys.sent_key_of(key.frame_key("door"), sender) == key
    assert keys.parse_frame_key(key.frame_key("door")).origin == (name if is_source else "door")


SEGMENTS = NAMES | st.sampled_from(["*", "**", "$*", "", "-", "sent", "nearfield", "16", "01", "9" * 11])


@given(
    st.text(max_size=80)
    | st.lists(SEGMENTS, max_size=9).map("/".join)
    | st.lists(SEGMENTS, min_size=6, max_size=6).map(
        lambda parts: "/".join(["nearfield", parts[0], "sent", *parts[1:]])
    )
)
@example("nearfield/default/sent/" + "9" * 5000 + "/z/o/-/1")
@example("nearfield/default/sent/1/z/o/-/" + "9" * 5000)
@example("nearfield/default/sent/1/z/-/-/1")
@example("nearfield/default/sent/1/z/o/f/1")
def test_any_text_is_a_sent_key_or_refused_by_name(text: str) -> None:
    try:
        key = keys.parse_sent_key(text)
    except RemoteProtocolError as error:
        assert str(error).startswith("key: got ")
        assert len(str(error)) < 400
    else:
        assert str(key) == text


@given(
    st.binary(max_size=60)
    | st.lists(st.lists(st.integers(-1, 2**33), max_size=3)).map(lambda c: encode({"counts": c, "max_age_ms": 1}))
)
def test_any_bytes_are_a_question_or_refused_by_name(data: bytes) -> None:
    try:
        wanted = decode(Wanted, data)
    except RemoteProtocolError as error:
        assert str(error).startswith("wanted message: ")
    else:
        assert 1 <= len(wanted.counts) <= 64
        kept = Kept()
        for count in range(1, 6):
            kept.add(KeptFrame(TAG, count, "cam", b"", b"", 0))
        found, _ = kept.find(TAG, wanted.counts, EVER)
        assert len({frame.count for frame in found}) == len(found)
