"""The LiteRT backend: TFLite models on the CPU. The only file that imports `ai_edge_litert`."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference.contract import Encoding, ExecutionContext, TensorSpec
from nearfield.inference.detect import fingerprint
from nearfield.inference.native_log import without_lines_on_stderr

if TYPE_CHECKING:
    from typing_extensions import Buffer

# LiteRT writes this to descriptor 2 once per process, when the first interpreter gets its delegate. No environment
# variable stops it (2.3.0: TF_CPP_MIN_LOG_LEVEL, ABSL_MIN_LOG_LEVEL and TFLITE_LOG_LEVEL tried), and the logger's
# threshold is not among the symbols that the library exports.
_XNNPACK_LINE = b"INFO: Created TensorFlow Lite XNNPACK delegate"

# Idle interpreters kept per graph. Each holds its own arena and repacked weights (about the model's size again);
# building one takes about 5 ms for a 2.6 MB model.
_MOST_IDLE = 4

# 1 GiB in one tensor: far beyond any model for the edge, and well below what ends the process.
_MOST_TENSOR_BYTES = 1024**3

_stderr_lock = threading.Lock()
_is_line_written = False


@functools.cache
def backend_version() -> str:
    """Name and version of the runtime, for caches and reports."""
    return f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"


def import_backend() -> None:
    """Load the native library (about 0.1 s) now rather than with the first model."""
    import ai_edge_litert.interpreter  # noqa: F401


class LiteRtGraph:
    """A TFLite model in memory, with a pool of interpreters. Implements `Graph`.

    The interpreters share the model's bytes; they compute independently, so contexts run in parallel.
    """

    encoding = Encoding.TENSORFLOWLITE

    def __init__(self, content: bytes, *, label: str, threads: int = 1) -> None:
        """Build the first interpreter.

        Args:
            content: the whole file.
            label: the model's name for messages.
            threads: native threads of each interpreter, >= 1.

        Raises:
            ModelInvalid: LiteRT refuses the bytes, or a tensor is of a kind or size that cannot be offered.
        """
        self.label = label
        self._content = content
        self._threads = threads
        self._lock = threading.Lock()
        self._idle: list[_Interpreter] = []
        try:
            first = _build(content, threads, is_known=False)
        except ModelInvalid as refused:
            raise ModelInvalid(refused.what, where=f"model `{label}`", hint=refused.hint) from refused
        except Exception as error:
            raise ModelInvalid(
                f"content: got {fingerprint(content)}, expected a TFLite model that LiteRT can load",
                where=f"model `{label}`",
                hint=_first_line(error),
            ) from error
        self.inputs = first.inputs
        self.outputs = first.outputs
        self._idle.append(first)

    def __repr__(self) -> str:
        return f"<LiteRtGraph {self.label!r} inputs={len(self.inputs)} outputs={len(self.outputs)}>"

    def acquire(self) -> ExecutionContext:
        """Take an idle interpreter, or build one. See `Graph.acquire`."""
        with self._lock:
            interpreter = self._idle.pop() if self._idle else None
        try:
            if interpreter is None:
                interpreter = _build(self._content, self._threads, is_known=True)
            interpreter.native.reset_all_variables()
        except Exception as error:
            raise InferenceError(
                f"another execution context: LiteRT cannot build it: {_first_line(error)}",
                where=f"model `{self.label}`",
            ) from error
        return LiteRtContext(self, interpreter)

    def _release(self, interpreter: _Interpreter) -> None:
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(interpreter)


class LiteRtContext:
    """One use of a pooled interpreter. Implements `ExecutionContext`.

    Bytes are copied in and out once each; no view of the interpreter's memory ever leaves a method, because
    LiteRT moves that memory and refuses to compute while a view exists.
    """

    def __init__(self, graph: LiteRtGraph, interpreter: _Interpreter) -> None:
        self._graph = graph
        self._interpreter: _Interpreter | None = interpreter
        self._unset = set(range(len(graph.inputs)))
        self._is_computed = False

    def set_input(self, index: int, data: Buffer) -> None:
        """See `ExecutionContext.set_input`."""
        interpreter = self._open()
        spec = self._tensor(self._graph.inputs, "input", index)
        view = memoryview(data)
        if view.nbytes != spec.nbytes:
            raise self._error(f"input {index}: got {view.nbytes} bytes, expected {spec.nbytes} bytes: {spec}")
        if not view.c_contiguous:
            raise self._error(f"input {index}: got a buffer with gaps, expected contiguous bytes")
        interpreter.native.set_tensor(interpreter.input_ids[index], np.ndarray(spec.shape, spec.dtype, view))
        self._unset.discard(index)

    def compute(self) -> None:
        """See `ExecutionContext.compute`."""
        interpreter = self._open()
        if self._unset:
            raise self._error(f"input {min(self._unset)}: not set before compute")
        self._is_computed = False
        try:
            interpreter.native.invoke()
        except Exception as error:
            # Its memory may be half written: close() must not put it back for the next user.
            interpreter.is_sound = False
            raise self._error(f"compute failed: {_first_line(error)}") from error
        self._is_computed = True

    def output(self, index: int) -> bytes:
        """See `ExecutionContext.output`."""
        interpreter = self._open()
        self._tensor(self._graph.outputs, "output", index)
        if not self._is_computed:
            raise self._error(f"output {index}: read before a successful compute")
        return cast(bytes, interpreter.native.tensor(interpreter.output_ids[index])().tobytes())

    def close(self) -> None:
        """See `ExecutionContext.close`."""
        interpreter, self._interpreter = self._interpreter, None
        if interpreter is not None and interpreter.is_sound:
            self._graph._release(interpreter)

    def _open(self) -> _Interpreter:
        if self._interpreter is None:
            raise self._error("execution context: used after close")
        return self._interpreter

    def _tensor(self, specs: tuple[TensorSpec, ...], kind: str, index: int) -> TensorSpec:
        if not 0 <= index < len(specs):
            raise self._error(f"{kind} index: got {index}, expected 0 to {len(specs) - 1}")
        return specs[index]

    def _error(self, what: str) -> InferenceError:
        return InferenceError(what, where=f"model `{self._graph.label}`")


class _Interpreter:
    """A native interpreter with its tensors allocated, and the ids that its calls want."""

    def __init__(self, native: Any) -> None:
        self.native = native
        self.is_sound = True
        inputs, outputs = native.get_input_details(), native.get_output_details()
        self.inputs = tuple(_spec(detail, "input", index) for index, detail in enumerate(inputs))
        self.outputs = tuple(_spec(detail, "output", index) for index, detail in enumerate(outputs))
        self.input_ids = tuple(int(detail["index"]) for detail in inputs)
        self.output_ids = tuple(int(detail["index"]) for detail in outputs)


def _build(content: bytes, threads: int, *, is_known: bool) -> _Interpreter:
    from ai_edge_litert.interpreter import Interpreter

    native = Interpreter(model_content=content, num_threads=threads)
    if not is_known:
        _refuse_giants(native)
    _allocate(native)
    return _Interpreter(native)


def _allocate(native: Any) -> None:
    """Plan and take the memory. Until LiteRT has written its line, that line is waited for and kept back."""
    global _is_line_written
    if _is_line_written:
        native.allocate_tensors()
        return
    with _stderr_lock, without_lines_on_stderr(_XNNPACK_LINE) as kept_back:
        native.allocate_tensors()
    _is_line_written = bool(kept_back)


def _refuse_giants(native: Any) -> None:
    """Before memory is taken: a small hostile file may declare any size."""
    for detail in native.get_tensor_details():
        spec_bytes = _declared_bytes(detail)
        if spec_bytes > _MOST_TENSOR_BYTES:
            raise ModelInvalid(
                f"tensor `{detail['name']}`: got {spec_bytes} bytes declared, expected at most {_MOST_TENSOR_BYTES}"
            )


def _declared_bytes(detail: dict[str, Any]) -> int:
    return math.prod(int(dimension) for dimension in detail["shape"]) * int(np.dtype(detail["dtype"]).itemsize)


def _spec(detail: dict[str, Any], kind: str, index: int) -> TensorSpec:
    dtype = np.dtype(detail["dtype"])
    if dtype.kind not in "biufc":
        raise ModelInvalid(f"{kind} {index}: got elements of type `{dtype}`, expected numbers")
    scale, zero_point = detail["quantization"]
    return TensorSpec(
        name=str(detail["name"]),
        shape=tuple(int(dimension) for dimension in detail["shape"]),
        dtype=dtype,
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
