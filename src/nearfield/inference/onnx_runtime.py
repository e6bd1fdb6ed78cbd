"""The ONNX Runtime backend: ONNX models on the CPU or with CUDA. The only file that imports `onnxruntime`."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
from typing import Any

import numpy as np

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference.contract import Device, Encoding, Graph, ModelContent, TensorSpec
from nearfield.inference.detect import fingerprint
from nearfield.inference.devices import log_fallback
from nearfield.inference.native_log import without_lines_on_stderr
from nearfield.inference.onnx_file import external_tensor
from nearfield.inference.pooled import Computation, PooledGraph, first_line, refuse_giants, typed_view

_CPU_PROVIDER = "CPUExecutionProvider"
_CUDA_PROVIDER = "CUDAExecutionProvider"

# The same code under two names in the package index, of which only one is installed at a time.
_DISTRIBUTIONS = ("onnxruntime", "onnxruntime-gpu")

# Only what would end the process. What it reports as an error it also raises, and we say it ourselves.
_FATAL = 4

# Importing looks for GPUs before a severity can be set; a contained process may not look.
_DEVICE_WARNING = re.compile(rb"(\x1b\[[0-9;]*m)*[-0-9]+ [.:0-9]+ \[W:onnxruntime:Default, device_discovery\.cc")

_STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")

# As ONNX Runtime names the elements of tensors. Not here: text, and floats and integers that numpy does not know.
_DTYPES = {
    "tensor(bool)": np.bool_,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
}


class OnnxRuntimeBackend:
    """ONNX models. Implements `Backend`."""

    encoding = Encoding.ONNX
    name = "onnxruntime"

    def version(self) -> str:
        """See `Backend.version`."""
        return _version()

    def prepare(self) -> None:
        """Import the library: about 0.2 s."""
        _runtime()

    def load(self, content: ModelContent, *, label: str, threads: int = 1, device: Device = Device.CPU) -> Graph:
        """See `Backend.load`.

        The content goes in as bytes: a file would be read and copied all the same, and could name further ones.
        """
        where = f"model `{label}`"
        model_bytes = _only_part(content, where)
        _refuse_external_data(model_bytes, where)
        try:
            session, taken = _open_session(model_bytes, threads, device, label)
        except InferenceError:
            raise
        except Exception as error:
            raise ModelInvalid(
                f"content: got {fingerprint(model_bytes)}, expected an ONNX model that ONNX Runtime can load",
                where=where,
                hint=_reason(error),
            ) from error
        try:
            model = _OnnxModel(session, taken)
        except ModelInvalid as refused:
            raise ModelInvalid(refused.what, where=where, hint=refused.hint) from refused
        return PooledGraph(model, model.build(1), label=label)


class _OnnxModel:
    """Implements `NativeModel`: one session, which any number of threads may run at once."""

    runtime = "ONNX Runtime"
    encoding = Encoding.ONNX

    def __init__(self, session: Any, device: Device) -> None:
        self.device = device
        self._session = session
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self.inputs = tuple(_spec(argument, "input", index) for index, argument in enumerate(inputs))
        self.outputs = tuple(_spec(argument, "output", index) for index, argument in enumerate(outputs))
        refuse_giants(self.inputs, self.outputs)
        # Dimensions with two names are two dimensions: the second could be the number of things found.
        batches = {_free_batch(argument) for argument in (*inputs, *outputs)}
        self.is_batchable = bool(inputs and outputs) and len(batches) == 1 and None not in batches
        self._is_free = tuple(_free_batch(argument) is not None for argument in outputs)

    def build(self, batch: int) -> Computation:
        """See `NativeModel.build`."""
        return _Binding(self._session, self.inputs, self.outputs, self._is_free, batch)


class _Binding:
    """Buffers for one compute, bound to a session's names once. Implements `Computation`.

    Measured with 110 kB in and out: 12 us instead of 34 for `session.run`, which looks at its arguments again and
    allocates.
    """

    def __init__(
        self,
        session: Any,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        is_free: tuple[bool, ...],
        batch: int,
    ) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._inputs = [np.zeros(_batched(spec.shape, batch), spec.dtype) for spec in inputs]
        for spec, buffer in zip(inputs, self._inputs, strict=True):
            self._binding.bind_input(spec.name, "cpu", 0, spec.dtype, buffer.shape, buffer.ctypes.data)
        # An output with a free first dimension gets its memory from the runtime.
        self._outputs = [
            None if free else np.zeros(spec.shape, spec.dtype) for spec, free in zip(outputs, is_free, strict=True)
        ]
        self._free_names = [spec.name for spec, free in zip(outputs, is_free, strict=True) if free]
        for spec, output in zip(outputs, self._outputs, strict=True):
            if output is None:
                self._binding.bind_output(spec.name, "cpu")  # keeps their order, which `get_outputs` has
            else:
                self._binding.bind_output(spec.name, "cpu", 0, spec.dtype, output.shape, output.ctypes.data)

    def set_input(self, index: int, data: memoryview) -> None:
        """See `Computation.set_input`."""
        buffer = self._inputs[index]
        np.copyto(buffer, typed_view(data, buffer.shape, buffer.dtype))

    def run(self) -> None:
        """See `Computation.run`."""
        for name in self._free_names:
            # What is bound otherwise is the memory of the run before, which only takes as many rows again.
            self._binding.bind_output(name, "cpu")
        # Without options of a run, which cost 0.2 ms each time; the session's severity counts for them too.
        self._session.run_with_iobinding(self._binding)

    def output(self, index: int) -> bytes:
        """See `Computation.output`."""
        buffer = self._outputs[index]
        if buffer is None:
            buffer = self._binding.get_outputs()[index].numpy()
        return buffer.tobytes()

    def reset(self) -> None:
        """See `Computation.reset`: a session keeps nothing from one run to the next."""


@functools.cache
def _runtime() -> Any:
    # From 1.29 on, the wheel for Linux reports to its makers: what is run, with a number for this machine, which it
    # keeps in the home directory. Only this variable stops all of it, and only when it is there before the import.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    # A model has no say in how it is run.
    os.environ["ORT_LOAD_CONFIG_FROM_MODEL"] = "0"
    try:
        with without_lines_on_stderr(_DEVICE_WARNING):
            import onnxruntime
    except ImportError as error:
        raise _not_installed(error) from error
    onnxruntime.set_default_logger_severity(_FATAL)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


@functools.cache
def _version() -> str:
    for name in _DISTRIBUTIONS:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    raise _not_installed(None)


def _not_installed(error: ImportError | None) -> InferenceError:
    reason = "" if error is None else f" ({first_line(error)})"
    return InferenceError(
        f"ONNX Runtime: not installed{reason}, but wanted for ONNX models", hint="pip install onnxruntime"
    )


def _open_session(content: bytes, threads: int, device: Device, label: str) -> tuple[Any, Device]:
    """A session on the device, or on the CPU where AUTO finds nothing else."""
    if device is Device.CPU:
        return _session(content, threads, [_CPU_PROVIDER]), Device.CPU
    lack = _lack_of_cuda()
    if lack is None:
        session = _session(content, threads, [_CUDA_PROVIDER, _CPU_PROVIDER])
        if _CUDA_PROVIDER in session.get_providers():
            return session, Device.CUDA
        lack = "CUDA did not start: no GPU that it can use, or its libraries (CUDA, cuDNN) are missing"
    if device is Device.CUDA:
        raise InferenceError(
            f"device: got cuda, expected cpu or auto: {lack}",
            where=f"model `{label}`",
            hint="install `onnxruntime-gpu` in place of `onnxruntime`, and NVIDIA's driver",
        )
    log_fallback(label, lack)
    return _session(content, threads, [_CPU_PROVIDER]), Device.CPU


def _lack_of_cuda() -> str | None:
    """Why CUDA cannot be tried, or None. Loads CUDA's libraries where they were installed with pip."""
    runtime = _runtime()
    if _CUDA_PROVIDER not in runtime.get_available_providers():
        return f"{_version()} is built without CUDA"
    if hasattr(runtime, "preload_dlls"):
        runtime.preload_dlls()
    return None


