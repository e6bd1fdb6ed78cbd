"""TensorFlow Lite for guests: module `wasmedge_tensorflowlite` of WasmEdge from 0.13. Everything returns an errno."""

from __future__ import annotations

from typing import Any

from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.tflite_sessions import (
    MODULE,
    Session,
    close_session,
    give_input,
    index_of,
    open_session,
    run,
)
from nearfield.sandbox.hostcalls.wasmedge_errnos import BUSY, INVALID_ARGUMENT, MISSING_MEMORY, SUCCESS, NotOpened
from nearfield.sandbox.signature import Signature


def create_session(host: Host, pointer: int, length: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    try:
        number = open_session(host, pointer, length)
    except NotOpened as refused:
        return refused.errno
    host.memory.write_u32(out_pointer, number)
    return SUCCESS


def delete_session(host: Host, session: int) -> int:
    close_session(host, session)
    return SUCCESS


def run_session(host: Host, session: int) -> int:
    opened = host.handles.get(session, Session)
    if opened is None:
        return INVALID_ARGUMENT
    return SUCCESS if run(host, opened) else BUSY


def get_output_tensor(host: Host, session: int, name_pointer: int, name_length: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    name = read_name(host, name_pointer, name_length)
    opened = host.handles.get(session, Session)
    index = None if opened is None else index_of(opened.graph.outputs, name)
    if index is None:
        return INVALID_ARGUMENT
    host.memory.write_u32(out_pointer, index)
    return SUCCESS


def get_tensor_len(host: Host, session: int, tensor: int, out_pointer: int) -> int:
    host.memory.check(out_pointer, 4)
    opened = _session_with_output(host, session, tensor)
    if opened is None:
        return INVALID_ARGUMENT
    host.memory.write_u32(out_pointer, opened.size(tensor))
    return SUCCESS


def get_tensor_data(host: Host, session: int, tensor: int, pointer: int, length: int, written_pointer: int) -> int:
    host.memory.check(written_pointer, 4)
    host.memory.check(pointer, length)
    opened = _session_with_output(host, session, tensor)
    content = None if opened is None else opened.output(tensor)
    if content is None or length != len(content):
        return INVALID_ARGUMENT
    host.memory.write(pointer, content)
    # WasmEdge leaves 0 here even on success; guests that look want the real count.
    host.memory.write_u32(written_pointer, length)
    return SUCCESS


def append_input(host: Host, session: int, name_pointer: int, name_length: int, pointer: int, length: int) -> int:
    host.memory.check(pointer, length)
    name = read_name(host, name_pointer, name_length)
    opened = host.handles.get(session, Session)
    if opened is None or not give_input(host, opened, name, pointer, length):
        return INVALID_ARGUMENT
    return SUCCESS


def _session_with_output(host: Host, session: int, index: int) -> Session | None:
    opened = host.handles.get(session, Session)
    return opened if opened is not None and index < len(opened.graph.outputs) else None


def _entry(name: str, params: int, body: Any) -> HostImport:
    return HostImport(MODULE, name, Signature.of("i32 " * params + "-> i32"), body, MISSING_MEMORY)


FUNCTIONS = (
    _entry("create_session", 3, create_session),
    _entry("delete_session", 1, delete_session),
    _entry("run_session", 1, run_session),
    _entry("get_output_tensor", 4, get_output_tensor),
    _entry("get_tensor_len", 3, get_tensor_len),
    _entry("get_tensor_data", 5, get_tensor_data),
    _entry("append_input", 5, append_input),
)
