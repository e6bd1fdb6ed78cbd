"""The contract of inference: what a loaded model offers, whatever backend runs it."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from pathlib import Path
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


class Device(enum.Enum):
    """Where a model computes.

    AUTO is a wish: a graph itself is on one of the others.
    """

    CPU = "cpu"
    CUDA = "cuda"
    AUTO = "auto"


class ModelUnknown(InferenceError):
    """No model of this name is in the store."""


@dataclass(frozen=True, slots=True)
class ModelContent:
    """The bytes of a model, and where they lie if they are a file's.

    Attributes:
        parts: the whole content. One part, but for OpenVINO: the XML, and the weights if there are any.
        path: the file with exactly the first part in it, for backends that map files into memory; None for a model that
            a guest carries.
    """

    parts: tuple[bytes, ...]
    path: Path | None = None

    @property
    def nbytes(self) -> int:
        """Size of all parts together."""
        return sum(map(len, self.parts))


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How frames of several callers are put together for one compute.

    Attributes:
        max_frames: at most this many, >= 1; 1 means one at a time.
        wait_s: the longest that the first of them waits for the others, in seconds, >= 0.
    """

    max_frames: int
    wait_s: float


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model.

    Attributes:
        name: the tensor's name inside the model.
        shape: dimensions, outermost first; () is a scalar. A free first dimension counts as 1: the shape is that of
            one frame.
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

    @property
    def device(self) -> Device:
        """Where it computes; never AUTO."""
        ...

    @property
    def is_batchable(self) -> bool:
        """Whether the first dimension of every input and output is free: several frames fit into one compute."""
        ...

    def acquire(self, batch: int = 1) -> ExecutionContext:
        """Take a context from the pool; a new one is built when none is idle (milliseconds).

        Args:
            batch: frames in one compute, >= 1. Inputs take, and outputs give, that many times as many bytes, one frame
                after the other.

        Raises:
            InferenceError: the backend cannot build another one, usually for want of memory; or `batch` is above 1
                and the graph is not batchable.
        """
        ...


class Backend(Protocol):
    """A runtime for models of one encoding. Stateless; any thread."""

    @property
    def encoding(self) -> Encoding:
        """The format that it runs."""
        ...

    @property
    def name(self) -> str:
        """For people and for the workflow: `litert`."""
        ...

    def version(self) -> str:
        """Name and version of the runtime, for caches and reports.

        Raises:
            InferenceError: it is not installed; the message says how to install it.
        """
        ...

    def prepare(self) -> None:
        """Load the native library now rather than with the first model. Raises as `version`."""
        ...

    def load(self, content: ModelContent, *, label: str, threads: int = 1, device: Device = Device.CPU) -> Graph:
        """Load a model and build its first execution context.

        Args:
            content: the model, already found to be of this encoding.
            label: the model's name for messages.
            threads: native threads of each computation, >= 1.
            device: where to compute. CUDA where there is none is an error; AUTO takes the CPU then, and logs that.

        Raises:
            ModelInvalid: the runtime refuses the content, or a tensor is of a kind or size that cannot be offered.
            InferenceError: the device or the runtime is not available.
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

    def compute(self, by_s: float | None = None) -> None:
        """Run the model once. Blocks for as long as that takes, with the interpreter lock released.

        Args:
            by_s: of `time.monotonic`, when the result is of no use any longer; None: never. Only waiting for others is
                cut short by it, never a computation.

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
