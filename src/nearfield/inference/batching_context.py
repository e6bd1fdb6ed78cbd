"""One frame's part in a batch: copies of its inputs, and of its outputs once it was computed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from nearfield.errors import InferenceError
from nearfield.inference.contract import TensorSpec

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from nearfield.inference.batching import BatchingGraph


class BatchingContext:
    """One frame's part in a batch. Implements `ExecutionContext`. Holds copies; nothing of a backend."""

    def __init__(self, graph: BatchingGraph) -> None:
        self._graph = graph
        self._inputs: list[bytes | None] = [None] * len(graph.inputs)
        self._outputs: tuple[bytes, ...] | None = None
        self._is_closed = False
        # The thread that others wait for on account of this context, until it computes for the first time.
        self._awaited: int | None = threading.get_ident()
        graph._opened(self._awaited)

    def set_input(self, index: int, data: Buffer) -> None:
        """See `ExecutionContext.set_input`."""
        spec = self._tensor(self._graph.inputs, "input", index)
        view = memoryview(data)
        if view.nbytes != spec.nbytes:
            raise self._error(f"input {index}: got {view.nbytes} bytes, expected {spec.nbytes} bytes: {spec}")
        if not view.c_contiguous:
            raise self._error(f"input {index}: got a buffer with gaps, expected contiguous bytes")
        self._inputs[index] = bytes(view)

    def compute(self, by_s: float | None = None) -> None:
        """See `ExecutionContext.compute`. Waits for other frames as `BatchSettings` say.

        Raises:
            ComputeLate: `by_s` had passed before the model could run.
        """
        self._check_open()
        inputs = [each for each in self._inputs if each is not None]
        if len(inputs) < len(self._inputs):
            raise self._error(f"input {self._inputs.index(None)}: not set before compute")
        self._outputs = None
        awaited, self._awaited = self._awaited, None
        self._outputs = self._graph._compute(inputs, by_s, awaited)

    def output(self, index: int) -> bytes:
        """See `ExecutionContext.output`."""
        self._tensor(self._graph.outputs, "output", index)
        if self._outputs is None:
            raise self._error(f"output {index}: read before a successful compute")
        return self._outputs[index]

    def close(self) -> None:
        """See `ExecutionContext.close`."""
        self._is_closed = True
        self._inputs, self._outputs = [], None
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            self._graph._settled(awaited)

    def _tensor(self, specs: tuple[TensorSpec, ...], kind: str, index: int) -> TensorSpec:
        self._check_open()
        if not 0 <= index < len(specs):
            raise self._error(f"{kind} index: got {index}, expected 0 to {len(specs) - 1}")
        return specs[index]

    def _check_open(self) -> None:
        if self._is_closed:
            raise self._error("execution context: used after close")

    def _error(self, what: str) -> InferenceError:
        return InferenceError(what, where=f"model `{self._graph.label}`")
