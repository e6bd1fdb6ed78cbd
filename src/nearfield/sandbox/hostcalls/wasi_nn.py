"""Inference for guests: module `wasi_ephemeral_nn` with WasmEdge's additions.

Source: WebAssembly/wasi-nn `wasi-nn.witx` for the six standard functions, layouts and errnos; WasmEdge for the others.
"""

from __future__ import annotations

import math
from struct import Struct, iter_unpack
from typing import TYPE_CHECKING, Any

from nearfield.errors import ConfigError, InferenceError, ModelInvalid
from nearfield.inference import Encoding, ModelUnknown
from nearfield.sandbox.call import WARNING
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host, ModelTooLarge
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.tensors import number_fits
from nearfield.sandbox.signature import Signature

if TYPE_CHECKING:
    from nearfield.inference import ExecutionContext, Graph, TensorSpec

MODULE = "wasi_ephemeral_nn"

SUCCESS, INVALID_ARGUMENT, INVALID_ENCODING, MISSING_MEMORY, BUSY, RUNTIME_ERROR = 0, 1, 2, 3, 4, 5
UNSUPPORTED_OPERATION, TOO_LARGE, NOT_FOUND = 6, 7, 8

CPU, AUTO = 0, 3

_BUILDER = Struct("<II")
# Dimensions, number of dimensions, type (three bytes of padding may hold anything), data, bytes.
_TENSOR = Struct("<IIBxxxII")
_MOST_DIMENSIONS = 16


class OpenGraph:
    """A graph that a guest loaded. The store keeps the model itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def close(self) -> None:
        """Nothing to give back."""


class OpenContext:
    """An execution context that a guest made; keeps its graph alive after `unload`."""

    def __init__(self, graph: Graph, context: ExecutionContext) -> None:
        self.graph = graph
        self.context = context

    def close(self) -> None:
        """Give the context back to the graph's pool."""
        self.context.close()


