from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.errors import ConfigError, GuestAbiError, GuestFailed, GuestOutputExceeded, GuestTrapped
from nearfield.sandbox import Emission, Guest, Invocation, Limits
from nearfield.sandbox.abi import AbiOptions
from nearfield.sandbox.abi.wasmedge_bindgen import choose_entry, result_tag_of
from nearfield.sandbox.shape import Extern, ModuleShape
from nearfield.sandbox.signature import Signature
from tests.unit.sandbox.abi.bindgen_guest import BALANCE_OF_EARLIER_CALLS, ECHO, ERROR, TWO, UNIT, bindgen_guest
from tests.unit.sandbox.kit import load

TAG = 0x11


def guest(tmp_path: Path, text: str, **options: object) -> Guest:
    return load(tmp_path, text, **{"result_tag": TAG, **options})


def frame(payload: bytes) -> Invocation:
    return Invocation(0x10, payload, "cam-1", 7, 0)


@pytest.mark.parametrize("payload", [b"", b"a", b"hello", b"x" * 50_000])
def test_the_payload_goes_in_and_the_result_comes_out(tmp_path: Path, payload: bytes) -> None:
    echo = guest(tmp_path, ECHO)
    assert (echo.abi, echo.observes) == ("wasmedge-bindgen-0.4", ())
    assert echo.handle(frame(payload)).emissions == (Emission(TAG, payload),)


def test_a_unit_result_emits_nothing(tmp_path: Path) -> None:
    assert guest(tmp_path, UNIT).handle(frame(b"x")).emissions == ()


def test_several_values_are_several_emissions(tmp_path: Path) -> None:
    emissions = guest(tmp_path, TWO).handle(frame("grüß".encode())).emissions
    assert emissions == (Emission(TAG, "grüß".encode()), Emission(TAG, bytes(4)))


def test_an_error_is_a_failure_with_its_text(tmp_path: Path) -> None:
    with pytest.raises(GuestFailed, match="function `f`: `infer` failed: no hot dog, frame cam-1/7, tag 0x10"):
        guest(tmp_path, ERROR).handle(frame(b"no hot dog"))


@pytest.mark.parametrize("other", [ECHO, UNIT, TWO, ERROR, BALANCE_OF_EARLIER_CALLS])
def test_nothing_stays_allocated(tmp_path: Path, other: str) -> None:
    """The books of a kept instance are even, whatever kind of answer it gave before."""
    # The body under test runs for payload "x...", the report for an empty one.
    body = other.partition("(call $deallocate (local.get $p) (local.get $n))")[2].rpartition(")\n      )")[0]
    report = BALANCE_OF_EARLIER_CALLS.partition("(call $deallocate (local.get $p) (local.get $n))")[2].rpartition(
        ")\n      )"
    )[0]
    both = bindgen_guest(f"(if (result i32) (local.get $n) (then {body}) (else {report}))")
    books = guest(tmp_path, both, instance="worker")
    for _ in range(3):
        try:
            books.handle(frame(b"xyz"))
        except GuestFailed:
            assert other is ERROR
    assert books.handle(frame(b"")).emissions == (Emission(TAG, bytes(4)),)


def test_a_result_larger_than_the_limit_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    limited = guest(tmp_path, ECHO, limits=Limits(output_bytes=10))
    with pytest.raises(GuestOutputExceeded, match="result: got 11 bytes, expected at most 10 bytes, frame cam-1/7"):
        limited.handle(frame(b"x" * 11))
    assert limited.handle(frame(b"x" * 10)).emissions == (Emission(TAG, b"x" * 10),)


def test_more_values_than_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GuestOutputExceeded, match="got more than 16777216 bytes or 1 values"):
        guest(tmp_path, TWO, limits=Limits(emitted_frames=1)).handle(frame(b"x"))


