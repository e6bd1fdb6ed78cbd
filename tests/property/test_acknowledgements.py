"""A complete source's window over a line that loses, repeats and reorders both frames and acknowledgements.

The zipper takes frames, finishes them in any order, and acknowledges as the real one does, at once or late. Whatever
the line does, no frame is forgotten before the zipper has finished it, and when the line recovers all are.
"""

from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nearfield.clock import ManualClock
from nearfield.frame import Header
from nearfield.frame.control import MAX_WINDOW
from nearfield.frame.ranges import Range
from nearfield.source.window import RESEND_AFTER_MAX_NS, OutgoingFrame, Window
from nearfield.zipper.streams import LINGER_NS, Streams

PICK = st.integers(0, 1_000)


class LineMachine(RuleBasedStateMachine):
    @initialize(capacity=st.one_of(st.integers(1, 8), st.integers(1, MAX_WINDOW)))
    def start(self, capacity: int) -> None:
        self.clock = ManualClock()
        self.window = Window(capacity)
        self.sequence = 0
        self.numbers: set[int] = set()
        self.released = 0
        # On the line; messages are taken from anywhere in it.
        self.frames: list[int] = []
        self.acks: list[list[Range]] = []
        # The zipper: what it knows of the source, and what it ever finished.
        self.streams = Streams()
        self.finished: set[int] = set()

    def _send(self, frames: list[OutgoingFrame]) -> None:
        self.frames += [frame.header.sequence for frame in frames]

    @property
    def _taken(self) -> list[int]:
        """Frames that the zipper has and has not finished."""
        return sorted(self.streams.of("cam", 1).held)

    @rule(count=st.sampled_from([1, 1, 5, 40]), gaps=st.booleans())
    def send(self, count: int, gaps: bool) -> None:
        """Args:
        gaps: between the numbers, as of frames that nobody observes.
        """
        for _ in range(count):
            if not self.window.has_room:
                return
            frame = OutgoingFrame(Header(1, 1, self.sequence, 0, 0), b"x" * (self.sequence % 7))
            self.window.add(frame, self.clock.monotonic_ns())
            self.numbers.add(self.sequence)
            self._send([frame])
            self.sequence += 1 + gaps

    @rule(seconds=st.sampled_from([0.3, 1.1, 4.5, 9.0]))
    def repeat_overdue(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._send(self.window.overdue(self.clock.monotonic_ns()))

    @rule()
    def reconnect(self) -> None:
        self._send(self.window.all(self.clock.monotonic_ns()))

    @rule()
    def zipper_restarts(self) -> None:
        """It forgets what it had; what it finished stays finished."""
        self.streams = Streams()
        self.acks.append([])
        self._send(self.window.all(self.clock.monotonic_ns()))

    # ---- the line

    @precondition(lambda self: self.frames)
    @rule(pick=PICK, count=st.sampled_from([1, 1, 30]), keep=st.booleans(), lose=st.booleans())
    def frames_arrive(self, pick: int, count: int, keep: bool, lose: bool) -> None:
        for _ in range(min(count, len(self.frames))):
            index = pick % len(self.frames)
            sequence = self.frames[index] if keep else self.frames.pop(index)
            stream = self.streams.of("cam", 1)
            if not lose and stream.is_new(sequence):
                stream.admit(sequence, 1)

    @precondition(lambda self: self._taken)
    @rule(picks=st.lists(PICK, min_size=1, max_size=20))
    def zipper_finishes(self, picks: list[int]) -> None:
        for pick in picks:
            if taken := self._taken:
                sequence = taken[pick % len(taken)]
                self.streams.of("cam", 1).settle(sequence)
                self.finished.add(sequence)

    @rule(wait_ns=st.sampled_from([0, LINGER_NS // 2, LINGER_NS]))
    def zipper_acknowledges(self, wait_ns: int) -> None:
        self.clock.advance(wait_ns / 1e9)
        due = self.streams.take_unacknowledged(self.clock.monotonic_ns())
        self.acks += [stream.acknowledge() for stream in due]

    @precondition(lambda self: self.acks)
    @rule(pick=PICK, keep=st.booleans(), lose=st.booleans())
    def acknowledgement_arrives(self, pick: int, keep: bool, lose: bool) -> None:
        index = pick % len(self.acks)
        ack = self.acks[index] if keep else self.acks.pop(index)
        if not lose:
            self.released += len(self.window.release(ack))

    # ---- what must hold

    @invariant()
    def nothing_is_forgotten_before_it_is_finished(self) -> None:
        held = {frame.header.sequence for frame in copy.deepcopy(self.window).all(self.clock.monotonic_ns())}
        assert self.numbers - held <= self.finished
        assert self.released == len(self.numbers) - len(held)
        assert len(held) == len(self.window) <= self.window.capacity
        assert self.window.bytes == sum(sequence % 7 for sequence in held)

    def teardown(self) -> None:
        """The line recovers: what is still held is repeated, finished and acknowledged."""
        if not hasattr(self, "window"):
            return
        self.clock.advance(RESEND_AFTER_MAX_NS / 1e9 + 0.1)
        stream = self.streams.of("cam", 1)
        for frame in self.window.overdue(self.clock.monotonic_ns()):
            sequence = frame.header.sequence
            if stream.is_new(sequence):
                stream.admit(sequence, 1)
            stream.settle(sequence)
            self.finished.add(sequence)
        self.zipper_acknowledges(0)
        self.zipper_acknowledges(LINGER_NS)
        for ack in self.acks:
            self.released += len(self.window.release(ack))
        assert len(self.window) == self.window.bytes == 0
        assert self.released == len(self.numbers)
        assert self.finished >= self.numbers


LineMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=50)
TestLine = LineMachine.TestCase
