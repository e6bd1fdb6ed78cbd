"""TensorFlow for guests: module `wasmedge_tensorflow` of WasmEdge up to 0.12.

Handles are 64 bits wide, 0 means failure, and most functions are silent about errors: the reason is in the log.
"""

from __future__ import annotations

from typing import Any

from nearfield.inference.tensorflow_runtime import INSTALL_HINT, TensorName, is_installed
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import tensorflow_sessions as sessions
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.tensorflow_models import open_frozen
from nearfield.sandbox.hostcalls.tensorflow_sessions import MODULE, OutputTensor, Session, tensor_name
from nearfield.sandbox.hostcalls.wasmedge_errnos import NotOpened
from nearfield.sandbox.signature import Signature

#: What people should know about both generations, here and now.
NOTE = "the extra `tensorflow` is installed" if is_installed() else f"sessions fail without: {INSTALL_HINT}"


def create_session(host: Host, pointer: int, length: int) -> int:
    try:
        return open_frozen(host, pointer, length)
    except NotOpened:
        return 0


def delete_session(host: Host, session: int) -> None:
    sessions.close_session(host, session)


def run_session(host: Host, session: int) -> int:
    opened = host.handles.get(session, Session)
    return 0 if opened is not None and sessions.run(host, opened) else 1


def get_output_tensor(host: Host, session: int, name_pointer: int, name_length: int, index: int) -> int:
    name = _name(host, name_pointer, name_length, index)
    opened = host.handles.get(session, Session)
    return 0 if opened is None else sessions.tensor_handle(host, opened, name)


def get_tensor_len(host: Host, tensor: int) -> int:
    opened = host.handles.get(tensor, OutputTensor)
    return 0 if opened is None else len(opened.content() or b"")


def get_tensor_data(host: Host, tensor: int, pointer: int) -> None:
    opened = host.handles.get(tensor, OutputTensor)
    content = None if opened is None else opened.content()
    if content is not None:
        host.memory.write(pointer, content)


def append_input(
    host: Host, session: int, name_pointer: int, name_length: int, index: int,
    dims_pointer: int, rank: int, dtype: int, pointer: int, length: int,
) -> None:  # fmt: skip
    name = _name(host, name_pointer, name_length, index)
    opened = host.handles.get(session, Session)
    if opened is not None:
        sessions.append_input(host, opened, name, (dims_pointer, rank), dtype, (pointer, length))


def append_output(host: Host, session: int, name_pointer: int, name_length: int, index: int) -> None:
    name = _name(host, name_pointer, name_length, index)
    opened = host.handles.get(session, Session)
    if opened is not None:
        sessions.append_output(host, opened, name)


def clear_input(host: Host, session: int) -> None:
    opened = host.handles.get(session, Session)
    if opened is not None:
        opened.inputs.clear()


def clear_output(host: Host, session: int) -> None:
    opened = host.handles.get(session, Session)
    if opened is not None:
        sessions.clear_outputs(host, opened)


def _name(host: Host, pointer: int, length: int, index: int) -> TensorName | None:
    return tensor_name(read_name(host, pointer, length), index)


def _entry(name: str, signature: str, body: Any, fault: int = 0) -> HostImport:
    return HostImport(MODULE, f"{MODULE}_{name}", Signature.of(signature), body, fault, NOTE)


FUNCTIONS = (
    _entry("create_session", "i32 i32 -> i64", create_session),
    _entry("delete_session", "i64 ->", delete_session),
    _entry("run_session", "i64 -> i32", run_session, fault=1),
    _entry("get_output_tensor", "i64 i32 i32 i32 -> i64", get_output_tensor),
    _entry("get_tensor_len", "i64 -> i32", get_tensor_len),
    _entry("get_tensor_data", "i64 i32 ->", get_tensor_data),
    _entry("append_input", "i64 i32 i32 i32 i32 i32 i32 i32 i32 ->", append_input),
    _entry("append_output", "i64 i32 i32 i32 ->", append_output),
    _entry("clear_input", "i64 ->", clear_input),
    _entry("clear_output", "i64 ->", clear_output),
)
