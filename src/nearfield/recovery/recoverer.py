"""The sink's side: notices what did not come, and asks its senders for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence

from nearfield.errors import RemoteProtocolError, TransportError
from nearfield.frame import keys
from nearfield.frame.control import SentSoFar, Wanted, decode, encode
from nearfield.frame.header import FLAG_IN_ORDER, counted
from nearfield.frame.resent import Resent, ResentFrame, decode_resent
from nearfield.recovery.held import Arrival, Held
from nearfield.recovery.missing import Missing, Question
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import Connection, CopiedPayload, Handle, Lane, Message, Payload

_log = logging.getLogger(__name__)

# A sender answers in milliseconds, unless its machine or the line is busy. Meanwhile nobody else is asked.
ANSWER_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
# Where order matters, frames wait for so long for earlier ones that are missing.
HOLD_NS = 1_000_000_000
# As soon as more of them wait, none does.
MOST_HELD = 4_096
MOST_HELD_BYTES = 64 * 2**20
_LONG_AGO_NS = 1


class Recoverer:
    """Counts what is missing of the frames of some tags, and has those sent again that their senders keep.

    It asks on a thread of its own, which begins with the first frame that is missing.

    Args:
        tags: None: every one.
        on_late: called on that thread with frames that were asked for, and those that waited for them; it may block,
            and then nothing more is asked for.

    Attributes:
        repeated: frames that came although they had come before because they were asked for. They are left out.
    """

    def __init__(
        self,
        connection: Connection,
        tags: Iterable[int] | None,
        on_late: Callable[[Sequence[Arrival]], None],
    ) -> None:
        self._session = connection.session
        self._on_late = on_late
        self._missing = Missing()
        self._warn = RepeatedWarning(_log)
        self._changed = threading.Condition(threading.Lock())
        self._thread: threading.Thread | None = None
        self._wakes_ns: int | None = None  # by itself; None: only when it is told
        self._rests_until_ns = 0
        self._closed = False
        self.repeated = 0
        self._held = Held()
        self._is_holding = False
        self._hold_until_ns = 0  # 0: nothing is missing
        namespace = connection.namespace
        expressions = [keys.all_sent(namespace)] if tags is None else [keys.sent_of_tag(namespace, tag) for tag in tags]
        self._began_ns = time.monotonic_ns()
        self._handles: list[Handle] = [
            self._session.subscribe(expression, self._on_sent_so_far) for expression in expressions
        ]

    @property
    def lost(self) -> int:
        """Frames that were sent, have not come, and will not be asked for any more."""
        return self._missing.lost

    @property
    def recovered(self) -> int:
        """Frames that came because they were asked for."""
        return self._missing.recovered

    @property
    def held(self) -> int:
        """Frames that wait for earlier ones."""
        return len(self._held)

    def note(self, key: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Messages came with this key.

        Returns:
            Those to go on with: not those that came before because they were asked for, and not those that are to be in
            order, while they wait for earlier ones.
        """
        now_ns = time.monotonic_ns()
        note = self._missing.note
        with self._changed:
            new = [message for message in messages if note(key, counted(message[1]), now_ns)]
            self.repeated += len(messages) - len(new)
            if self._missing.has_questions:
                self._wake(now_ns)
            else:
                self._hold_until_ns = 0
                if self._is_holding:
                    self._changed.notify()
            if self._is_holding or now_ns < self._hold_until_ns:
                return self._hold(key, new)
        return new

    def _hold(self, key: str, messages: Sequence[Message]) -> Sequence[Message]:
        """Keep those that are to be in order; the others. The lock is held."""
        ordered = [message for message in messages if _is_in_order(message[1])]
        if not ordered:
            return messages
        self._held.add((key, payload, attachment) for payload, attachment in ordered)
        is_too_much = len(self._held) > MOST_HELD or self._held.bytes > MOST_HELD_BYTES
        if is_too_much:
            self._hold_until_ns = _LONG_AGO_NS
        if is_too_much or not self._is_holding:
            self._is_holding = True
            self._changed.notify()  # it is to wake up in time
        return [message for message in messages if not _is_in_order(message[1])]

    def close(self) -> None:
        """Ask nobody any more. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        for handle in self._handles:
            handle.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join(CLOSE_TIMEOUT_S)

    def _on_sent_so_far(self, key: str, payload: Payload, attachment: bytes) -> None:
        try:
            place, said = keys.parse_sent_key(key), decode(SentSoFar, payload.to_bytes())
        except RemoteProtocolError as error:
            self._warn("malformed message ignored: %s", error)
            return
        with self._changed:
            now_ns = time.monotonic_ns()
            self._missing.learn(place, said.count, now_ns, is_kept=said.kept)
            if self._missing.has_questions:
                self._wake(now_ns)

    def _wake(self, now_ns: int) -> None:
        """See to it that somebody asks for what is missing, in time. The lock is held."""
        if self._closed:
            return
        if not self._hold_until_ns:
            self._hold_until_ns = now_ns + HOLD_NS
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="recoverer", daemon=True)
            self._thread.start()
        elif self._wakes_ns is None or ((due_ns := self._missing.due_ns) is not None and due_ns < self._wakes_ns):
            self._changed.notify()

    # ---- its own thread

    def _work(self) -> None:
        while not self._closed:
            question = self._next()
            try:
                recovered = [] if question is None else self._ask(question)
            except TransportError:  # the session was closed
                recovered = []
                with self._changed:
                    self._closed = True
            if recovered:
                self._on_late(recovered)
            self._let_go()
        self._let_go()  # it may have been closed meanwhile

    def _next(self) -> Question | None:
        """Wait for something to ask. None: for now there is nothing, and what waits should be looked after."""
        with self._changed:
            now_ns = time.monotonic_ns()
            question = self._missing.question(now_ns) if now_ns >= self._rests_until_ns else None
            if question is not None or self._closed:
                return question
            if self._is_holding and (not self._missing.has_questions or now_ns >= self._hold_until_ns):
                return None
            due_ns = self._missing.due_ns
            ends = (
                None if due_ns is None else max(due_ns, self._rests_until_ns),
                self._hold_until_ns if self._is_holding else None,
            )
            self._wakes_ns = min((end for end in ends if end is not None), default=None)
            if self._wakes_ns is None or self._wakes_ns > now_ns:
                self._changed.wait(None if self._wakes_ns is None else (self._wakes_ns - now_ns) / 1e9)
        return None

    def _let_go(self) -> None:
        """Give held frames to the program, unless they are to wait for more."""
        while True:
            with self._changed:
                if not self._missing.has_questions or self._closed:
                    self._hold_until_ns = 0
                if time.monotonic_ns() < self._hold_until_ns:
                    return
                arrivals = self._held.take()
                self._is_holding = bool(arrivals)  # what comes meanwhile must not overtake
            if not arrivals:
                return
            self._on_late(arrivals)

    def _ask(self, question: Question) -> list[Arrival]:
        """Put a question. Of the frames that come, those that are to be in order are held, and the others returned."""
        place = question.place
        listening_ms = (time.monotonic_ns() - self._began_ns) // 1_000_000
        wanted = Wanted(counts=question.counts, max_age_ms=listening_ms)
        asked_ns = time.monotonic_ns()
        answer = self._session.ask(str(place), encode(wanted), timeout_s=ANSWER_TIMEOUT_S, lane=Lane.REPAIRS)
        resent: Resent | None = None
        try:
            resent = None if answer is None else decode_resent(answer)
        except RemoteProtocolError as error:
            self._warn("answer of a sender ignored: %s", error)
        frames = {count: frame for frame in (resent.frames if resent else ()) if (count := _count_of(frame, place))}
        now_ns = time.monotonic_ns()
        # So that at most half of a slow line is taken from the frames that are new.
        self._rests_until_ns = now_ns + (now_ns - asked_ns)
        with self._changed:
            if resent is None:
                self._missing.unanswered(question, now_ns)
                return []
            arrivals = [
                (place.frame_key(frames[count].origin), CopiedPayload(frames[count].payload), frames[count].header)
                for count in self._missing.answered(question, resent.through, frames, now_ns)
            ]
            ordered = [arrival for arrival in arrivals if _is_in_order(arrival[2])]
            if ordered:
                self._held.insert(ordered)
                self._is_holding = True  # what comes before they are passed on must not overtake
        return [arrival for arrival in arrivals if not _is_in_order(arrival[2])]


def _count_of(frame: ResentFrame, place: keys.SentKey) -> int:
    """Which one it is of those that were asked for; 0: none."""
    tag, _, sender, count = counted(frame.header)
    return count if (tag, sender) == (place.tag, place.sender) else 0


def _is_in_order(header: bytes) -> bool:
    return bool(counted(header)[1] & FLAG_IN_ORDER)
