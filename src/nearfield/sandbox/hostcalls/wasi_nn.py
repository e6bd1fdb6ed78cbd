"""Inference for guests: module `wasi_ephemeral_nn` with WasmEdge's additions. Here: contexts, and the table of all.

Which errno answers what is in docs/abi.md.
"""

from __future__ import annotations

import math
from struct import iter_unpack
from typing import TYPE_CHECKING, Any

from nearfield.errors import InferenceError
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.tensors import number_fits
from nearfield.sandbox.hostcalls.wasi_nn_graphs import load, load_by_name, load_by_name_with_config, unload
from nearfield.sandbox.hostcalls.wasi_nn_types import (
    BUSY,
    INVALID_ARGUMENT,
    MISSING_MEMORY,
    MODULE,
    RUNTIME_ERROR,
    SUCCESS,
    TENSOR,
    TOO_LARGE,
    OpenContext,
    OpenGraph,
    out_of_handles,
    refuse,
)
from nearfield.sandbox.signature import Signature

if TYPE_CHECKING:
    from nearfield.inference import TensorSpec

_MOST_DIMENSIONS = 16


def init_execution_context(host: Host, graph: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    opened = host.handles.get(graph, OpenGraph)
    if opened is None:
        return INVALID_ARGUMENT
    if not host.handles.has_room():
        return out_of_handles(host)
    try:
        with host.timed("loading models"):
            context = opened.graph.acquire()
    except InferenceError as exc:
        return refuse(host, f"init_execution_context: {exc}", RUNTIME_ERROR)
    host.memory.write_u32(out_pointer, host.handles.add(OpenContext(opened.graph, context)))
    return SUCCESS


def finalize_execution_context(host: Host, context: int) -> int:
    return INVALID_ARGUMENT if host.handles.remove(context, OpenContext) is None else SUCCESS


def set_input(host: Host, context: int, index: int, tensor_pointer: int) -> int:
    dims_pointer, rank, number, pointer, length = TENSOR.unpack(host.memory.read(tensor_pointer, TENSOR.size))
    opened = host.handles.get(context, OpenContext)
    if opened is None or index >= len(opened.graph.inputs) or rank > _MOST_DIMENSIONS:
        return INVALID_ARGUMENT
    dims = tuple(dim for (dim,) in iter_unpack("<I", host.memory.read(dims_pointer, 4 * rank)))
    host.memory.check(pointer, length)
    problem = problem_with_tensor(opened.graph.inputs[index], dims, number, length)
    if problem is not None:
        return refuse(host, f"set_input: model `{opened.graph.label}`: input {index}: {problem}")
    try:
        # The context copies before it returns, so that the guest's own bytes will do.
        with host.memory.view(pointer, length) as content:
            opened.context.set_input(index, content)
    except InferenceError as exc:
        return refuse(host, f"set_input: {exc}")
    opened.unset.discard(index)
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
        # A failing run is BUSY, as in WasmEdge; without all its inputs nothing runs.
        return refuse(host, f"compute: {exc}", RUNTIME_ERROR if opened.unset else BUSY)
    return SUCCESS


def get_output(host: Host, context: int, index: int, out_pointer: int, limit: int, written_pointer: int) -> int:
    host.memory.check(written_pointer, 4)
    host.memory.check(out_pointer, limit)
    opened = host.handles.get(context, OpenContext)
    if opened is None or index >= len(opened.graph.outputs):
        return INVALID_ARGUMENT
    try:
        content = opened.context.output(index)
    except InferenceError as exc:
        return refuse(host, f"get_output: {exc}", RUNTIME_ERROR)
    if len(content) <= limit:
        host.memory.write(out_pointer, content)
    host.memory.write_u32(written_pointer, len(content))
    return SUCCESS if len(content) <= limit else TOO_LARGE


def get_output_single(host: Host, context: int, index: int, out_pointer: int, limit: int, written_pointer: int) -> int:
    host.memory.check(written_pointer, 4)
    host.memory.check(out_pointer, limit)
    return unsupported_single(host, context)


def unsupported_single(host: Host, context: int) -> int:
    """`compute_single`, `fini_single`: token by token, as language models do. WasmEdge answers the same for others."""
    if host.handles.get(context, OpenContext) is None:
        return INVALID_ARGUMENT
    return refuse(host, "computing token by token: only language models do, and no backend here runs one")


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
