"""Run a model for the frames of a batch, and see to it that a bad or late one spoils nothing for the others."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nearfield.errors import InferenceError
from nearfield.inference.batch_closing import RecentDurations, is_late
from nearfield.inference.contract import Graph

_log = logging.getLogger(__name__)

# So many batches in a row that fail although each frame alone succeeds: then the model cannot be batched.
_MOST_NEEDLESS_FAILURES = 3


class ComputeLate(InferenceError):
    """Not computed, because its result would have come after the moment until which it was of use."""


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Counts since the graph was loaded.

    Attributes:
        computes: runs of the model, those of a single frame included.
        frames: frames computed in them.
        largest: most frames in one run.
        late: frames that were not computed, because their time was over.
        alone: frames computed again by themselves, after a run with others had failed.
    """

    computes: int = 0
    frames: int = 0
    largest: int = 0
    late: int = 0
    alone: int = 0


class Member:
    """One frame in a batch: filled in by the thread that leads, read by its own afterwards."""

    def __init__(self, inputs: Sequence[bytes], by_s: float | None) -> None:
        self.inputs = inputs
        self.by_s = by_s
        self.outputs: tuple[bytes, ...] | None = None
        self.error: InferenceError | None = None

    def abandon(self, label: str) -> None:
        """The thread that led the batch ended before its time."""
        if self.outputs is None and self.error is None:
            self.error = InferenceError("compute was interrupted", where=f"model `{label}`")

    def take_outputs(self) -> tuple[bytes, ...]:
        if self.error is not None:
            raise self.error
        assert self.outputs is not None
        return self.outputs


class BatchRunner:
    """Computes for several frames at once on a graph. Any thread, also several at a time."""

    def __init__(self, graph: Graph, clock: Callable[[], float]) -> None:
        self._graph = graph
        self._clock = clock
        # Guards what is counted.
        self._lock = threading.Lock()
        self._recent = RecentDurations()
        self._statistics = Counter[str]()
        self._needless_failures = 0

    @property
    def is_batching(self) -> bool:
        """Whether several frames at once still make sense with this model."""
        return self._needless_failures < _MOST_NEEDLESS_FAILURES

    @property
    def compute_s(self) -> float:
        """How long a compute may take, in seconds."""
        with self._lock:
            return self._recent.longest_s

    def statistics(self) -> BatchStatistics:
        with self._lock:
            return BatchStatistics(**self._statistics)

    def run(self, members: Sequence[Member]) -> None:
        """Give every member its outputs or its error. Blocks.

        Together, as far as their results are still wanted; when that fails, each by itself.
        """
        due = self._without_late(members)
        if len(due) > 1 and self.is_batching:
            try:
                self._run_together(due)
            except InferenceError as error:
                self._run_alone(due, error)
            return
        for member in due:
            self._run_one(member)

    def _without_late(self, members: Sequence[Member]) -> list[Member]:
        """Those whose results are still wanted; the others fail here."""
        now_s = self._clock()
        due = [member for member in members if not is_late(member.by_s, now_s)]
        for member in members:
            if member not in due:
                member.error = ComputeLate(
                    "not computed: its deadline passed before its turn came", where=f"model `{self._graph.label}`"
                )
        if len(due) < len(members):
            with self._lock:
                self._statistics["late"] += len(members) - len(due)
        return due

    def _run_alone(self, members: Sequence[Member], error: InferenceError) -> None:
        _log.debug("%s; computing its %d frames one by one", error, len(members))
        for member in members:
            for due in self._without_late([member]):
                self._run_one(due)
        was_needless = all(member.error is None for member in members)
        with self._lock:
            self._statistics["alone"] += len(members)
            self._needless_failures += was_needless
            gives_up = was_needless and self._needless_failures == _MOST_NEEDLESS_FAILURES
        if gives_up:
            _log.warning("model `%s` is not batched any longer: %s", self._graph.label, error.what)

    def _run_one(self, member: Member) -> None:
        try:
            self._run_together([member])
        except InferenceError as error:
            member.error = error

    def _run_together(self, members: Sequence[Member]) -> None:
        frames = len(members)
        context = self._graph.acquire(frames)
        try:
            for index in range(len(self._graph.inputs)):
                parts = [member.inputs[index] for member in members]
                context.set_input(index, parts[0] if frames == 1 else b"".join(parts))
            started_s = self._clock()
            context.compute()
            took_s = self._clock() - started_s
            outputs = [self._split(index, context.output(index), frames) for index in range(len(self._graph.outputs))]
        finally:
            context.close()
        for position, member in enumerate(members):
            member.outputs = tuple(each[position] for each in outputs)
        self._count(frames, took_s)

    def _split(self, index: int, content: bytes, frames: int) -> Sequence[bytes]:
        if frames == 1:
            return [content]
        size = self._graph.outputs[index].nbytes
        if len(content) != frames * size:
            raise InferenceError(
                f"output {index}: got {len(content)} bytes for {frames} frames, expected {frames * size}",
                where=f"model `{self._graph.label}`",
            )
        return [content[start : start + size] for start in range(0, len(content), size)] if size else [b""] * frames

    def _count(self, frames: int, took_s: float) -> None:
        with self._lock:
            self._recent.add(took_s)
            if frames > 1:
                self._needless_failures = 0
            self._statistics["computes"] += 1
            self._statistics["frames"] += frames
            self._statistics["largest"] = max(self._statistics["largest"], frames)