def _session(content: bytes, threads: int, providers: list[str]) -> Any:
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    # Threads that wait for work would spin on the cores that decode pictures and run guests meanwhile.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _FATAL
    return runtime.InferenceSession(content, options, providers=providers)


def _reason(error: BaseException) -> str:
    """Without the number and the name of the status, which say the same for most errors."""
    return _STATUS.sub("", first_line(error))


def _only_part(content: ModelContent, where: str) -> bytes:
    if len(content.parts) != 1:
        raise ModelInvalid(f"content: got {len(content.parts)} parts, expected 1 for an ONNX model", where=where)
    return content.parts[0]


def _refuse_external_data(content: bytes, where: str) -> None:
    """Before the runtime sees it: which files a model may name has been got wrong there more than once."""
    try:
        name = external_tensor(content)
    except ValueError as error:
        raise ModelInvalid(
            f"content: got {fingerprint(content)}, expected an ONNX model", where=where, hint=first_line(error)
        ) from error
    if name is not None:
        raise ModelInvalid(
            f"tensor `{name}`: got values in another file, expected them inside the model",
            where=where,
            hint="save the model as a single file: `onnx.save(onnx.load(path), single, save_as_external_data=False)`",
        )


def _spec(argument: Any, kind: str, index: int) -> TensorSpec:
    where = f"{kind} {index} `{argument.name}`"
    dtype = _DTYPES.get(argument.type)
    if dtype is None:
        raise ModelInvalid(f"{where}: got elements of type `{argument.type}`, expected numbers or truth values")
    for axis, size in enumerate(argument.shape):
        if axis > 0 and not isinstance(size, int):
            name = "" if size is None else f" `{size}`"
            raise ModelInvalid(
                f"{where}: got free dimension {axis}{name} of {tuple(argument.shape)}, "
                "expected none but the first to be free",
                hint=_fix(size),
            )
    shape = tuple(size if isinstance(size, int) else 1 for size in argument.shape)
    return TensorSpec(argument.name, shape, np.dtype(dtype), 0.0, 0)


def _fix(name: str | None) -> str:
    if name is None:
        return "export the model again with fixed sizes"
    return f"python -m onnxruntime.tools.make_dynamic_shape_fixed --dim_param {name} --dim_value SIZE IN.onnx OUT.onnx"


def _free_batch(argument: Any) -> str | None:
    """Name of a free first dimension, which may be empty; None when there is no such dimension."""
    shape = argument.shape
    if not shape or isinstance(shape[0], int):
        return None
    return shape[0] or ""


def _batched(shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    return shape if batch == 1 else (batch, *shape[1:])
