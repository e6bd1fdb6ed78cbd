"""Micro-batching: computes that several threads ask for at about the same time become one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from nearfield.errors import InferenceError
from nearfield.inference.batch_closing import NEVER_S, NOW_S, Gathering, closes_at_s, is_late
from nearfield.inference.batch_runner import BatchRunner, BatchStatistics, Member
from nearfield.inference.batching_context import BatchingContext
from nearfield.inference.contract import BatchSettings, Device, Encoding, ExecutionContext, Graph, TensorSpec
from nearfield.inference.turnout import Turnout


class BatchingGraph:
    """Another graph whose contexts compute together. Implements `Graph`.

    No thread of its own: the first that computes waits for others, runs the model for all of them on its own thread,
    and hands out the results. Memory: one copy of its inputs and outputs for each context, and of those of one batch
    while it computes.
    """

    def __init__(
        self, graph: Graph, settings: BatchSettings, *, at_once: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Args:
        graph: runs the batches. Contexts of it are taken for a compute only.
        at_once: computes that may run beside each other, >= 1; while so many do, a batch goes on gathering. A deadline
            can make it more.
        clock: seconds, as `time.monotonic`.

        Raises:
            InferenceError: more than one frame at a time, on a graph that is not batchable.
        """
        if settings.max_frames > 1 and not graph.is_batchable:
            raise InferenceError(
                f"batch: got up to {settings.max_frames} frames, expected 1: not every input and output has a free "
                "first dimension",
                where=f"model `{graph.label}`",
                hint="leave `batch` out, or export the model with a batch dimension",
            )
        self.inputs: tuple[TensorSpec, ...] = graph.inputs
        self.outputs: tuple[TensorSpec, ...] = graph.outputs
        self.encoding: Encoding = graph.encoding
        self.label: str = graph.label
        self.device: Device = graph.device
        self.is_batchable: bool = graph.is_batchable
        self.settings = settings
        self._graph = graph
        self._at_once = at_once
        self._clock = clock
        self._runner = BatchRunner(graph, clock)
        # Guards all below, and wakes the leaders of open batches.
        self._changed = threading.Condition()
        self._turnout = Turnout()
        self._open: _Batch | None = None
        self._running = 0

    def __repr__(self) -> str:
        return f"<BatchingGraph {self.label!r} max={self.settings.max_frames} wait={self.settings.wait_s:g}s>"

    def acquire(self, batch: int = 1) -> ExecutionContext:
        """A context that computes together with others; one of the graph below when it is a batch of its own."""
        if batch != 1 or self.settings.max_frames == 1:
            return self._graph.acquire(batch)
        return BatchingContext(self)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Say that this thread is at a frame, for which it will probably compute once.

        Others then wait for it, at most as long as the settings say. Without this, only threads that hold a context are
        waited for.
        """
        thread = threading.get_ident()
        with self._changed:
            self._turnout.begin_frame(thread)
        try:
            yield
        finally:
            with self._changed:
                self._turnout.end_frame(thread)
                self._tell_leaders()

    def statistics(self) -> BatchStatistics:
        """What was computed so far."""
        return self._runner.statistics()

    # ---- for the contexts

    def _opened(self, thread: int) -> None:
        with self._changed:
            self._turnout.open_context(thread)

    def _settled(self, thread: int) -> None:
        """A context that `thread` opened will not be computed with for the first time any more."""
        with self._changed:
            self._turnout.settle_context(thread)
            self._tell_leaders()

    def _compute(self, inputs: Sequence[bytes], by_s: float | None, awaited: int | None) -> tuple[bytes, ...]:
        """One frame's outputs. `awaited`: the thread that others waited for on account of this context, if they did."""
        thread = threading.get_ident()
        member = Member(inputs, by_s)
        with self._changed:
            if awaited is not None:
                self._turnout.settle_context(awaited)
            self._turnout.enter(thread)
            batch, leads = self._join(member)
        try:
            if leads:
                self._lead(batch)
            else:
                batch.is_done.wait()
        finally:
            with self._changed:
                self._turnout.leave(thread)
        return member.take_outputs()

    def _join(self, member: Member) -> tuple[_Batch, bool]:
        """Add the member to the open batch, or open one and lead it. The lock is held."""
        now_s = self._clock()
        if is_late(member.by_s, now_s):  # others are not to close their batch on account of it
            return _Batch(now_s, [member]), True
        batch = self._open
        leads = batch is None
        if batch is None:
            batch = self._open = _Batch(now_s, [])
        batch.members.append(member)
        if len(batch.members) >= self.settings.max_frames:
            self._open = None  # the next one begins another
        if not leads:
            self._tell_leaders()
        return batch, leads

    def _tell_leaders(self) -> None:
        """Somebody came, or will not come, or a compute has ended: whoever waits looks again. The lock is held."""
        self._changed.notify_all()

    def _lead(self, batch: _Batch) -> None:
        try:
            with self._changed:
                self._close(batch)
                self._running += 1
            try:
                self._runner.run(batch.members)
            finally:
                with self._changed:
                    self._running -= 1
                    self._tell_leaders()
        except BaseException:
            for member in batch.members:
                member.abandon(self.label)
            raise
        finally:
            batch.is_done.set()

    def _close(self, batch: _Batch) -> None:
        """Wait until it is time to compute. Afterwards nobody joins this batch any more. The lock is held."""
        try:
            while (until_s := self._closes_at_s(batch)) > (now_s := self._clock()):
                self._changed.wait(None if until_s == NEVER_S else until_s - now_s)
        finally:
            if self._open is batch:
                self._open = None

    def _closes_at_s(self, batch: _Batch) -> float:
        return closes_at_s(self.settings, self._gathering(batch)) if self._runner.is_batching else NOW_S

    def _gathering(self, batch: _Batch) -> Gathering:
        return Gathering(
            frames=len(batch.members),
            opened_s=batch.opened_s,
            is_another_coming=self._turnout.is_another_coming,
            has_room=self._running < self._at_once,
            first_by_s=min((member.by_s for member in batch.members if member.by_s is not None), default=None),
            compute_s=self._runner.compute_s,
        )


class _Batch:
    """Frames that compute together."""

    def __init__(self, opened_s: float, members: list[Member]) -> None:
        self.opened_s = opened_s
        self.members = members
        self.is_done = threading.Event()
