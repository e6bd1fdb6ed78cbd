"""The sender's side: keeps what it published, says how much that was, and sends it again to sinks that ask."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Set

from nearfield.clock import Clock
from nearfield.errors import RemoteProtocolError, TransportError
from nearfield.frame import keys
from nearfield.frame.control import SentSoFar, Wanted, decode, encode
from nearfield.frame.resent import Resent, ResentFrame, encode_resent
from nearfield.recovery.kept import KEEP_NS, Kept, KeptFrame
from nearfield.recovery.rounds import Rounds
from nearfield.telemetry import RepeatedWarning
from nearfield.transport import Connection, Handle, Lane, Reply

_log = logging.getLogger(__name__)

# After so many ticks without a new frame the count is said, and then every fourth time as long as one is kept.
_SAID_AFTER_TICKS = (1, 2)
_SAID_EVERY_TICKS = 4
# A sender that ends waits for sinks that missed its latest frames: as long as they take to ask, in round trips to the
# zipper and what they wait before; and when one did, for the next one.
_LAST_QUESTION_ROUND_TRIPS = 4
_LAST_QUESTION_S = 0.03
_LAST_ANSWER_S = 0.5
_MOST_ROUND_TRIP_S = 0.2

# Of what is not kept.
_MOST_TAGS = 1_024

_ROUNDS = Rounds()


class Resender:
    """Says how many frames one sender published, and keeps them, so that sinks that missed some can have them.

    Usable from any thread.

    Args:
        origin, by: as in `keys.SentKey`.
        sender: as in the headers of the frames.
        lane: of those that say how many frames there are, so that they do not overtake the frames themselves.
        rounds: who looks after it while it keeps anything; None: one for all of this process.
    """

    def __init__(
        self,
        connection: Connection,
        origin: str,
        by: str,
        sender: int,
        lane: Lane,
        clock: Clock,
        rounds: Rounds | None = None,
    ) -> None:
        self._connection = connection
        self._origin, self._by, self._sender = origin, by, sender
        self._lane = lane
        self._clock = clock
        self._rounds = rounds or _ROUNDS
        self._warn = RepeatedWarning(_log)
        # Guards what is kept; held for moments only.
        self._lock = threading.Lock()
        self._kept = Kept()
        self._published: dict[int, tuple[int, int]] = {}  # by tag: the latest count, and when
        self._is_member = False
        self._closed = False
        self._has_answered = threading.Event()
        # Held at work, which may take a while. Taken before the other one.
        self._working = threading.Lock()
        self._zipper = ""
        self._handles: dict[int, Handle] = {}
        self._silent: dict[int, tuple[int, int]] = {}  # by tag: the latest count, and for how many ticks it has been so

    def keep(self, frames: Iterable[KeptFrame]) -> None:
        """Call before they are published. Never waits for anything but memory."""
        with self._lock:
            for frame in frames:
                self._kept.add(frame)
            self._join()

    def note(self, tag: int, count: int) -> None:
        """A frame is published that is not kept."""
        now_ns = self._clock.monotonic_ns()
        with self._lock:
            if count > self._published.get(tag, (0, 0))[0]:
                self._published.pop(tag, None)
                self._published[tag] = count, now_ns
                if len(self._published) > _MOST_TAGS:
                    del self._published[next(iter(self._published))]
            self._join()

    def _join(self) -> None:
        if not (self._is_member or self._closed):
            self._is_member = True
            self._rounds.add(self)

    def close(self) -> None:
        """Answer nobody any more, after a moment for sinks that missed the latest frames. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            self._take_leave()
        except TransportError as error:  # the session was closed before us
            _log.debug("nobody was told how many frames sender %d sent: %s", self._sender, error)
        self._end()

    def _end(self) -> None:
        self._rounds.remove(self)
        with self._working:
            for handle in self._handles.values():
                handle.close()
            self._handles.clear()

    # ---- zenoh's threads

    def _on_question(self, key: str, question: bytes, reply: Reply) -> None:
        self._rounds.ask(self, lambda: self._answer(key, question, reply))

    # ---- the thread of the rounds

    def tick(self) -> None:
        """See `Member`."""
        with self._lock:
            if self._closed:
                return
            kept, latest = self._latest()
            if not latest:  # until the next frame
                self._is_member = False
                self._rounds.remove(self)
        try:
            with self._working:
                self._listen(kept)
                self._look_for_silence(latest, kept)
        except TransportError as error:  # the session was closed before us
            _log.debug("frames of sender %d are not kept any more: %s", self._sender, error)
            with self._lock:
                self._closed = True
            self._end()

    def _latest(self) -> tuple[Set[int], dict[int, int]]:
        """Tags of frames that are kept, and by tag the latest count of all published lately. The lock is held."""
        now_ns = self._clock.monotonic_ns()
        self._kept.expire(now_ns)
        for tag, (_, at_ns) in list(self._published.items()):
            if now_ns - at_ns <= KEEP_NS:
                break
            del self._published[tag]
        kept = {frame.tag: frame.count for frame in self._kept.latest()}
        return kept.keys(), {tag: count for tag, (count, _) in self._published.items()} | kept

    def _look_for_silence(self, latest: Mapping[int, int], kept: Set[int]) -> None:
        silent = {}
        for tag, count in latest.items():
            before, ticks = self._silent.get(tag, (0, 0))
            ticks = ticks + 1 if count == before else 0
            silent[tag] = (count, ticks)
            if ticks in _SAID_AFTER_TICKS or (ticks and ticks % _SAID_EVERY_TICKS == 0):
                self._say(tag, count, is_kept=tag in kept)
        self._silent = silent

    def _listen(self, tags: Set[int]) -> None:
        """Be there to be asked for frames with these tags, at the zipper that the connection has now."""
        has_moved, self._zipper = self._zipper != self._connection.zipper, self._connection.zipper
        for tag in [tag for tag in self._handles if has_moved or tag not in tags]:
            self._handles.pop(tag).close()
        for tag in tags - self._handles.keys():
            self._handles[tag] = self._connection.session.answer(self._key(tag), self._on_question, is_direct=True)

    def _say(self, tag: int, count: int, *, is_kept: bool) -> None:
        said = encode(SentSoFar(count=count, kept=is_kept))
        self._connection.session.publish(self._key(tag), said, lane=self._lane)

    def _key(self, tag: int) -> str:
        key = keys.SentKey(self._connection.namespace, tag, self._zipper, self._origin, self._by, self._sender)
        return str(key)

    def _answer(self, key: str, question: bytes, reply: Reply) -> None:
        try:
            tag, wanted = keys.parse_sent_key(key).tag, decode(Wanted, question)
        except RemoteProtocolError as error:
            self._warn("question for frames ignored: %s", error)
            return
        with self._lock:
            since_ns = self._clock.monotonic_ns() - wanted.max_age_ms * 1_000_000
            frames, through = self._kept.find(tag, wanted.counts, since_ns)
        resent = [ResentFrame(frame.origin, frame.header, frame.payload) for frame in frames]
        reply(encode_resent(Resent(through=through, frames=resent)))
        self._has_answered.set()

    # ---- the thread that closes

    def _take_leave(self) -> None:
        """Say how much there was, and wait for those who miss some of it; not if it was said before."""
        with self._lock:
            kept, latest = self._latest()
        with self._working:
            unsaid = [(tag, count) for tag, count in latest.items() if self._silent.get(tag, (0, 0)) < (count, 2)]
            self._listen(kept)
            for tag, count in unsaid:
                self._say(tag, count, is_kept=tag in kept)
        if not any(tag in kept for tag, _ in unsaid):
            return
        round_trip_s = self._round_trip_s()
        if round_trip_s is None:
            return
        wait_s = _LAST_QUESTION_S + _LAST_QUESTION_ROUND_TRIPS * round_trip_s
        give_up_at = time.monotonic() + _LAST_ANSWER_S
        self._has_answered.clear()
        while self._has_answered.wait(wait_s) and time.monotonic() < give_up_at:
            self._has_answered.clear()

    def _round_trip_s(self) -> float | None:
        """How long it takes now until the zipper has taken in what was published. None: it does not answer."""
        is_through = threading.Event()
        began = time.monotonic()
        self._connection.ask_behind(is_through.set, self._lane)
        return time.monotonic() - began if is_through.wait(_MOST_ROUND_TRIP_S) else None
