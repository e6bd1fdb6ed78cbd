"""The OpenVINO backend: OpenVINO's own models (IR) on the CPU. The only file that imports `openvino`."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
import threading
from typing import Any, cast

import numpy as np

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference.contract import Device, Encoding, Graph, ModelContent, TensorSpec
from nearfield.inference.detect import fingerprint
from nearfield.inference.devices import take_cpu
from nearfield.inference.pooled import Computation, PooledGraph, refuse_giants, typed_view

# Requests that compute at the same time; each has its threads. More contexts than these wait for one another.
_MOST_STREAMS = 4

# As OpenVINO names element types. Not here: text, and floats and integers that numpy does not know.
_DTYPES = {
    "boolean": np.bool_,
    "u8": np.uint8,
    "i8": np.int8,
    "u16": np.uint16,
    "i16": np.int16,
    "u32": np.uint32,
    "i32": np.int32,
    "u64": np.uint64,
    "i64": np.int64,
    "f16": np.float16,
    "f32": np.float32,
    "f64": np.float64,
}


class OpenVinoBackend:
    """OpenVINO models. Implements `Backend`."""

    encoding = Encoding.OPENVINO
    name = "openvino"

    def version(self) -> str:
        """See `Backend.version`."""
        return _version()

    def prepare(self) -> None:
        """Import the library: about 0.3 s."""
        _core()

    def load(self, content: ModelContent, *, label: str, threads: int = 1, device: Device = Device.CPU) -> Graph:
        """See `Backend.load`. OpenVINO keeps a copy of the weights, in the order that suits its kernels."""
        where = f"model `{label}`"
        take_cpu(device, label=label, runtime="OpenVINO")
        if len(content.parts) > 2:
            raise ModelInvalid(
                f"content: got {len(content.parts)} parts, expected the XML and the weights", where=where
            )
        core = _core()
        try:
            model = _OpenVinoModel(core, content, threads)
            first = model.build(1)
        except ModelInvalid as refused:
            raise ModelInvalid(refused.what, where=where, hint=refused.hint) from refused
        except Exception as error:
            weights = f"{len(content.parts[1])} bytes" if len(content.parts) > 1 else "none"
            raise ModelInvalid(
                f"content: got {fingerprint(content.parts[0])} and weights: {weights}, "
                "expected an OpenVINO model that OpenVINO can load",
                where=where,
                hint=_reason(error),
            ) from error
        return PooledGraph(model, first, label=label)


class _OpenVinoModel:
    """Implements `NativeModel`.

    Compiled once for single frames, and once for all other batches when the first of those is wanted: what is compiled
    for one size is quicker than what takes any.
    """

    runtime = "OpenVINO"
    encoding = Encoding.OPENVINO
    device = Device.CPU

    def __init__(self, core: Any, content: ModelContent, threads: int) -> None:
        self._core = core
        self._settings = _settings(threads)
        self._lock = threading.Lock()
        self._for_batches: Any = None
        self._free_model = core.read_model(*content.parts)
        _refuse_free_dimensions(self._free_model)
        self.is_batchable = _is_batchable(self._free_model)
        single = self._free_model.clone()
        single.reshape(_shapes(single, 1))
        self.inputs = tuple(_spec(port, "input", index) for index, port in enumerate(single.inputs))
        self.outputs = tuple(_spec(port, "output", index) for index, port in enumerate(single.outputs))
        refuse_giants(self.inputs, self.outputs)
        self._for_one = core.compile_model(single, "CPU", self._settings)

    def build(self, batch: int) -> Computation:
        """See `NativeModel.build`. The first for a batch above 1 compiles: tens of milliseconds."""
        if batch == 1:
            return _Request(self._for_one, self.inputs, 1)
        with self._lock:
            if self._for_batches is None:
                self._for_batches = self._core.compile_model(self._free_model, "CPU", self._settings)
        return _Request(self._for_batches, self.inputs, batch)


class _Request:
    """An infer request with input tensors of its own. Implements `Computation`."""

    def __init__(self, compiled: Any, inputs: tuple[TensorSpec, ...], batch: int) -> None:
        openvino = _openvino()
        self._native = compiled.create_infer_request()
        self._has_state = bool(self._native.query_state())
        self._inputs = []
        for index, (port, spec) in enumerate(zip(compiled.inputs, inputs, strict=True)):
            shape = spec.shape if batch == 1 else (batch, *spec.shape[1:])
            tensor = openvino.Tensor(port.get_element_type(), openvino.Shape(list(shape)))
            self._native.set_input_tensor(index, tensor)
            self._inputs.append(tensor.data)

    def set_input(self, index: int, data: memoryview) -> None:
        """See `Computation.set_input`."""
        buffer = self._inputs[index]
        np.copyto(buffer, typed_view(data, buffer.shape, buffer.dtype))

    def run(self) -> None:
        """See `Computation.run`."""
        self._native.infer(share_outputs=True)

    def output(self, index: int) -> bytes:
        """See `Computation.output`."""
        return cast(bytes, self._native.get_output_tensor(index).data.tobytes())

    def reset(self) -> None:
        """See `Computation.reset`."""
        if self._has_state:
            self._native.reset_state()


@functools.cache
def _openvino() -> Any:
    """The package without its converters, which bring a client for Intel's usage statistics along.

    The runtime alone sends nothing. The converters do when they are used, with a file in the home directory; here they
    cannot even be imported while OpenVINO itself is.
    """
    is_blocked = "openvino.tools" not in sys.modules
    if is_blocked:
        sys.modules["openvino.tools"] = cast(Any, None)
    try:
        import openvino
    except ImportError as error:
        raise _not_installed() from error
    finally:
        if is_blocked:
            del sys.modules["openvino.tools"]
    return openvino


@functools.cache
def _core() -> Any:
    return _openvino().Core()


@functools.cache
def _version() -> str:
    try:
        return f"openvino {importlib.metadata.version('openvino')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise _not_installed() from error


def _not_installed() -> InferenceError:
    return InferenceError(
        "OpenVINO: not installed, but wanted for OpenVINO models", hint="pip install 'nearfield[openvino]'"
    )


def _settings(threads: int) -> dict[str, Any]:
    streams = max(1, min(_MOST_STREAMS, len(os.sched_getaffinity(0)) // threads))
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * threads,
        # Several workers share the machine; pinned, all of them would sit on its first cores.
        "ENABLE_CPU_PINNING": False,
        # Some processors would compute in bfloat16, with other results.
        "INFERENCE_PRECISION_HINT": "f32",
    }


def _is_batchable(model: Any) -> bool:
    """Whether every tensor has a free first dimension, and twice the frames give twice the outputs."""
    ports = (*model.inputs, *model.outputs)
    if not model.inputs or not model.outputs or not all(map(_has_free_batch, ports)):
        return False
    doubled = model.clone()
    try:
        doubled.reshape(_shapes(doubled, 2))
    except RuntimeError:
        return False
    return all(port.partial_shape.is_static and port.partial_shape[0].get_length() == 2 for port in doubled.outputs)


def _shapes(model: Any, batch: int) -> dict[int, Any]:
    """Shapes of the inputs with a free first dimension set."""
    openvino = _openvino()
    shapes = {}
    for index, port in enumerate(model.inputs):
        shape = openvino.PartialShape(port.partial_shape)
        if _has_free_batch(port):
            shape[0] = openvino.Dimension(batch)
        shapes[index] = shape
    return shapes


def _has_free_batch(port: Any) -> bool:
    shape = port.partial_shape
    return shape.rank.is_static and len(shape) > 0 and shape[0].is_dynamic


def _refuse_free_dimensions(model: Any) -> None:
    for index, port in enumerate(model.inputs):
        shape = port.partial_shape
        if shape.rank.is_dynamic:
            raise _free(f"input {index} `{_name(port)}`", "a free number of dimensions")
        _refuse_free_tail(shape, f"input {index} `{_name(port)}`")


def _refuse_free_tail(shape: Any, where: str) -> None:
    for axis in range(1, len(shape)):
        if shape[axis].is_dynamic:
            raise _free(where, f"free dimension {axis} of {shape}")


def _free(where: str, got: str) -> ModelInvalid:
    return ModelInvalid(
        f"{where}: got {got}, expected none but the first to be free",
        hint="convert the model again with fixed sizes: `ovc MODEL --input NAME[1,HEIGHT,WIDTH,3]`",
    )


def _spec(port: Any, kind: str, index: int) -> TensorSpec:
    where = f"{kind} {index} `{_name(port)}`"
    element = port.get_element_type().get_type_name()
    dtype = _DTYPES.get(element)
    if dtype is None:
        raise ModelInvalid(f"{where}: got elements of type `{element}`, expected numbers or truth values")
    shape = port.partial_shape
    if shape.rank.is_dynamic:
        raise _free(where, "a free number of dimensions")
    _refuse_free_tail(shape, where)
    sizes = tuple(1 if size.is_dynamic else int(size.get_length()) for size in shape)
    return TensorSpec(_name(port), sizes, np.dtype(dtype), 0.0, 0)


def _name(port: Any) -> str:
    """A tensor may have several names, in no order, or none."""
    names = port.get_names()
    return min(names) if names else str(port.get_node().get_friendly_name())


def _reason(error: BaseException) -> str:
    """OpenVINO puts the places in its source first, and what is wrong last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
