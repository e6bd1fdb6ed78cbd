"""Host functions of our own guest ABI: module `nearfield_v1` (docs/abi.md)."""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any

from nearfield.errors import ConfigError, InferenceError
from nearfield.sandbox.call import MAX_REASON_BYTES, WARNING
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.tensors import type_number
from nearfield.sandbox.invocation import MAX_LOG_CHARACTERS, Invocation, clean_text
from nearfield.sandbox.signature import Signature

if TYPE_CHECKING:
    from nearfield.inference import TensorSpec

MODULE = "nearfield_v1"

EMIT_ACCEPTED, EMIT_BAD_POINTER, EMIT_REFUSED = 0, 1, 2
TENSOR_WRITTEN, TENSOR_BAD_POINTER, TENSOR_NO_MODEL, TENSOR_NO_TENSOR = 0, 1, 2, 3

_MOST_DIMENSIONS = 8
_TENSOR = Struct("<II8Ifi")


def _invocation(host: Host) -> Invocation:
    """The frame; an empty one while the guest is loaded."""
    return host.call.invocation or _NO_FRAME


_NO_FRAME = Invocation(tag=0, payload=b"", origin="", sequence=0, captured_ns=0)


def copy_out(host: Host, content: bytes, pointer: int, limit: int) -> int:
    """The reading rule: the full size, and a copy when that is not 0 and at most `limit`."""
    if 0 < len(content) <= limit:
        host.memory.write(pointer, content)
    return len(content)


def frame_tag(host: Host) -> int:
    return _invocation(host).tag


def frame_size(host: Host) -> int:
    return len(_invocation(host).payload)


def frame_read(host: Host, pointer: int, limit: int) -> int:
    return copy_out(host, _invocation(host).payload, pointer, limit)


def frame_origin(host: Host, pointer: int, limit: int) -> int:
    return copy_out(host, _invocation(host).origin.encode(), pointer, limit)


def frame_sequence(host: Host) -> int:
    return _invocation(host).sequence


def frame_captured_ns(host: Host) -> int:
    return _invocation(host).captured_ns


def emit(host: Host, tag: int, pointer: int, length: int) -> int:
    return _emit(host, tag, pointer, length, None)


def emit_to(host: Host, tag: int, to_pointer: int, to_length: int, pointer: int, length: int) -> int:
    # What is no text is no name either, and neither is nothing at all.
    return _emit(host, tag, pointer, length, read_name(host, to_pointer, to_length) or "")


def _emit(host: Host, tag: int, pointer: int, length: int, to: str | None) -> int:
    host.memory.check(pointer, length)
    if host.call.invocation is None or not host.call.may_emit(tag, length, to):
        return EMIT_REFUSED
    host.call.emit(tag, host.memory.read(pointer, length), to)
    return EMIT_ACCEPTED


def fail(host: Host, pointer: int, length: int) -> None:
    reason = host.memory.read(pointer, min(length, MAX_REASON_BYTES))
    host.call.reason = clean_text(reason.decode("utf-8", "replace"), MAX_REASON_BYTES)


def log(host: Host, level: int, pointer: int, length: int) -> None:
    # What would be cut from the line is not copied either.
    host.call.log(level, host.memory.read(pointer, min(length, 4 * MAX_LOG_CHARACTERS + 4)))


def observe(host: Host, tag: int) -> None:
    observed = host.call.observed
    if observed is not None and len(observed) < host.limits.emitted_frames:
        observed.append(tag)


def model_tensor(host: Host, name_pointer: int, name_length: int, direction: int, index: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, _TENSOR.size)
    name = read_name(host, name_pointer, name_length)
    try:
        with host.timed("loading models"):
            graph = None if name is None else host.models.by_name(name)
    except (InferenceError, ConfigError) as exc:
        host.call.log(WARNING, f"model_tensor: {exc}")
        graph = None
    if graph is None:
        return TENSOR_NO_MODEL
    specs = {0: graph.inputs, 1: graph.outputs}.get(direction, ())
    if index >= len(specs):
        return TENSOR_NO_TENSOR
    host.memory.write(out_pointer, pack_tensor(specs[index]))
    return TENSOR_WRITTEN


def model_label(host: Host, name_pointer: int, name_length: int, index: int, pointer: int, limit: int) -> int:
    name = read_name(host, name_pointer, name_length)
    try:
        with host.timed("loading models"):
            label = None if name is None else host.models.label_of(name, index)
    except (InferenceError, ConfigError) as exc:
        host.call.log(WARNING, f"model_label: {exc}")
        label = None
    return -1 if label is None else copy_out(host, label.encode(), pointer, limit)


def pack_tensor(spec: TensorSpec) -> bytes:
    """A `TensorSpec` as the 48 bytes of docs/abi.md; only the first 8 dimensions have room."""
    dimensions = [*spec.shape[:_MOST_DIMENSIONS], *[0] * (_MOST_DIMENSIONS - len(spec.shape))]
    return _TENSOR.pack(type_number(spec.dtype), len(spec.shape), *dimensions, spec.scale, spec.zero_point)


def _entry(name: str, signature: str, body: Any, fault: int = 0) -> HostImport:
    return HostImport(MODULE, name, Signature.of(signature), body, fault)


FUNCTIONS = (
    _entry("frame_tag", "-> i32", frame_tag),
    _entry("frame_size", "-> i32", frame_size),
    _entry("frame_read", "i32 i32 -> i32", frame_read),
    _entry("frame_origin", "i32 i32 -> i32", frame_origin),
    _entry("frame_sequence", "-> i64", frame_sequence),
    _entry("frame_captured_ns", "-> i64", frame_captured_ns),
    _entry("emit", "i32 i32 i32 -> i32", emit, fault=EMIT_BAD_POINTER),
    _entry("emit_to", "i32 i32 i32 i32 i32 -> i32", emit_to, fault=EMIT_BAD_POINTER),
    _entry("fail", "i32 i32 ->", fail),
    _entry("log", "i32 i32 i32 ->", log),
    _entry("observe", "i32 ->", observe),
    _entry("model_tensor", "i32 i32 i32 i32 i32 -> i32", model_tensor, fault=TENSOR_BAD_POINTER),
    _entry("model_label", "i32 i32 i32 i32 i32 -> i32", model_label, fault=-1),
)
