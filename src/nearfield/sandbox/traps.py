"""From the end of a call to the error that a person reads. Pure."""

from __future__ import annotations

import re

from wasmtime import TrapCode

from nearfield.errors import GuestError, GuestMemoryExceeded, GuestTimeout, GuestTrapped, InternalError
from nearfield.sandbox.call import Call
from nearfield.sandbox.callpath import Trapped
from nearfield.sandbox.limits import MIB, PAGE_BYTES, Limits

# What Rust's standard library writes to stderr before it aborts for want of memory.
_ALLOCATION_FAILED = re.compile(r"memory allocation of \d+ bytes failed")

# Allocators ask for many pages at once, so the refusal comes before the last page.
_NEARLY = 16

_MEANINGS = {
    TrapCode.UNREACHABLE: "unreachable code reached",
    TrapCode.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    TrapCode.STACK_OVERFLOW: "stack overflow",
    TrapCode.INTEGER_DIVISION_BY_ZERO: "division by zero",
}


def explain(trapped: Trapped, call: Call, memory_bytes: int) -> BaseException:
    """The exception to raise for a trap.

    Args:
        memory_bytes: size of the guest's memory when it trapped.

    Returns:
        The reason why the host stopped the guest, where it did; else a `GuestTimeout`, `GuestMemoryExceeded` or
        `GuestTrapped`. Wasmtime does not tell that growing the memory was refused, so a trap counts as
        `GuestMemoryExceeded` when less than 1/16 of the limit was left, or when the guest said so on stderr.
    """
    if call.stopped is not None:
        return _explain_stop(call.stopped)
    limits = call.limits
    place = next((f" in `{name}`" for name in trapped.functions if name), "")
    if trapped.code is TrapCode.INTERRUPT:
        return GuestTimeout(f"used up its deadline of {limits.deadline_s:g} s{place}")
    words = call.last_words()
    said = f": {words}" if words else ""
    if _is_out_of_memory(trapped, words, memory_bytes, limits):
        return GuestMemoryExceeded(
            f"wanted more memory than its limit of {limits.memory_bytes} bytes and trapped{place}{said}",
            hint="raise its `memory` limit, or let it use less",
        )
    meaning = trapped.message if trapped.code is None else _MEANINGS.get(trapped.code, trapped.message)
    return GuestTrapped(f"guest trapped: {meaning}{place}{said}", hint=_memory_hint(memory_bytes, limits))


def _explain_stop(reason: BaseException) -> BaseException:
    if isinstance(reason, GuestError) or not isinstance(reason, Exception):
        return reason
    internal = InternalError(f"a host function failed: {type(reason).__name__}: {reason}")
    internal.__cause__ = reason
    return internal


def _is_out_of_memory(trapped: Trapped, words: str | None, memory_bytes: int, limits: Limits) -> bool:
    if trapped.code is TrapCode.STACK_OVERFLOW:
        return False
    room = max(PAGE_BYTES, limits.memory_bytes // _NEARLY)
    return memory_bytes + room > limits.memory_bytes or bool(words and _ALLOCATION_FAILED.search(words))


def _memory_hint(memory_bytes: int, limits: Limits) -> str | None:
    """Worth a word from a quarter of the limit on: allocators that double their heap fail well below it."""
    if memory_bytes * 4 < limits.memory_bytes:
        return None
    return f"it used {memory_bytes / MIB:.0f} of {limits.memory_bytes / MIB:.0f} MiB; a refused allocation may end so"
