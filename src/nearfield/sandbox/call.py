"""The record of one call: what the guest was given, what it did, and why it was stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nearfield.errors import GuestTimeout
from nearfield.frame import RESERVED_TAGS, is_name
from nearfield.sandbox.invocation import MAX_LOG_CHARACTERS, Emission, Invocation, LogLine, Outcome, clean_text
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.log_budget import LogBudget
from nearfield.sandbox.process import Process

if TYPE_CHECKING:
    from nearfield.sandbox.abi.bindgen_values import ReturnedValue

# `fail` keeps this much of the reason (docs/abi.md).
MAX_REASON_BYTES = 1024

WARNING, ERROR = 2, 3

# What Rust prints below every panic.
_NO_WORDS = "note: run with `RUST_BACKTRACE"
_PANIC_LINES = 2


class Call:
    """One call from its beginning to its outcome. Used by the thread that runs the guest."""

    def __init__(
        self,
        invocation: Invocation | None,
        limits: Limits,
        emit: frozenset[int] | None,
        log_budget: LogBudget | None = None,
    ) -> None:
        """Args:
        invocation: the frame; None while the guest is loaded.
        emit: tags that may be emitted; None for every one that is not reserved.
        log_budget: what the guest may still log; None for all that a new guest may.
        """
        #: What a WASI command sees; None for guests of other ABIs, which have neither input nor output.
        self.process: Process | None = None
        #: What the guest gave to `proc_exit`, if it did.
        self.exit_status: int | None = None
        #: Whether its program has come to its end, so that the instance should not be used for another frame.
        self.has_ended = False
        #: Values that a wasmedge-bindgen guest handed to `return_result`.
        self.returned: Sequence[ReturnedValue] | None = None
        self.invocation = invocation
        self.limits = limits
        self.reason: str | None = None
        self.stopped: BaseException | None = None
        self.observed: list[int] | None = None
        self.model_ns = 0
        #: Of `time.monotonic`: the limit for one call, or before it the end of the frame's worth.
        self.ends_at_s = time.monotonic() + limits.deadline_s
        if invocation is not None and invocation.ends_at_s is not None:
            self.ends_at_s = min(self.ends_at_s, invocation.ends_at_s)
        self._emit = emit
        self._emissions: list[Emission] = []
        self._output_bytes = 0
        self._refused_emits = 0
        self._logs: list[LogLine] = []
        self._log_budget = log_budget or LogBudget(limits.log_bytes_per_s)
        self._words: list[str] = []
        self._has_panicked = False
        self._streams: dict[int, bytearray] = {}
        #: Bytes of models that the guest loaded from its own memory.
        self.model_bytes = 0
        #: Bytes that it wrote to files.
        self.file_bytes = 0
        #: How often it asked for random bytes.
        self.random_requests = 0
        self._host_ns: dict[str, int] = {}

    def may_emit(self, tag: int, length: int, to: str | None = None) -> bool:
        """Whether a frame of this tag, size and address is within the rules; counts it as refused if not.

        Args:
            to: the source that is meant, which must be a name; its bytes count as the payload's do.
        """
        allowed = tag not in RESERVED_TAGS if self._emit is None else tag in self._emit
        named = to is None or is_name(to)
        fits = len(self._emissions) < self.limits.emitted_frames
        if allowed and named and fits and self._output_bytes + _size(length, to) <= self.limits.output_bytes:
            return True
        self._refused_emits += 1
        return False

    def emit(self, tag: int, payload: bytes, to: str | None = None) -> None:
        """Keep a frame that `may_emit` allowed."""
        self._emissions.append(Emission(tag, payload, to))
        self._output_bytes += _size(len(payload), to)

    def log(self, level: int, text: str | bytes) -> None:
        """Keep a line, or only count it once a limit is used up."""
        if not isinstance(text, str):
            # A character takes up to 4 bytes; the rest would be cut away anyway.
            text = text[: 4 * MAX_LOG_CHARACTERS + 4].decode("utf-8", "replace")
        if level >= WARNING:
            self._note_words(text)
        if len(self._logs) >= self.limits.log_lines:
            self._log_budget.drop()
        elif self._log_budget.take(min(len(text), MAX_LOG_CHARACTERS), time.monotonic()):
            self._logs.append(LogLine(min(level, ERROR), clean_text(text)))

    def write_stream(self, level: int, data: bytes) -> None:
        """Take part of a text stream (stdout, stderr) and log its complete lines."""
        pending = self._streams.setdefault(level, bytearray())
        *lines, rest = data.split(b"\n")
        for line in lines:
            self.log(level, bytes(pending) + line.removesuffix(b"\r"))
            pending.clear()
        # A line without an end is bounded too: what would be cut from the log is not kept.
        room = 4 * MAX_LOG_CHARACTERS + 4 - len(pending)
        pending += rest[: max(room, 0)]

    def stop(self, reason: BaseException) -> None:
        """Remember why the guest is being stopped; the first reason counts."""
        if self.stopped is None:
            self.stopped = reason

    def take_answer(self) -> tuple[str | None, Sequence[ReturnedValue] | None]:
        """The reason of a failure and the returned values, of which at most one counts; forgets both."""
        answer = self.reason, self.returned
        self.reason = self.returned = None
        return answer

    def take_exit(self) -> int | None:
        """The status that the guest exited with, if that is why it was stopped; forgets that it did."""
        status, self.exit_status = self.exit_status, None
        if status is not None:
            self.stopped = None
        return status

    @property
    def remaining_s(self) -> float:
        """Seconds until its end, at least 0."""
        return max(0.0, self.ends_at_s - time.monotonic())

    def check_deadline(self) -> None:
        """Raise `GuestTimeout` when the deadline has passed. For host functions that take long themselves."""
        if time.monotonic() >= self.ends_at_s:
            raise GuestTimeout(f"used up its deadline of {self.limits.deadline_s:g} s inside a host function")

    def spend(self, what: str, duration_ns: int) -> None:
        """Count time inside one of the host functions that take long.

        Args:
            what: kind of work, for people: `inference`.
        """
        self._host_ns[what] = self._host_ns.get(what, 0) + duration_ns

    def check_host_time(self) -> None:
        """Raise `GuestTimeout` when the deadline has passed, or the time for host functions is used up."""
        self.check_deadline()
        most_s = self.limits.most_host_time_s
        if sum(self._host_ns.values()) >= most_s * 1e9:
            spent = ", ".join(f"{what} {duration_ns / 1e9:.3g} s" for what, duration_ns in self._host_ns.items())
            raise GuestTimeout(f"used up its {most_s:g} s inside host functions ({spent})")

    def logs(self) -> tuple[LogLine, ...]:
        """The lines so far; the last one says how many were dropped since the last such line, if any."""
        self._end_streams()
        dropped = self._log_budget.take_dropped(time.monotonic())
        if dropped:
            self._logs.append(LogLine(WARNING, f"{dropped} further lines were dropped"))
        return tuple(self._logs)

    def last_words(self) -> str | None:
        """What the guest had to say at its end: a Rust panic with its place, else the last warning or error.

        Known also when its log lines are used up.
        """
        self._end_streams()
        return " ".join(map(clean_text, self._words)) or None

    def _note_words(self, text: str) -> None:
        """Keep the first panic, which is two lines since Rust 1.73, or the last line."""
        if text.startswith(_NO_WORDS) or (self._has_panicked and len(self._words) == _PANIC_LINES):
            return
        if not self._has_panicked:
            self._words.clear()
            self._has_panicked = " panicked at " in text
        self._words.append(text)

    def _end_streams(self) -> None:
        """Log what came without an end of line."""
        for level, pending in self._streams.items():
            if pending:
                self.log(level, bytes(pending))
                pending.clear()

    def outcome(self) -> Outcome:
        """What a successful call left behind."""
        return Outcome(tuple(self._emissions), self.logs(), self._refused_emits, self.model_ns, self._host_ns)

    def __repr__(self) -> str:
        return f"<Call emitted={len(self._emissions)} refused={self._refused_emits} stopped={self.stopped!r}>"


def _size(length: int, to: str | None) -> int:
    """Bytes that a frame counts for: its payload and the name that it is addressed to, which is ASCII."""
    return length + len(to or "")
