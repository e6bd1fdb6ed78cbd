"""A complete source's window over a line that loses, repeats and reorders both frames and acknowledgements.

The zipper is a naive model: it takes frames, finishes them in any order, and acknowledges with the latest released
numbers, as the real one does. Whatever the line does, no frame is forgotten before the zipper has finished it, and when
the line recovers all are.
"""

from __future__ import annotations

import copy

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nearfield.clock import ManualClock
from nearfield.frame import Header
from nearfield.frame.control import ACK_HISTORY
from nearfield.source.window import RESEND_AFTER_MAX_NS, Outgoing, Window

PICK = st.integers(0, 1_000)


class LineMachine(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, ACK_HISTORY))
    def start(self, capacity: int) -> None:
        self.clock = ManualClock()
        self.window = Window(capacity)
        self.sequence = 0
        self.released = 0
        # On the line; messages are taken from anywhere in it.
        self.frames: list[int] = []
        self.acks: list[list[int]] = []
        # The zipper.
        self.taken: set[int] = set()
        self.finished: list[int] = []

    def _send(self, frames: list[Outgoing]) -> None:
        self.frames += [frame.header.sequence for frame in frames]

    def _acknowledge(self) -> None:
        self.acks.append(self.finished[-ACK_HISTORY:])

    @precondition(lambda self: self.window.has_room)
    @rule()
    def send(self) -> None:
        frame = Outgoing(Header(1, 1, self.sequence, 0, 0), b"x" * (self.sequence % 7))
        self.window.add(frame, self.clock.monotonic_ns())
        self._send([frame])
        self.sequence += 1

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
        self.taken.clear()
        self.acks.append([])
        self._send(self.window.all(self.clock.monotonic_ns()))

    # ---- the line

    @precondition(lambda self: self.frames)
    @rule(pick=PICK, keep=st.booleans(), lose=st.booleans())
    def frame_arrives(self, pick: int, keep: bool, lose: bool) -> None:
        index = pick % len(self.frames)
        sequence = self.frames[index] if keep else self.frames.pop(index)
        if lose:
            return
        if sequence in self.finished:
            self.finished.remove(sequence)  # a duplicate of what was released is acknowledged again, as the latest
            self.finished.append(sequence)
            self._acknowledge()
        else:
            self.taken.add(sequence)

    @precondition(lambda self: self.taken)
    @rule(pick=PICK)
    def zipper_finishes(self, pick: int) -> None:
        sequence = sorted(self.taken)[pick % len(self.taken)]
        self.taken.discard(sequence)
        self.finished.append(sequence)
        self._acknowledge()

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
        assert set(range(self.sequence)) - held <= set(self.finished)
        assert self.released == self.sequence - len(held)
        assert len(held) == len(self.window) <= self.window.capacity
        assert self.window.bytes == sum(sequence % 7 for sequence in held)

    def teardown(self) -> None:
        """The line recovers: what is still held is repeated, finished and acknowledged."""
        if not hasattr(self, "window"):
            return
        self.clock.advance(RESEND_AFTER_MAX_NS / 1e9 + 0.1)
        for frame in self.window.overdue(self.clock.monotonic_ns()):
            if frame.header.sequence not in self.finished:
                self.finished.append(frame.header.sequence)
            self.released += len(self.window.release([frame.header.sequence]))
        assert len(self.window) == self.window.bytes == 0
        assert self.released == self.sequence
        assert sorted(self.finished) == list(range(self.sequence))


LineMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=50)
TestLine = LineMachine.TestCase
