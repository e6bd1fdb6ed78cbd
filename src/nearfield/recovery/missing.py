"""Which frames were sent and did not arrive, and which of them to ask for. Pure; the caller locks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from nearfield.errors import RemoteProtocolError
from nearfield.frame.control import MAX_WANTED_RANGES
from nearfield.frame.header import FLAG_KEPT, Counted
from nearfield.frame.keys import SOURCE, FrameKey, SentKey, parse_frame_key, sent_key_of
from nearfield.frame.ranges import Range, within

# Senders and tags that are remembered, and numbers of each: of those that were lost and of those that were asked for,
# both of which may come late still.
REMEMBERED_SENDERS = 4_096
REMEMBERED_LOST = 128
REMEMBERED_RECOVERED = 1_024
# To ask for, of all senders together.
MOST_WANTED = 16_384
# Before the first frame that came there may be some that did not: those that were sent since the sink listens.
MOST_EARLIER = 1_024

# What is lost is lost together. Who says how much there was has sent all of it before, but by another subscription.
ASK_AFTER_NS = 20_000_000
ASK_AFTER_SAID_NS = 5_000_000
# Without an answer, each wait is twice as long as the one before: 8 s in all, after which a cut connection is back.
ASK_AGAIN_AFTER_NS = 250_000_000
MOST_QUESTIONS = 6


_Who = tuple[int, int, str, str]
"""Sender, tag, and origin and function as in `SentKey`: whoever may publish under other names than a sender must not
pass for it."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask a sender for.

    Attributes:
        place: where.
        counts: ascending ranges.
    """

    place: SentKey
    counts: list[Range]


@dataclass(slots=True)
class _Heard:
    """What is known of the frames with one tag of one sender.

    Attributes:
        highest: count of all that are known to exist.
        place: where to ask for those that are kept.
        wanted: those to ask for: whether each is known to be meant for this sink.
        lost: those that will not be asked for any more.
        recovered: those that came because they were asked for.
        due_ns: when to ask next; None: nothing is wanted, or a question is under way.
        unanswered: questions in a row.
    """

    highest: int
    place: SentKey | None = None
    wanted: dict[int, bool] = field(default_factory=dict)
    lost: dict[int, None] = field(default_factory=dict)
    recovered: dict[int, None] = field(default_factory=dict)
    due_ns: int | None = None
    unanswered: int = 0


class Missing:
    """Looks for gaps in the numbers that senders give the frames of each tag.

    What was sent before the first frame that came is none of ours, unless its sender says that it was sent later than
    we listen. A frame that comes late, or that is sent again, is not missing any more.

    Attributes:
        lost: frames that were sent, have not come, and will not be asked for any more.
        recovered: frames that came because they were asked for.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.recovered = 0
        # Whoever was silent for longest is the first.
        self._heard: OrderedDict[_Who, _Heard] = OrderedDict()
        # Those of them with something to ask for, or with a question under way.
        self._asking: OrderedDict[_Who, _Heard] = OrderedDict()
        # Most frames come behind another of their sender.
        self._latest: tuple[str, int, int, _Heard] | None = None

    def note(self, key: str, counted: Counted, now_ns: int) -> bool:
        """A frame came. False: it had come before, because it was asked for."""
        tag, flags, sender, count = counted
        if (latest := self._latest) is not None:
            latest_key, latest_tag, latest_sender, heard = latest
            if (
                count == heard.highest + 1
                and (sender, tag, key) == (latest_sender, latest_tag, latest_key)
                and not heard.wanted
            ):
                heard.highest = count
                return True
        return self._note_any(key, tag, flags, sender, count, now_ns)

    def _note_any(self, key: str, tag: int, flags: int, sender: int, count: int, now_ns: int) -> bool:
        if not count:
            return True
        try:
            of = parse_frame_key(key)
        except RemoteProtocolError:  # malformed, which is counted elsewhere
            return True
        if of.tag != tag:
            return True
        who = _who(of, sender)
        heard = self._heard.get(who)
        self._latest = None if heard is None else (key, tag, sender, heard)
        if heard is None:
            self._meet(who, count)
            if flags & FLAG_KEPT and count > 1:
                due_ns = now_ns + ASK_AFTER_NS
                self._want(who, sent_key_of(key, sender), range(1, count)[-MOST_EARLIER:], due_ns, is_ours=False)
            return True
        self._heard.move_to_end(who)
        if count == heard.highest + 1:
            heard.highest = count
        elif count > heard.highest:
            gap = range(heard.highest + 1, count)
            heard.highest = count
            if flags & FLAG_KEPT:
                self._want(who, sent_key_of(key, sender), gap, now_ns + ASK_AFTER_NS, is_ours=True)
            else:
                self._lose(heard, gap)
        elif heard.highest - count > 1 << 31:
            heard.highest = count  # it began anew after 2**32 - 1
        elif count in heard.recovered:
            return False
        elif heard.wanted.pop(count, None) is not None:
            if not heard.wanted and heard.due_ns is not None:
                self._rest(who, heard)
        elif count in heard.lost:
            del heard.lost[count]
            self.lost -= 1
        if heard.wanted and flags & FLAG_KEPT:
            self._find_at(heard, sent_key_of(key, sender), now_ns)
        return True

    def learn(self, place: SentKey, count: int, now_ns: int, *, is_kept: bool) -> None:
        """A sender says that it has published as many with this tag, and whether it can be asked for them."""
        who, due_ns = _who_at(place), now_ns + ASK_AFTER_SAID_NS
        heard = self._heard.get(who)
        if heard is None:
            self._meet(who, count)
            if is_kept:
                self._want(who, place, range(1, count + 1)[-MOST_EARLIER:], due_ns, is_ours=False)
            return
        self._heard.move_to_end(who)
        if heard.highest < count:
            gap = range(heard.highest + 1, count + 1)
            heard.highest = count
            if is_kept:
                self._want(who, place, gap, due_ns, is_ours=True)
            else:
                self._lose(heard, gap)
        if heard.wanted:
            self._find_at(heard, place, now_ns)

    @property
    def has_questions(self) -> bool:
        """Whether there is something to ask, now or later."""
        return bool(self._asking)

    @property
    def due_ns(self) -> int | None:
        """When there is something to ask, monotonic; None: there is nothing."""
        return min((heard.due_ns for heard in self._asking.values() if heard.due_ns is not None), default=None)

    def question(self, now_ns: int) -> Question | None:
        """What to ask now. `answered` or `unanswered` is to be called next for it."""
        for who, heard in self._asking.items():
            if heard.due_ns is not None and heard.due_ns <= now_ns:
                assert heard.place is not None
                heard.due_ns = None
                self._asking.move_to_end(who)
                return Question(heard.place, _ranges(heard.wanted))
        return None

    def answered(self, question: Question, through: int, counts: Iterable[int], now_ns: int) -> list[int]:
        """The sender sent `counts`, and has no others that were asked for up to `through`.

        Returns:
            Those that did not come meanwhile.
        """
        heard = self._asking.get(_who_at(question.place))
        if heard is None:  # forgotten meanwhile
            return []
        came = [count for count in counts if heard.wanted.pop(count, None) is not None]
        heard.recovered.update(dict.fromkeys(came))
        self.recovered += len(came)
        _trim(heard.recovered, REMEMBERED_RECOVERED)
        self._give_up(heard, [count for count in within(list(heard.wanted), question.counts) if count <= through])
        if not came and through < question.counts[0][0]:  # asked for the same at once, it would say so without end
            self.unanswered(question, now_ns)
        else:
            heard.unanswered = 0
            self._go_on(question, heard, now_ns)
        return came

    def unanswered(self, question: Question, now_ns: int) -> None:
        """No answer came."""
        heard = self._asking.get(_who_at(question.place))
        if heard is None:
            return
        heard.unanswered += 1
        if heard.unanswered >= MOST_QUESTIONS:
            self._give_up(heard, list(heard.wanted))
            heard.unanswered = 0
        self._go_on(question, heard, now_ns + (ASK_AGAIN_AFTER_NS << max(0, heard.unanswered - 1)))

    def _go_on(self, question: Question, heard: _Heard, due_ns: int) -> None:
        if heard.wanted:
            heard.due_ns = due_ns
        else:
            self._rest(_who_at(question.place), heard)

    def _rest(self, who: _Who, heard: _Heard) -> None:
        """Nothing is wanted, and no question is under way."""
        heard.due_ns, heard.unanswered = None, 0
        del self._asking[who]

    def _meet(self, who: _Who, count: int) -> None:
        self._heard[who] = _Heard(count)
        if len(self._heard) > REMEMBERED_SENDERS:
            forgotten, its = self._heard.popitem(last=False)
            self._latest = None
            self._give_up(its, list(its.wanted))
            self._asking.pop(forgotten, None)

    def _want(self, who: _Who, place: SentKey, counts: Sequence[int], due_ns: int, *, is_ours: bool) -> None:
        heard = self._heard[who]
        room = MOST_WANTED - sum(len(each.wanted) for each in self._asking.values())
        too_many = max(0, len(counts) - room)
        if is_ours:
            self._lose(heard, counts[:too_many])
        heard.wanted.update(dict.fromkeys(counts[too_many:], is_ours))
        if heard.wanted and who not in self._asking:
            self._asking[who] = heard
            heard.place, heard.due_ns = place, due_ns

    def _find_at(self, heard: _Heard, place: SentKey, now_ns: int) -> None:
        """It publishes there now, and so it can be asked there, and no longer where it was before."""
        if heard.place == place:
            return
        heard.place, heard.unanswered = place, 0
        if heard.due_ns is not None:
            heard.due_ns = min(heard.due_ns, now_ns + ASK_AFTER_NS)

    def _give_up(self, heard: _Heard, counts: Iterable[int]) -> None:
        self._lose(heard, [count for count in counts if heard.wanted.pop(count)])

    def _lose(self, heard: _Heard, counts: Sequence[int]) -> None:
        self.lost += len(counts)
        heard.lost.update(dict.fromkeys(counts[-REMEMBERED_LOST:]))
        _trim(heard.lost, REMEMBERED_LOST)


def _who(of: FrameKey, sender: int) -> _Who:
    return sender, of.tag, SOURCE if of.is_emitted else of.origin, of.by


def _who_at(place: SentKey) -> _Who:
    return place.sender, place.tag, place.origin, place.by


def _ranges(counts: Iterable[int]) -> list[Range]:
    """The first ranges of these numbers, as many as one question may hold."""
    ranges: list[Range] = []
    for count in sorted(counts):
        if ranges and ranges[-1][1] + 1 == count:
            ranges[-1] = (ranges[-1][0], count)
        elif len(ranges) < MAX_WANTED_RANGES:
            ranges.append((count, count))
        else:
            break
    return ranges


def _trim(numbers: dict[int, None], most: int) -> None:
    while len(numbers) > most:
        del numbers[next(iter(numbers))]
