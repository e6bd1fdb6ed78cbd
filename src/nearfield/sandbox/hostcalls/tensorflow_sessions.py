"""Sessions of module `wasmedge_tensorflow`: what both of its generations do.

Inputs and outputs go by operation and index; the content of an output is there after a successful run.
"""

from __future__ import annotations

import math
import time
from struct import iter_unpack
from typing import TYPE_CHECKING, Any

import numpy as np

from nearfield.errors import InferenceError
from nearfield.inference.tensorflow_runtime import TensorName
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.wasmedge_errnos import warn

if TYPE_CHECKING:
    import numpy.typing as npt

    from nearfield.inference.tensorflow_runtime import TensorFlowGraph, TensorFlowSession

MODULE = "wasmedge_tensorflow"

# `TF_DataType` of TensorFlow's C interface, as far as WasmEdge hands it on.
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    17: np.dtype(np.uint16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}

# No network has more; each is a name and an array that the host keeps.
_MOST_TENSORS = 64
_MOST_DIMENSIONS = 16


class Session:
    """A graph with the inputs and outputs that a guest named, and what the last successful run gave.

    Attributes:
        outputs: in the guest's order; generation B numbers tensors by their place here.
        tensors: handles of outputs (generation A).
    """

    def __init__(self, graph: TensorFlowGraph, native: TensorFlowSession) -> None:
        self.graph = graph
        self.inputs: dict[TensorName, npt.NDArray[Any]] = {}
        self.outputs: list[TensorName] = []
        self.results: dict[TensorName, bytes] = {}
        self.tensors: dict[TensorName, int] = {}
        self._native = native

    @property
    def held_bytes(self) -> int:
        """Of inputs and results, which the host keeps for the guest."""
        return sum(value.nbytes for value in self.inputs.values()) + sum(map(len, self.results.values()))

    def compute(self, within_s: float) -> list[npt.NDArray[Any]]:
        """Values of the outputs. Raises `InferenceError`."""
        return self._native.run(self.inputs, self.outputs, within_s)

    def close(self) -> None:
        """Give the session back to its graph. Idempotent."""
        self.inputs.clear()
        self.results.clear()
        self._native.close()


class OutputTensor:
    """One output of a session, for generation A."""

    def __init__(self, session: Session, name: TensorName) -> None:
        self.session = session
        self.name = name

    def content(self) -> bytes | None:
        """Of the last successful run; None without one, or when the output was cleared."""
        return self.session.results.get(self.name)

    def close(self) -> None:
        """Nothing to give back; the session owns the content."""


def close_session(host: Host, number: int) -> None:
    session = host.handles.remove(number, Session)
    if session is not None:
        _forget_tensors(host, session)


def run(host: Host, session: Session) -> bool:
    session.results = {}
    try:
        with host.timed("inference") as timed:
            try:
                values = session.compute(max(host.call.ends_at_s - time.monotonic(), 0.0))
            finally:
                host.call.model_ns += timed.elapsed_ns()
        _require_memory(host, sum(value.nbytes for value in values))
    except InferenceError as exc:
        warn(host, MODULE, f"run_session: {exc}")
        return False
    session.results = {name: value.tobytes() for name, value in zip(session.outputs, values, strict=True)}
    return True


def append_input(
    host: Host, session: Session, name: TensorName | None, dims: tuple[int, int], dtype: int, data: tuple[int, int]
) -> bool:
    """Take an input over; one of the same name is replaced.

    Args:
        dims: pointer to the dimensions, i64 each, and their number.
        dtype: of `DTYPES`.
        data: pointer and bytes.

    Raises:
        OutOfBounds: the dimensions or the data are not inside the memory.
    """
    host.memory.check(*data)
    dims_pointer, rank = dims
    host.memory.check(dims_pointer, 8 * rank)
    if rank > _MOST_DIMENSIONS:
        warn(host, MODULE, f"append_input: got {rank} dimensions, expected at most {_MOST_DIMENSIONS}")
        return False
    shape = tuple(size for (size,) in iter_unpack("<q", host.memory.read(dims_pointer, 8 * rank)))
    problem = problem_with_input(session.graph, name, shape, dtype, data[1])
    if problem is None and name not in session.inputs and len(session.inputs) >= _MOST_TENSORS:
        problem = f"got more than {_MOST_TENSORS} inputs"
    if problem is not None or name is None:
        warn(host, MODULE, f"append_input: {problem}")
        return False
    session.inputs.pop(name, None)
    try:
        _require_memory(host, data[1])
    except InferenceError as exc:
        warn(host, MODULE, f"append_input: {exc}")
        return False
    session.inputs[name] = _array(host.memory.read(*data), shape, DTYPES[dtype])
    return True


def problem_with_input(
    graph: TensorFlowGraph, name: TensorName | None, shape: tuple[int, ...], dtype: int, length: int
) -> str | None:
    """Why a guest's tensor cannot be an input; None when it can."""
    kind = None if name is None else graph.element_type(name)
    if kind is None:
        return f"got `{name}`, expected a tensor of model `{graph.label}` that is made of numbers"
    if DTYPES.get(dtype) != kind:
        return f"got type {dtype} for `{name}`, expected that of {kind}"
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != length:
        return f"got {length} bytes for {shape} {kind}"
    return None


def append_output(host: Host, session: Session, name: TensorName | None) -> bool:
    """Have a tensor computed by the next run."""
    if name is None or not session.graph.may_compute(name):
        warn(host, MODULE, f"append_output: got `{name}`, expected a tensor of model `{session.graph.label}`")
        return False
    if name not in session.outputs:
        if len(session.outputs) >= _MOST_TENSORS:
            warn(host, MODULE, f"append_output: got more than {_MOST_TENSORS} outputs")
            return False
        session.outputs.append(name)
    return True


def clear_outputs(host: Host, session: Session) -> None:
    _forget_tensors(host, session)
    session.outputs.clear()
    session.results = {}


def tensor_handle(host: Host, session: Session, name: TensorName | None) -> int:
    """Handle of an output, for generation A; 0 before a successful run."""
    if name is None or name not in session.results:
        return 0
    if name not in session.tensors:
        if not host.handles.has_room():
            return 0
        session.tensors[name] = host.handles.add(OutputTensor(session, name))
    return session.tensors[name]


def tensor_name(text: str | None, index: int | None = None) -> TensorName | None:
    """What a guest calls a tensor: an operation, and an index given apart (generation A) or behind a colon (B).

    Returns:
        None for what nothing can be called.
    """
    if not text:
        return None
    if index is not None:
        return TensorName(text, index)
    operation, colon, digits = text.rpartition(":")
    if not colon:
        return TensorName(text)
    return TensorName(operation, int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 6 else None


def _forget_tensors(host: Host, session: Session) -> None:
    for tensor in session.tensors.values():
        host.handles.remove(tensor, OutputTensor)
    session.tensors.clear()


def _require_memory(host: Host, further: int) -> None:
    """What the host keeps for the guest is limited like the guest's own memory, which it comes from and goes to."""
    held = sum(session.held_bytes for session in host.handles.all_of(Session))
    if held + further > host.limits.memory_bytes:
        raise InferenceError(f"got {held + further} bytes of tensors, expected at most {host.limits.memory_bytes}")


def _array(content: bytes, shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    # Native kernels trust that a truth value is 0 or 1.
    values = np.frombuffer(content, np.uint8) != 0 if dtype.kind == "b" else np.frombuffer(content, dtype)
    return values.reshape(shape)
