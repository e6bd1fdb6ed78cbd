"""Host functions of YoMo stream functions: `yomo_*` in module `env`.

Source: `cli/serverless/wasm` of YoMo 1.17.1 and 1.18.18 (for `yomo_get_wanted_target` and `yomo_write_with_target`).
Where the original's runtimes differ, this follows its default one: `yomo_write` of 0 bytes emits an empty payload. Its
`yomo_write_with_target` sent the target's name as the payload; this one sends the payload.
"""

from __future__ import annotations

from typing import Any

from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.names import read_name
from nearfield.sandbox.hostcalls.nearfield_v1 import EMIT_BAD_POINTER, emit, frame_read, frame_size, frame_tag, observe
from nearfield.sandbox.hostcalls.yomo_http import HTTP_BAD_REQUEST_POINTER, http_send
from nearfield.sandbox.signature import Signature

MODULE = "env"

DEBUG = 0


def get_wanted_target(host: Host, pointer: int, length: int) -> None:
    """In spite of its name the guest tells its target here.

    Targets choose among the instances of a function in YoMo 1.18. Here every function that observes a tag gets each of
    its frames once, whichever of its instances is free.
    """
    target = read_name(host, pointer, length)
    host.call.log(DEBUG, f"wanted target `{target}` is not used: functions are chosen by tag")


def write_with_target(host: Host, tag: int, pointer: int, length: int, target_pointer: int, target_length: int) -> int:
    """`yomo_write`; the target is checked to be in memory, and otherwise not used."""
    host.memory.check(target_pointer, target_length)
    return emit(host, tag, pointer, length)


def _entry(name: str, signature: str, body: Any, fault: int = 0, note: str = "") -> HostImport:
    return HostImport(MODULE, name, Signature.of(signature), body, fault, note=note)


FUNCTIONS = (
    _entry("yomo_observe_datatag", "i32 ->", observe),
    _entry("yomo_context_tag", "-> i32", frame_tag),
    _entry("yomo_context_data_size", "-> i32", frame_size),
    _entry("yomo_context_data", "i32 i32 -> i32", frame_read),
    _entry("yomo_write", "i32 i32 i32 -> i32", emit, fault=EMIT_BAD_POINTER),
    _entry("yomo_get_wanted_target", "i32 i32 ->", get_wanted_target),
    _entry("yomo_write_with_target", "i32 i32 i32 i32 i32 -> i32", write_with_target, fault=EMIT_BAD_POINTER),
    _entry(
        "yomo_http_send", "i32 i32 i32 i32 -> i32", http_send, HTTP_BAD_REQUEST_POINTER, note="hosts must be granted"
    ),
)
