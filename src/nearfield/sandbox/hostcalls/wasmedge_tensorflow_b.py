"""TensorFlow for guests: module `wasmedge_tensorflow` of WasmEdge from 0.13. Everything returns an errno."""

from __future__ import annotations

from struct import iter_unpack
from typing import Any

from nearfield.inference.tensorflow_runtime import TensorName
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import tensorflow_sessions as sessions
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.tensorflow_models import open_frozen, open_saved
from nearfield.sandbox.hostcalls.tensorflow_sessions import MODULE, Session, tensor_name
from nearfield.sandbox.hostcalls.wasmedge_errnos import BUSY, INVALID_ARGUMENT, MISSING_MEMORY, SUCCESS, NotOpened
from nearfield.sandbox.hostcalls.wasmedge_tensorflow_a import NOTE
from nearfield.sandbox.signature import Signature

# A SavedModel has one or two tags: `serve`, `gpu`.
_MOST_TAGS = 16


def create_session(host: Host, pointer: int, length: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    try:
        number = open_frozen(host, pointer, length)
    except NotOpened as refused:
        return refused.errno
    host.memory.write_u32(out_pointer, number)
    return SUCCESS


def create_session_saved_model(
    host: Host, path_pointer: int, path_length: int, tags_pointer: int, count: int, out_pointer: int
) -> int:
    host.memory.check(out_pointer, 4)
    path = read_name(host, path_pointer, path_length)
    if count > _MOST_TAGS:
        return INVALID_ARGUMENT
    pairs = iter_unpack("<II", host.memory.read(tags_pointer, 8 * count))
    tags = [read_name(host, pointer, length) for pointer, length in pairs]
    try:
        number = open_saved(host, path, [tag or "" for tag in tags])
    except NotOpened as refused:
        return refused.errno
    host.memory.write_u32(out_pointer, number)
    return SUCCESS


def delete_session(host: Host, session: int) -> int:
    sessions.close_session(host, session)
    return SUCCESS


def run_session(host: Host, session: int) -> int:
    opened = host.handles.get(session, Session)
    if opened is None:
        return INVALID_ARGUMENT
    return SUCCESS if sessions.run(host, opened) else BUSY


def get_output_tensor(host: Host, session: int, name_pointer: int, name_length: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    name = _name(host, name_pointer, name_length)
    opened = host.handles.get(session, Session)
    if opened is None or name is None or name not in opened.outputs:
        return INVALID_ARGUMENT
    host.memory.write_u32(out_pointer, opened.outputs.index(name))
    return SUCCESS


def get_tensor_len(host: Host, session: int, tensor: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    content = _content(host, session, tensor)
    if content is None:
        return INVALID_ARGUMENT
    host.memory.write_u32(out_pointer, len(content))
    return SUCCESS


def get_tensor_data(host: Host, session: int, tensor: int, pointer: int, length: int, written_pointer: int) -> int:
    host.memory.check(written_pointer, 4)
    host.memory.check(pointer, length)
    content = _content(host, session, tensor)
    if content is None:
        return INVALID_ARGUMENT
    # A shorter buffer gets the beginning, unlike in `wasmedge_tensorflowlite`.
    host.memory.write(pointer, content[:length])
    host.memory.write_u32(written_pointer, min(length, len(content)))
    return SUCCESS


def append_input(
    host: Host, session: int, name_pointer: int, name_length: int,
    dims_pointer: int, rank: int, dtype: int, pointer: int, length: int,
) -> int:  # fmt: skip
    host.memory.check(dims_pointer, 8 * rank)
    host.memory.check(pointer, length)
    name = _name(host, name_pointer, name_length)
    opened = host.handles.get(session, Session)
    if opened is None or not sessions.append_input(host, opened, name, (dims_pointer, rank), dtype, (pointer, length)):
        return INVALID_ARGUMENT
    return SUCCESS


def append_output(host: Host, session: int, name_pointer: int, name_length: int) -> int:
    name = _name(host, name_pointer, name_length)
    opened = host.handles.get(session, Session)
    return SUCCESS if opened is not None and sessions.append_output(host, opened, name) else INVALID_ARGUMENT


def clear_input(host: Host, session: int) -> int:
    opened = host.handles.get(session, Session)
    if opened is None:
        return INVALID_ARGUMENT
    opened.inputs.clear()
    return SUCCESS


def clear_output(host: Host, session: int) -> int:
    opened = host.handles.get(session, Session)
    if opened is None:
        return INVALID_ARGUMENT
    sessions.clear_outputs(host, opened)
    return SUCCESS


def _name(host: Host, pointer: int, length: int) -> TensorName | None:
    return tensor_name(read_name(host, pointer, length))


def _content(host: Host, session: int, tensor: int) -> bytes | None:
    opened = host.handles.get(session, Session)
    if opened is None or tensor >= len(opened.outputs):
        return None
    return opened.results.get(opened.outputs[tensor])


def _entry(name: str, params: int, body: Any) -> HostImport:
    return HostImport(MODULE, name, Signature.of("i32 " * params + "-> i32"), body, MISSING_MEMORY, NOTE)


FUNCTIONS = (
    _entry("create_session", 3, create_session),
    _entry("create_session_saved_model", 5, create_session_saved_model),
    _entry("delete_session", 1, delete_session),
    _entry("run_session", 1, run_session),
    _entry("get_output_tensor", 4, get_output_tensor),
    _entry("get_tensor_len", 3, get_tensor_len),
    _entry("get_tensor_data", 5, get_tensor_data),
    _entry("append_input", 8, append_input),
    _entry("append_output", 3, append_output),
    _entry("clear_input", 1, clear_input),
    _entry("clear_output", 1, clear_output),
)
