"""TensorFlow Lite for guests: module `wasmedge_tensorflowlite` of WasmEdge up to 0.12.

Handles are 64 bits wide, 0 means failure, and most functions are silent about errors: the reason is in the log.
"""

from __future__ import annotations

from typing import Any

from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.tflite_sessions import (
    MODULE,
    OutputTensor,
    Session,
    close_session,
    give_input,
    index_of,
    open_session,
    run,
)
from nearfield.sandbox.hostcalls.wasmedge_errnos import NotOpened
from nearfield.sandbox.signature import Signature


def create_session(host: Host, pointer: int, length: int) -> int:
    try:
        return open_session(host, pointer, length)
    except NotOpened:
        return 0


def delete_session(host: Host, session: int) -> None:
    close_session(host, session)


def run_session(host: Host, session: int) -> int:
    opened = host.handles.get(session, Session)
    return 0 if opened is not None and run(host, opened) else 1


def get_output_tensor(host: Host, session: int, name_pointer: int, name_length: int) -> int:
    opened = host.handles.get(session, Session)
    index = None if opened is None else index_of(opened.graph.outputs, read_name(host, name_pointer, name_length))
    if opened is None or index is None:
        return 0
    if index not in opened.tensors:
        if not host.handles.has_room():
            return 0
        opened.tensors[index] = host.handles.add(OutputTensor(opened, index))
    return opened.tensors[index]


def get_tensor_len(host: Host, tensor: int) -> int:
    opened = host.handles.get(tensor, OutputTensor)
    return 0 if opened is None else opened.session.size(opened.index)


def get_tensor_data(host: Host, tensor: int, pointer: int) -> None:
    opened = host.handles.get(tensor, OutputTensor)
    content = None if opened is None else opened.session.output(opened.index)
    if content is not None:
        host.memory.write(pointer, content)


def append_input(host: Host, session: int, name_pointer: int, name_length: int, pointer: int, length: int) -> None:
    opened = host.handles.get(session, Session)
    if opened is not None:
        give_input(host, opened, read_name(host, name_pointer, name_length), pointer, length)


def _entry(name: str, signature: str, body: Any, fault: int = 0) -> HostImport:
    return HostImport(MODULE, f"{MODULE}_{name}", Signature.of(signature), body, fault)


FUNCTIONS = (
    _entry("create_session", "i32 i32 -> i64", create_session),
    _entry("delete_session", "i64 ->", delete_session),
    _entry("run_session", "i64 -> i32", run_session, fault=1),
    _entry("get_output_tensor", "i64 i32 i32 -> i64", get_output_tensor),
    _entry("get_tensor_len", "i64 -> i32", get_tensor_len),
    _entry("get_tensor_data", "i64 i32 ->", get_tensor_data),
    _entry("append_input", "i64 i32 i32 i32 i32 ->", append_input),
)
