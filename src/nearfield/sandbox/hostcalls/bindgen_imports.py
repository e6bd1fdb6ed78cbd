"""Host functions of `wasmedge-bindgen` before 0.4, through which guests hand over their results.

Everything is copied at once: most of it lies on the guest's stack, or is freed as soon as the function returns.
"""

from __future__ import annotations

from typing import Any

from nearfield.errors import GuestFailed, GuestOutputExceeded
from nearfield.sandbox.abi.bindgen_values import ReturnedValue, read_values
from nearfield.sandbox.call import MAX_REASON_BYTES
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import clean_text
from nearfield.sandbox.memory import OutOfBounds
from nearfield.sandbox.signature import Signature

MODULE, OLDEST_MODULE = "wasmedge-bindgen", "env"

_VEC_U8 = 21


def return_result(host: Host, table: int, count: int) -> None:
    """The function succeeded; `count` values lie where `table` says."""
    try:
        host.call.returned = read_values(host.memory, table, count, host.limits.output_bytes)
    except OutOfBounds:
        host.call.reason = "`return_result`: got a pointer outside the memory"
    except GuestFailed as exc:
        host.call.reason = exc.what


def return_bytes(host: Host, pointer: int, length: int) -> None:
    """The same as crates up to 0.1.8 have it: one value, a byte string that stays the guest's."""
    try:
        host.memory.check(pointer, length)
    except OutOfBounds:
        host.call.reason = "`return_result`: got a pointer outside the memory"
        return
    if length > host.limits.output_bytes:
        raise GuestOutputExceeded(f"result: got {length} bytes, expected at most {host.limits.output_bytes} bytes")
    host.call.returned = [ReturnedValue(0, _VEC_U8, host.memory.read(pointer, length))]


def return_error(host: Host, pointer: int, length: int) -> None:
    """The function failed, and this is why."""
    try:
        reason = host.memory.read(pointer, min(length, MAX_REASON_BYTES))
    except OutOfBounds:
        host.call.reason = "`return_error`: got a pointer outside the memory"
        return
    host.call.reason = clean_text(reason.decode("utf-8", "replace"), MAX_REASON_BYTES)


def _entry(module: str, name: str, body: Any) -> HostImport:
    return HostImport(module, name, Signature.of("i32 i32 ->"), body, 0)


FUNCTIONS = (
    _entry(MODULE, "return_result", return_result),
    _entry(MODULE, "return_error", return_error),
    _entry(OLDEST_MODULE, "return_result", return_bytes),
    _entry(OLDEST_MODULE, "return_error", return_error),
)
