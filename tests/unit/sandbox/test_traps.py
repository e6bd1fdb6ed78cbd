from __future__ import annotations

import pytest
from wasmtime import TrapCode

from nearfield.errors import GuestMemoryExceeded, GuestTimeout, GuestTrapped
from nearfield.sandbox import Limits
from nearfield.sandbox.call import Call
from nearfield.sandbox.callpath import Trapped
from nearfield.sandbox.limits import MIB
from nearfield.sandbox.traps import explain
from tests.unit.sandbox.kit import FRAME

LIMITS = Limits(memory_bytes=64 * MIB)


def call() -> Call:
    return Call(FRAME, LIMITS, None)


def trapped(code: TrapCode | None = TrapCode.UNREACHABLE, functions: tuple[str | None, ...] = ()) -> Trapped:
    return Trapped(code, "wasmtime's text", functions)


def test_the_innermost_named_function_is_the_place() -> None:
    assert str(explain(trapped(functions=(None, "inner", "outer")), call(), MIB)).endswith("in `inner`")


def test_without_names_there_is_no_place() -> None:
    assert str(explain(trapped(functions=(None,)), call(), MIB)) == "guest trapped: unreachable code reached"


def test_a_code_without_a_text_of_ours_has_wasmtimes() -> None:
    assert str(explain(trapped(TrapCode.BAD_SIGNATURE), call(), MIB)) == "guest trapped: wasmtime's text"


@pytest.mark.parametrize("used", [61 * MIB, 64 * MIB])
def test_a_trap_with_memory_used_up_is_told_so(used: int) -> None:
    assert isinstance(explain(trapped(), call(), used), GuestMemoryExceeded)


def test_rusts_last_words_tell_of_a_refused_allocation() -> None:
    record = call()
    record.write_stream(2, b"memory allocation of 90000000 bytes failed\n")
    assert isinstance(explain(trapped(), record, 2 * MIB), GuestMemoryExceeded)


def test_a_trap_with_much_memory_in_use_hints_at_it() -> None:
    reason = explain(trapped(), call(), 33 * MIB)
    assert isinstance(reason, GuestTrapped)
    assert reason.hint == "it used 33 of 64 MiB; a refused allocation may end so"


def test_a_stack_overflow_is_never_a_question_of_memory() -> None:
    assert isinstance(explain(trapped(TrapCode.STACK_OVERFLOW), call(), 64 * MIB), GuestTrapped)


def test_a_timeout_is_never_a_question_of_memory() -> None:
    assert isinstance(explain(trapped(TrapCode.INTERRUPT), call(), 64 * MIB), GuestTimeout)


def test_the_hosts_reason_wins() -> None:
    record, reason = call(), GuestTimeout("asleep")
    record.stop(reason)
    assert explain(trapped(None), record, MIB) is reason
