"""A graph that is Python, for tests of what is built on graphs: it doubles numbers, and does as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nearfield.errors import InferenceError
from nearfield.inference import Device, Encoding, ExecutionContext, TensorSpec

F32 = np.dtype(np.float32)
VALUES = 4

#: A frame with this value fails the compute that it is part of.
POISON = -1.0

# Generous: a failure takes this long, a success only as long as it needs.
PATIENCE_S = 30.0


class ScriptedGraph:
    """Output = 2 * input. Implements `Graph`.

    Attributes:
        batches: frames in each compute that was begun, in order.
        on_compute: called inside each compute with the number of its frames; may block or raise.
        gives_wrong_sizes: whether outputs of several frames lack one.
    """

    encoding = Encoding.ONNX
    label = "doubler"
    device = Device.CPU

    def __init__(self, *, is_batchable: bool = True) -> None:
        spec = TensorSpec("x", (1, VALUES), F32, 0.0, 0)
        self.inputs = (spec, TensorSpec("ignored", (1,), F32, 0.0, 0))
        self.outputs = (TensorSpec("y", (1, VALUES), F32, 0.0, 0), TensorSpec("sum", (1,), F32, 0.0, 0))
        self.is_batchable = is_batchable
        self.batches: list[int] = []
        self.open_contexts = 0
        self.on_compute: Callable[[int], None] = lambda frames: None
        self.gives_wrong_sizes = False

    def acquire(self, batch: int = 1) -> ExecutionContext:
        self.open_contexts += 1
        return _ScriptedContext(self, batch)


class _ScriptedContext:
    def __init__(self, graph: ScriptedGraph, batch: int) -> None:
        self._graph = graph
        self._batch = batch
        self._inputs: dict[int, np.ndarray[Any, Any]] = {}

    def set_input(self, index: int, data: Any) -> None:
        spec = self._graph.inputs[index]
        assert len(data) == self._batch * spec.nbytes
        self._inputs[index] = np.frombuffer(data, F32).reshape(self._batch, *spec.shape[1:])

    def compute(self, by_s: float | None = None) -> None:
        assert len(self._inputs) == len(self._graph.inputs)
        self._graph.batches.append(self._batch)
        self._graph.on_compute(self._batch)
        if POISON in self._inputs[0]:
            raise InferenceError("compute failed: poison", where="model `doubler`")

    def output(self, index: int) -> bytes:
        doubled = 2 * self._inputs[0]
        if self._graph.gives_wrong_sizes and self._batch > 1:
            doubled = doubled[1:]
        content: bytes = (doubled if index == 0 else doubled.sum(axis=1)).tobytes()
        return content

    def close(self) -> None:
        self._graph.open_contexts -= 1


def frame(value: float) -> bytes:
    return np.full(VALUES, value, F32).tobytes()


def doubled(value: float) -> bytes:
    return frame(2 * value)


def fill(context: ExecutionContext, value: float) -> ExecutionContext:
    """Set every input."""
    context.set_input(0, frame(value))
    context.set_input(1, bytes(4))
    return context


class Callers:
    """Threads that each compute one frame; what came of each is kept."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self.outputs: dict[float, bytes] = {}
        self.errors: dict[float, InferenceError] = {}

    def start(self, context: ExecutionContext, value: float, by_s: float | None = None) -> None:
        """Compute in a thread of its own, with a context of this thread."""
        thread = threading.Thread(target=self._compute, args=(fill(context, value), value, by_s), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _compute(self, context: ExecutionContext, value: float, by_s: float | None) -> None:
        try:
            context.compute(by_s)
            self.outputs[value] = context.output(0)
        except InferenceError as error:
            self.errors[value] = error
        finally:
            context.close()

    def join(self) -> Callers:
        for thread in self._threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive(), "a compute did not return"
        return self


def all_doubled(callers: Callers, values: Sequence[float]) -> bool:
    return callers.outputs == {value: doubled(value) for value in values} and not callers.errors
