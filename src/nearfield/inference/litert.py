"""The LiteRT backend: TFLite models on the CPU. The only file that imports `ai_edge_litert`."""

from __future__ import annotations

import functools
import importlib.metadata
import math
import re
import threading
from typing import Any, cast

import numpy as np

from nearfield.errors import ModelInvalid
from nearfield.inference.contract import Device, Encoding, Graph, ModelContent, TensorSpec
from nearfield.inference.detect import fingerprint
from nearfield.inference.devices import take_cpu
from nearfield.inference.native_log import without_lines_on_stderr
from nearfield.inference.pinned_file import PinnedFile
from nearfield.inference.pooled import MOST_TENSOR_BYTES, Computation, PooledGraph, first_line, typed_view

# LiteRT writes this to descriptor 2 once per process, when the first interpreter gets its delegate. No environment
# variable stops it (2.3.0: TF_CPP_MIN_LOG_LEVEL, ABSL_MIN_LOG_LEVEL and TFLITE_LOG_LEVEL tried), and the logger's
# threshold is not among the symbols that the library exports.
_XNNPACK_LINE = re.compile(b"INFO: Created TensorFlow Lite XNNPACK delegate")

_stderr_lock = threading.Lock()
_is_line_written = False


class LiteRtBackend:
    """TFLite models. Implements `Backend`."""

    encoding = Encoding.TENSORFLOWLITE
    name = "litert"

    def version(self) -> str:
        """See `Backend.version`."""
        return _version()

    def prepare(self) -> None:
        """Import the library: about 0.1 s."""
        import ai_edge_litert.interpreter  # noqa: F401

    def load(self, content: ModelContent, *, label: str, threads: int = 1, device: Device = Device.CPU) -> Graph:
        """See `Backend.load`. The file of a named model is mapped; that of a guest's model stays in Python's memory."""
        where = f"model `{label}`"
        take_cpu(device, label=label, runtime="LiteRT")
        if len(content.parts) != 1:
            raise ModelInvalid(f"content: got {len(content.parts)} parts, expected 1 for a TFLite model", where=where)
        try:
            model = _LiteRtModel(content, threads)
        except ModelInvalid as refused:
            raise ModelInvalid(refused.what, where=where, hint=refused.hint) from refused
        except Exception as error:
            raise ModelInvalid(
                f"content: got {fingerprint(content.parts[0])}, expected a TFLite model that LiteRT can load",
                where=where,
                hint=first_line(error),
            ) from error
        return PooledGraph(model, model.first, label=label)


class _LiteRtModel:
    """Implements `NativeModel`. The interpreters share the model's bytes."""

    runtime = "LiteRT"
    encoding = Encoding.TENSORFLOWLITE
    device = Device.CPU

    def __init__(self, content: ModelContent, threads: int) -> None:
        pinned = PinnedFile.holding(content)
        self._source: bytes | PinnedFile = content.parts[0] if pinned is None else pinned
        self._threads = threads
        native = self._native()
        _refuse_giants(native)
        inputs, outputs = native.get_input_details(), native.get_output_details()
        _refuse_free_dimensions(inputs)
        self.is_batchable = bool(inputs and outputs) and all(map(_has_free_batch, (*inputs, *outputs)))
        _allocate(native)
        self.first = _Interpreter(native)
        self.inputs = tuple(_spec(detail, "input", index) for index, detail in enumerate(native.get_input_details()))
        self.outputs = tuple(_spec(detail, "output", index) for index, detail in enumerate(native.get_output_details()))

    def build(self, batch: int) -> Computation:
        """See `NativeModel.build`."""
        native = self._native()
        if batch > 1:
            for detail, spec in zip(native.get_input_details(), self.inputs, strict=True):
                native.resize_tensor_input(int(detail["index"]), [batch, *spec.shape[1:]], strict=True)
        _allocate(native)
        return _Interpreter(native)

    def _native(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        if isinstance(self._source, bytes):
            return Interpreter(model_content=self._source, num_threads=self._threads)
        return Interpreter(model_path=self._source.path, num_threads=self._threads)


class _Interpreter:
    """A native interpreter with its tensors allocated. Implements `Computation`.

    No view of the interpreter's memory ever leaves a method, because LiteRT moves that memory and refuses to compute
    while a view exists.
    """

    def __init__(self, native: Any) -> None:
        self._native = native
        inputs, outputs = native.get_input_details(), native.get_output_details()
        self._inputs = tuple(
            (int(each["index"]), tuple(map(int, each["shape"])), np.dtype(each["dtype"])) for each in inputs
        )
        self._outputs = tuple(int(each["index"]) for each in outputs)

    def set_input(self, index: int, data: memoryview) -> None:
        """See `Computation.set_input`."""
        tensor, shape, dtype = self._inputs[index]
        self._native.set_tensor(tensor, typed_view(data, shape, dtype))

    def run(self) -> None:
        """See `Computation.run`."""
        self._native.invoke()

    def output(self, index: int) -> bytes:
        """See `Computation.output`."""
        return cast(bytes, self._native.tensor(self._outputs[index])().tobytes())

    def reset(self) -> None:
        """See `Computation.reset`."""
        self._native.reset_all_variables()


@functools.cache
def _version() -> str:
    return f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"


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
        if spec_bytes > MOST_TENSOR_BYTES:
            raise ModelInvalid(
                f"tensor `{detail['name']}`: got {spec_bytes} bytes declared, expected at most {MOST_TENSOR_BYTES}"
            )


def _declared_bytes(detail: dict[str, Any]) -> int:
    return math.prod(int(dimension) for dimension in detail["shape"]) * int(np.dtype(detail["dtype"]).itemsize)


def _refuse_free_dimensions(inputs: list[dict[str, Any]]) -> None:
    """Outputs may have them: models for detection end in operators that find their sizes while they compute."""
    for index, detail in enumerate(inputs):
        free = [axis for axis, size in enumerate(detail["shape_signature"]) if size < 0 and axis > 0]
        if free:
            raise ModelInvalid(
                f"input {index} `{detail['name']}`: got free dimension {free[0]} of "
                f"{tuple(map(int, detail['shape_signature']))}, expected none but the first to be free",
                hint="convert the model again with the size of its input fixed",
            )


def _has_free_batch(detail: dict[str, Any]) -> bool:
    signature = detail["shape_signature"]
    return len(signature) > 0 and int(signature[0]) == -1


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
