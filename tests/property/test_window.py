"""The source's window: it holds what was sent and not released, and repeats nothing too early or too seldom."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nearfield.clock import ManualClock
from nearfield.frame import Header
from nearfield.frame.ranges import RangeSet
from nearfield.source.window import RESEND_AFTER_MAX_NS, RESEND_AFTER_NS, OutgoingFrame, Window

SEQUENCES = st.lists(st.integers(0, 30), max_size=5)


def size_of(sequence: int) -> int:
    return sequence % 4


def ranges_of(sequences: list[int]) -> list[tuple[int, int]]:
    ranges = RangeSet()
    for sequence in sequences:
        ranges.add(sequence)
    return ranges.ranges()


class WindowMachine(RuleBasedStateMachine):
    @initialize(capacity=st.integers(1, 4), max_bytes=st.sampled_from([None, 5]))
    def start(self, capacity: int, max_bytes: int | None) -> None:
        self.window = Window(capacity, max_bytes)
        self.max_bytes = max_bytes
        self.clock = ManualClock()
        self.sequence = 0
        # sequence -> tag, when it was sent last, how long until it is overdue
        self.held: dict[int, tuple[int, int, int]] = {}

    @property
    def now_ns(self) -> int:
        return self.clock.monotonic_ns()

    @precondition(lambda self: self.window.has_room)
    @rule(tag=st.sampled_from([1, 2]))
    def add(self, tag: int) -> None:
        frame = OutgoingFrame(Header(tag, 1, self.sequence, 0, 0), bytes(size_of(self.sequence)))
        self.window.add(frame, self.now_ns)
        self.held[self.sequence] = (tag, self.now_ns, RESEND_AFTER_NS)
        self.sequence += 1

    @rule(sequences=SEQUENCES)
    def release(self, sequences: list[int]) -> None:
        expected = [sent_ns for n, (_, sent_ns, _) in self.held.items() if n in sequences]
        assert self.window.release(ranges_of(sequences)) == expected
        self.held = {n: entry for n, entry in self.held.items() if n not in sequences}

    @rule()
    def clear(self) -> None:
        assert self.window.clear() == len(self.held)
        self.held.clear()

    @rule(seconds=st.sampled_from([0.0, 0.4, 1.0, 3.0, 9.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def repeat_all(self) -> None:
        assert self.numbers(self.window.all(self.now_ns)) == list(self.held)
        self.held = {n: (tag, self.now_ns, RESEND_AFTER_NS) for n, (tag, _, _) in self.held.items()}

    @rule()
    def repeat_overdue(self) -> None:
        due = [n for n, (_, sent_ns, after_ns) in self.held.items() if self.now_ns - sent_ns > after_ns]
        assert self.numbers(self.window.overdue(self.now_ns)) == due
        for number in due:
            tag, _, after_ns = self.held[number]
            self.held[number] = (tag, self.now_ns, min(2 * after_ns, RESEND_AFTER_MAX_NS))
        assert self.window.overdue(self.now_ns) == []

    @rule()
    def give_up(self) -> None:
        gone = [n for n, (_, sent_ns, _) in self.held.items() if self.now_ns - sent_ns > RESEND_AFTER_NS]
        assert self.window.give_up(self.now_ns) == len(gone)
        for number in gone:
            del self.held[number]

    @invariant()
    def holds_what_was_sent_and_not_released(self) -> None:
        assert len(self.window) == len(self.held) <= self.window.capacity
        size = sum(map(size_of, self.held))
        assert self.window.bytes == size
        fits = self.max_bytes is None or size < self.max_bytes
        assert self.window.has_room == (len(self.held) < self.window.capacity and fits)

    @staticmethod
    def numbers(frames: list[OutgoingFrame]) -> list[int]:
        return [frame.header.sequence for frame in frames]


WindowMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestWindow = WindowMachine.TestCase
