"""The contract of inference: what a loaded model offers, whatever backend runs it."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nearfield.errors import InferenceError

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Encoding(enum.IntEnum):
    """Format of a model. The numbers are those of wasi-nn's `graph_encoding`."""

    OPENVINO = 0
    ONNX = 1
    TENSORFLOW = 2
    PYTORCH = 3
    TENSORFLOWLITE = 4
    AUTODETECT = 5


class ModelUnknown(InferenceError):
    """No model of this name is in the store."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: the tensor's name inside the model.
        shape: dimensions, outermost first; () is a scalar.
        dtype: element type, in native byte order.
        scale: quantisation step; 0.0 for a tensor that is not quantised as a whole.
        zero_point: stored value that means 0.0. real = scale * (stored - zero_point).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    @property
    def nbytes(self) -> int:
        """Size in bytes of one whole value, in C order without padding."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype.name}"


class Graph(Protocol):
    """A loaded model. Shared: any thread may read its fields and acquire contexts at any time."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in the model's order."""
        ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, in the model's order. The first dimension of a dynamic output may differ after a compute."""
        ...

    @property
    def encoding(self) -> Encoding:
        """Format that the model was loaded from; never AUTODETECT."""
        ...

    @property
    def label(self) -> str:
        """The model's name for messages to people."""
        ...

    def acquire(self) -> ExecutionContext:
        """Take a context from the pool; a new one is built when none is idle (milliseconds).

        Raises:
            InferenceError: the backend cannot build another one, usually for want of memory.
        """
        ...


class ExecutionContext(Protocol):
    """One computation at a time on a graph. Used by one thread at a time; `close` gives it back to the pool.

    Nothing passes from one user of a pooled context to the next: inputs count as unset, outputs as not computed, and
    a model's own variables are reset.
    """

    def set_input(self, index: int, data: Buffer) -> None:
        """Copy `data` into input `index`. The caller may reuse the buffer at once.

        Args:
            index: position in `Graph.inputs`.
            data: exactly `inputs[index].nbytes` bytes, C order, little-endian.

        Raises:
            InferenceError: no such input, a wrong size, a buffer with gaps, or a closed context.
        """
        ...

    def compute(self) -> None:
        """Run the model once. Blocks for as long as that takes, with the interpreter lock released.

        Raises:
            InferenceError: an input was not set since `acquire`, the backend failed, or the context is closed.
        """
        ...

    def output(self, index: int) -> bytes:
        """Copy of output `index` as the last successful compute left it, C order, little-endian.

        Raises:
            InferenceError: no such output, nothing computed yet, the last compute failed, or a closed context.
        """
        ...

    def close(self) -> None:
        """Give the context back. Idempotent; every other method fails afterwards."""
        ...
