"""A graph with a pool of computations: what all backends share, so that each file of theirs only knows its runtime."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference.contract import Device, Encoding, ExecutionContext, TensorSpec

if TYPE_CHECKING:
    from typing_extensions import Buffer

# 1 GiB in one tensor: far beyond any model for the edge, and well below what ends the process.
MOST_TENSOR_BYTES = 1024**3

# Idle computations kept per graph, of one batch and of all batches. With LiteRT each holds its own arena and repacked
# weights (about the model's size again); building one takes about 5 ms for a 2.6 MB model.
_MOST_IDLE_OF_A_BATCH = 4
_MOST_IDLE = 12


class Computation(Protocol):
    """Tensors of a runtime for one compute of a fixed number of frames. One thread at a time. May raise anything."""

    def set_input(self, index: int, data: memoryview) -> None:
        """Copy in; `data` is contiguous, and of the right size for the batch."""
        ...

    def run(self) -> None:
        """Compute with the interpreter lock released."""
        ...

    def output(self, index: int) -> bytes:
        """Copy out, after a run that did not raise."""
        ...

    def reset(self) -> None:
        """Clear what the model itself remembers from one run to the next."""
        ...


class NativeModel(Protocol):
    """A model inside a runtime. Any thread."""

    @property
    def runtime(self) -> str:
        """Its name for people."""
        ...

    @property
    def encoding(self) -> Encoding: ...

    @property
    def device(self) -> Device: ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def is_batchable(self) -> bool: ...

    def build(self, batch: int) -> Computation:
        """A further computation. May raise anything."""
        ...


class PooledGraph:
    """Implements `Graph` on a native model. Contexts compute independently of each other, in parallel."""

    def __init__(self, model: NativeModel, first: Computation, *, label: str) -> None:
        """Args:
        first: a computation of one frame, already built.
        label: the model's name for messages.
        """
        self._model = model
        self._lock = threading.Lock()
        self._idle: list[tuple[int, Computation]] = [(1, first)]
        self.label = label
        self.inputs = model.inputs
        self.outputs = model.outputs
        self.encoding = model.encoding
        self.device = model.device
        self.is_batchable = model.is_batchable

    def __repr__(self) -> str:
        return f"<{self._model.runtime} graph {self.label!r} inputs={len(self.inputs)} outputs={len(self.outputs)}>"

    def acquire(self, batch: int = 1) -> ExecutionContext:
        """Take an idle computation, or build one. See `Graph.acquire`."""
        computation = self._take_idle(batch)
        try:
            if computation is None:
                self._check_batch(batch)
                computation = self._model.build(batch)
            computation.reset()
        except InferenceError:
            raise
        except Exception as error:
            raise InferenceError(
                f"another execution context: {self._model.runtime} cannot build it: {first_line(error)}",
                where=f"model `{self.label}`",
            ) from error
        return PooledContext(self, computation, batch)

    def _take_idle(self, batch: int) -> Computation | None:
        with self._lock:
            for position in range(len(self._idle) - 1, -1, -1):
                if self._idle[position][0] == batch:
                    return self._idle.pop(position)[1]
        return None

    def _release(self, computation: Computation, batch: int) -> None:
        with self._lock:
            if sum(each == batch for each, _ in self._idle) < _MOST_IDLE_OF_A_BATCH:
                self._idle.append((batch, computation))
            if len(self._idle) > _MOST_IDLE:
                self._idle.pop(0)

    def _check_batch(self, batch: int) -> None:
        where = f"model `{self.label}`"
        if batch < 1 or (batch > 1 and not self.is_batchable):
            most = "1 or more" if self.is_batchable else "1: not every tensor has a free first dimension"
            raise InferenceError(f"batch: got {batch}, expected {most}", where=where)
        largest = max((spec.nbytes for spec in (*self.inputs, *self.outputs)), default=0)
        if batch * largest > MOST_TENSOR_BYTES:
            raise InferenceError(
                f"batch: got {batch} times {largest} bytes, expected at most {MOST_TENSOR_BYTES} in one tensor",
                where=where,
            )


class PooledContext:
    """One use of a pooled computation. Implements `ExecutionContext`. Bytes are copied once in and once out."""

    def __init__(self, graph: PooledGraph, computation: Computation, batch: int) -> None:
        self._graph = graph
        self._computation: Computation | None = computation
        self._batch = batch
        self._unset = set(range(len(graph.inputs)))
        self._is_computed = False
        self._is_sound = True

    def set_input(self, index: int, data: Buffer) -> None:
        """See `ExecutionContext.set_input`."""
        computation = self._open()
        spec = self._tensor(self._graph.inputs, "input", index)
        view = memoryview(data)
        if view.nbytes != self._batch * spec.nbytes:
            times = "" if self._batch == 1 else f"{self._batch} times "
            raise self._error(
                f"input {index}: got {view.nbytes} bytes, expected {self._batch * spec.nbytes} bytes: {times}{spec}"
            )
        if not view.c_contiguous:
            raise self._error(f"input {index}: got a buffer with gaps, expected contiguous bytes")
        computation.set_input(index, view)
        self._unset.discard(index)

    def compute(self, by_s: float | None = None) -> None:
        """See `ExecutionContext.compute`. Waits for nobody, so `by_s` changes nothing."""
        computation = self._open()
        if self._unset:
            raise self._error(f"input {min(self._unset)}: not set before compute")
        self._is_computed = False
        try:
            computation.run()
        except Exception as error:
            # Its memory may be half written: close() must not put it back for the next user.
            self._is_sound = False
            raise self._error(f"compute failed: {first_line(error)}") from error
        self._is_computed = True

    def output(self, index: int) -> bytes:
        """See `ExecutionContext.output`."""
        computation = self._open()
        spec = self._tensor(self._graph.outputs, "output", index)
        if not self._is_computed:
            raise self._error(f"output {index}: read before a successful compute")
        content = computation.output(index)
        if self._batch > 1 and len(content) != self._batch * spec.nbytes:
            raise self._error(
                f"output {index}: got {len(content)} bytes for {self._batch} frames, "
                f"expected {self._batch * spec.nbytes}; its first dimension is not the batch"
            )
        return content

    def close(self) -> None:
        """See `ExecutionContext.close`."""
        computation, self._computation = self._computation, None
        if computation is not None and self._is_sound:
            self._graph._release(computation, self._batch)

    def _open(self) -> Computation:
        if self._computation is None:
            raise self._error("execution context: used after close")
        return self._computation

    def _tensor(self, specs: tuple[TensorSpec, ...], kind: str, index: int) -> TensorSpec:
        if not 0 <= index < len(specs):
            raise self._error(f"{kind} index: got {index}, expected 0 to {len(specs) - 1}")
        return specs[index]

    def _error(self, what: str) -> InferenceError:
        return InferenceError(what, where=f"model `{self._graph.label}`")


def typed_view(data: memoryview, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """`data` as an array without a copy; but truth values, of which every byte but 0 becomes 1, as one.

    Native kernels index and branch with the byte of a truth value, and trust it.
    """
    if dtype.kind == "b":
        return np.ndarray(shape, np.uint8, data).astype(np.bool_)
    return np.ndarray(shape, dtype, data)


def refuse_giants(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> None:
    """Before memory is taken: a small hostile file may declare any size.

    Raises:
        ModelInvalid: a tensor above the limit.
    """
    for kind, specs in (("input", inputs), ("output", outputs)):
        for index, spec in enumerate(specs):
            if spec.nbytes > MOST_TENSOR_BYTES:
                raise ModelInvalid(
                    f"{kind} {index} `{spec.name}`: got {spec.nbytes} bytes declared, "
                    f"expected at most {MOST_TENSOR_BYTES}"
                )


def first_line(error: BaseException) -> str:
    """The first line that is not empty of an error's text, or its kind."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