@pytest.mark.parametrize(
    "answer",
    [
        "(i32.const -1)",
        "(i32.const 262140)",
        "(call $header (i32.const 0) (i32.const -4) (i32.const 1))",
        "(call $header (i32.const 1) (i32.const -4) (i32.const 8))",
        """(local.set $t (call $allocate (i32.const 12)))
        (call $triple (local.get $t) (i32.const -1) (i32.const 21) (i32.const 2))
        (call $header (i32.const 0) (local.get $t) (i32.const 1))""",
    ],
)
def test_a_pointer_outside_memory_is_a_failure(tmp_path: Path, answer: str) -> None:
    with pytest.raises(GuestFailed, match="`infer` answered with a pointer outside its memory"):
        guest(tmp_path, bindgen_guest(answer)).handle(frame(b"x"))


def test_an_allocation_outside_memory_is_a_failure(tmp_path: Path) -> None:
    lying = ECHO.replace("(local.get $at))\n      (func $deallocate", "(i32.const -1))\n      (func $deallocate")
    with pytest.raises(GuestFailed, match="pointer outside its memory"):
        guest(tmp_path, lying).handle(frame(b"x"))


def test_an_absurd_number_of_values_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(GuestFailed, match="returned 4294967295 values, expected at most 64"):
        guest(tmp_path, bindgen_guest("(call $header (i32.const 0) (i32.const 0) (i32.const -1))")).handle(frame(b"x"))


def test_a_trap_is_a_trap(tmp_path: Path) -> None:
    with pytest.raises(GuestTrapped, match="unreachable code reached"):
        guest(tmp_path, bindgen_guest("unreachable")).handle(frame(b"x"))


def test_initialize_runs_first(tmp_path: Path) -> None:
    initialised = bindgen_guest(
        """(if (i32.eqz (i32.load (i32.const 128))) (then unreachable))
        (call $header (i32.const 0) (i32.const 1) (i32.const 0))""",
        '(func (export "_initialize") (i32.store (i32.const 128) (i32.const 1)))',
    )
    assert guest(tmp_path, initialised).handle(frame(b"x")).emissions == ()


# Decisions ------------------------------------------------------------------------------------------------------------


def shape(*names: str) -> ModuleShape:
    return ModuleShape((), {name: Extern("function", Signature.of("i32 i32 -> i32")) for name in names})


def test_the_only_candidate_is_the_entry() -> None:
    assert choose_entry(shape("classify"), None) == "classify"


def test_infer_is_the_entry_among_several() -> None:
    assert choose_entry(shape("classify", "infer"), None) == "infer"


def test_the_entry_asked_for_wins() -> None:
    assert choose_entry(shape("classify", "infer"), "classify") == "classify"


def test_several_candidates_without_infer_are_named() -> None:
    with pytest.raises(GuestAbiError, match="got 2 candidates: `a`, `b`, expected one; name it as `entry`"):
        choose_entry(shape("b", "a"), None)


def test_an_entry_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="entry: got `c`, expected one of `a`, `b`"):
        choose_entry(shape("b", "a"), "c")


@pytest.mark.parametrize(
    ("result_tag", "emit", "expected"),
    [(5, None, 5), (5, frozenset({5, 6}), 5), (None, frozenset({6}), 6)],
)
def test_the_result_tag_is_the_given_or_the_only_one(
    result_tag: int | None, emit: frozenset[int] | None, expected: int
) -> None:
    assert result_tag_of(AbiOptions(None, result_tag, emit)) == expected


@pytest.mark.parametrize(
    ("result_tag", "emit", "message"),
    [
        (None, None, "result tag: got none"),
        (None, frozenset({5, 6}), "result tag: got none"),
        (7, frozenset({5, 6}), "result tag: got 0x7, expected a tag that the function may emit"),
        (0xF001, None, "result tag: got 0xf001"),
    ],
)
def test_an_unclear_result_tag_is_refused(result_tag: int | None, emit: frozenset[int] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        result_tag_of(AbiOptions(None, result_tag, emit))


def test_a_config_error_names_function_and_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^function `f`: .*guest.wasm: result tag: got none"):
        guest(tmp_path, ECHO, result_tag=None)
