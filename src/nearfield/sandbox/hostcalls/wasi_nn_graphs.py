"""Models for guests: the functions of `wasi_ephemeral_nn` that load graphs and give them up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from nearfield.errors import ConfigError, InferenceError, ModelInvalid
from nearfield.inference import Device, Encoding, ModelUnknown
from nearfield.sandbox.call import WARNING
from nearfield.sandbox.host import Host, ModelTooLarge
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.wasi_nn_types import (
    AUTO,
    BUILDER,
    CPU,
    GPU,
    INVALID_ARGUMENT,
    INVALID_ENCODING,
    NOT_FOUND,
    RUNTIME_ERROR,
    SUCCESS,
    TOO_LARGE,
    OpenGraph,
    out_of_handles,
    refuse,
)

if TYPE_CHECKING:
    from nearfield.inference import Graph

# A TPU is a device of the prototype that no backend here has.
_DEVICES = {CPU: Device.CPU, GPU: Device.CUDA, AUTO: Device.AUTO}

# What a guest may say a model is. The others of wasi-nn and WasmEdge have no backend here.
_ENCODINGS = frozenset({Encoding.OPENVINO, Encoding.ONNX, Encoding.TENSORFLOWLITE, Encoding.AUTODETECT})

# The two parts of an OpenVINO model: XML and weights.
_MOST_BUILDERS = 2

# WasmEdge's configurations for language models have some hundred bytes.
_MOST_CONFIG_BYTES = 16 * 1024
_NAMED_KEYS = 8


def load(host: Host, builders_pointer: int, count: int, encoding: int, target: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    if encoding not in _ENCODINGS:
        known = ", ".join(f"{each.value} {each.name}" for each in sorted(_ENCODINGS))
        return refuse(host, f"load: got encoding {encoding}, expected one of {known}", INVALID_ENCODING)
    device = _DEVICES.get(target)
    if device is None:
        return refuse(host, f"load: got target {target}, expected {CPU} cpu, {GPU} gpu or {AUTO} auto")
    may_have_two = encoding in (Encoding.OPENVINO, Encoding.AUTODETECT)
    if not 1 <= count <= (_MOST_BUILDERS if may_have_two else 1):
        return refuse(host, f"load: got {count} builders, expected 1, or 2 for OpenVINO: XML and weights")
    regions = list(BUILDER.iter_unpack(host.memory.read(builders_pointer, count * BUILDER.size)))
    # Without the device that was asked for, what is wrong is the target.
    unavailable = INVALID_ARGUMENT if device is Device.CUDA else RUNTIME_ERROR
    return _open(host, "load", out_pointer, lambda: host.load_model(regions, Encoding(encoding), device), unavailable)


def load_by_name(host: Host, name_pointer: int, name_length: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    name = read_name(host, name_pointer, name_length)
    if name is None:
        return NOT_FOUND
    return _open(host, "load_by_name", out_pointer, lambda: _named(host, name))


def load_by_name_with_config(
    host: Host, name_pointer: int, name_length: int, config_pointer: int, config_length: int, out_pointer: int
) -> int:
    host.memory.check(out_pointer, 4)
    host.memory.check(config_pointer, config_length)
    if config_length > _MOST_CONFIG_BYTES:
        what = f"got a configuration of {config_length} bytes, expected at most {_MOST_CONFIG_BYTES}"
        return refuse(host, f"load_by_name_with_config: {what}", TOO_LARGE)
    try:
        keys = keys_of_config(host.memory.read(config_pointer, config_length))
    except ValueError as exc:
        return refuse(host, f"load_by_name_with_config: {exc}")
    if keys:
        # The keys that exist are for language models; the backends here have nothing that a guest could configure.
        more = f" and {len(keys) - _NAMED_KEYS} more" if len(keys) > _NAMED_KEYS else ""
        host.call.log(WARNING, f"wasi-nn: configuration: ignored: {', '.join(map(repr, keys[:_NAMED_KEYS]))}{more}")
    return load_by_name(host, name_pointer, name_length, out_pointer)


def keys_of_config(text: bytes) -> list[str]:
    """The keys of a configuration, which is a JSON object, or nothing at all. Pure.

    Raises:
        ValueError: anything else.
    """
    if not text.strip(b"\0 \t\r\n"):
        return []
    try:
        content = json.loads(text.rstrip(b"\0"))
    except (ValueError, RecursionError):
        raise ValueError("got a configuration that is no JSON, expected an object") from None
    if not isinstance(content, dict):
        raise ValueError(f"got a configuration of type {type(content).__name__}, expected a JSON object")
    return list(content)


def unload(host: Host, graph: int) -> int:
    return INVALID_ARGUMENT if host.handles.remove(graph, OpenGraph) is None else SUCCESS


def _named(host: Host, name: str) -> Graph:
    with host.timed("loading models"):
        return host.models.by_name(name)


def _open(
    host: Host, function: str, out_pointer: int, find: Callable[[], Graph], unavailable: int = RUNTIME_ERROR
) -> int:
    """A handle for the graph that `find` gives, or the errno that says why there is none.

    Args:
        unavailable: the errno when the model is one, but cannot be had here.
    """
    if not host.handles.has_room():
        return out_of_handles(host)
    try:
        graph = find()
    except (InferenceError, ConfigError) as exc:
        return refuse(host, f"{function}: {exc}", _errno_of(exc, unavailable))
    host.memory.write_u32(out_pointer, host.handles.add(OpenGraph(graph)))
    return SUCCESS


def _errno_of(error: InferenceError | ConfigError, unavailable: int) -> int:
    if isinstance(error, ModelTooLarge):
        return TOO_LARGE
    if isinstance(error, ModelUnknown):
        return NOT_FOUND
    return INVALID_ARGUMENT if isinstance(error, ModelInvalid) else unavailable