def load(host: Host, builders_pointer: int, count: int, encoding: int, target: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    if encoding > Encoding.AUTODETECT:
        return INVALID_ENCODING
    if count != 1 or target not in (CPU, AUTO):
        return _refuse(host, f"load: got {count} builders and target {target}, expected one builder on the CPU")
    pointer, length = _BUILDER.unpack(host.memory.read(builders_pointer, _BUILDER.size))
    if not host.handles.has_room():
        return _out_of_handles(host)
    try:
        graph = host.load_model(pointer, length, Encoding(encoding))
    except ModelTooLarge as exc:
        return _refuse(host, f"load: {exc}", TOO_LARGE)
    except ModelInvalid as exc:
        return _refuse(host, f"load: {exc}")
    except InferenceError as exc:
        return _refuse(host, f"load: {exc}", RUNTIME_ERROR)
    host.memory.write_u32(out_pointer, host.handles.add(OpenGraph(graph)))
    return SUCCESS


def load_by_name(host: Host, name_pointer: int, name_length: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    name = read_name(host, name_pointer, name_length)
    if name is None:
        return NOT_FOUND
    if not host.handles.has_room():
        return _out_of_handles(host)
    try:
        with host.timed("loading models"):
            graph = host.models.by_name(name)
    except ModelUnknown as exc:
        return _refuse(host, f"load_by_name: {exc}", NOT_FOUND)
    except (InferenceError, ConfigError) as exc:
        return _refuse(host, f"load_by_name: {exc}", RUNTIME_ERROR)
    host.memory.write_u32(out_pointer, host.handles.add(OpenGraph(graph)))
    return SUCCESS


def load_by_name_with_config(
    host: Host, name_pointer: int, name_length: int, config_pointer: int, config_length: int, out_pointer: int
) -> int:
    # The configuration is JSON for language models; the backends here have nothing to configure.
    host.memory.check(config_pointer, config_length)
    return load_by_name(host, name_pointer, name_length, out_pointer)


def unload(host: Host, graph: int) -> int:
    return INVALID_ARGUMENT if host.handles.remove(graph, OpenGraph) is None else SUCCESS


def init_execution_context(host: Host, graph: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    opened = host.handles.get(graph, OpenGraph)
    if opened is None:
        return INVALID_ARGUMENT
    if not host.handles.has_room():
        return _out_of_handles(host)
    try:
        with host.timed("loading models"):
            context = opened.graph.acquire()
    except InferenceError as exc:
        return _refuse(host, f"init_execution_context: {exc}", RUNTIME_ERROR)
    host.memory.write_u32(out_pointer, host.handles.add(OpenContext(opened.graph, context)))
    return SUCCESS


def finalize_execution_context(host: Host, context: int) -> int:
    return INVALID_ARGUMENT if host.handles.remove(context, OpenContext) is None else SUCCESS


def set_input(host: Host, context: int, index: int, tensor_pointer: int) -> int:
    opened = host.handles.get(context, OpenContext)
    if opened is None or index >= len(opened.graph.inputs):
        return INVALID_ARGUMENT
    dims_pointer, rank, number, pointer, length = _TENSOR.unpack(host.memory.read(tensor_pointer, _TENSOR.size))
    if rank > _MOST_DIMENSIONS:
        return INVALID_ARGUMENT
    dims = tuple(dim for (dim,) in iter_unpack("<I", host.memory.read(dims_pointer, 4 * rank)))
    problem = problem_with_tensor(opened.graph.inputs[index], dims, number, length)
    if problem is not None:
        return _refuse(host, f"set_input: model `{opened.graph.label}`: input {index}: {problem}")
    try:
        opened.context.set_input(index, host.memory.read(pointer, length))
    except InferenceError as exc:
        return _refuse(host, f"set_input: {exc}")
    return SUCCESS


def problem_with_tensor(spec: TensorSpec, dims: tuple[int, ...], number: int, length: int) -> str | None:
    """Why a guest's tensor does not fit an input; None when it does. Pure."""
    if length != spec.nbytes or length != math.prod(dims) * spec.dtype.itemsize:
        return f"got {length} bytes for {dims}, expected {spec.nbytes} for {spec}"
    if dims != spec.shape:
        return f"got dimensions {dims}, expected {spec.shape}"
    if not number_fits(number, spec.dtype):
        return f"got type number {number}, expected that of {spec.dtype}"
    return None


def compute(host: Host, context: int) -> int:
    opened = host.handles.get(context, OpenContext)
    if opened is None:
        return INVALID_ARGUMENT
    try:
        host.compute(opened.context)
    except InferenceError as exc:
        return _refuse(host, f"compute: {exc}", RUNTIME_ERROR)
    return SUCCESS


def get_output(host: Host, context: int, index: int, out_pointer: int, limit: int, written_pointer: int) -> int:
    host.memory.check(written_pointer, 4)
    opened = host.handles.get(context, OpenContext)
    if opened is None or index >= len(opened.graph.outputs):
        return INVALID_ARGUMENT
    try:
        content = opened.context.output(index)
    except InferenceError as exc:
        return _refuse(host, f"get_output: {exc}", RUNTIME_ERROR)
    if len(content) <= limit:
        host.memory.write(out_pointer, content)
    host.memory.write_u32(written_pointer, len(content))
    return SUCCESS if len(content) <= limit else TOO_LARGE


def get_output_single(host: Host, context: int, index: int, out_pointer: int, limit: int, written_pointer: int) -> int:
    return unsupported_single(host, context)


def unsupported_single(host: Host, context: int) -> int:
    """`compute_single`, `fini_single`: token by token, which only language models do."""
    return INVALID_ARGUMENT if host.handles.get(context, OpenContext) is None else UNSUPPORTED_OPERATION


def _refuse(host: Host, text: str, errno: int = INVALID_ARGUMENT) -> int:
    host.call.log(WARNING, f"wasi-nn: {text}")
    return errno


def _out_of_handles(host: Host) -> int:
    return _refuse(host, f"all {host.limits.handles} handles are in use; close some, or raise the limit", BUSY)


def _entry(name: str, params: int, body: Any) -> HostImport:
    return HostImport(MODULE, name, Signature.of("i32 " * params + "-> i32"), body, MISSING_MEMORY)


FUNCTIONS = (
    _entry("load", 5, load),
    _entry("load_by_name", 3, load_by_name),
    _entry("load_by_name_with_config", 5, load_by_name_with_config),
    _entry("init_execution_context", 2, init_execution_context),
    _entry("set_input", 3, set_input),
    _entry("compute", 1, compute),
    _entry("get_output", 5, get_output),
    _entry("get_output_single", 5, get_output_single),
    _entry("compute_single", 1, unsupported_single),
    _entry("fini_single", 1, unsupported_single),
    _entry("unload", 1, unload),
    _entry("finalize_execution_context", 1, finalize_execution_context),
)
