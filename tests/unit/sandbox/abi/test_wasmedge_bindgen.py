from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.errors import ConfigError, GuestFailed, GuestOutputExceeded, GuestTrapped
from nearfield.sandbox import Emission, Guest, Invocation, Limits
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
    with pytest.raises(GuestFailed, match="result: got 4294967295 values, expected at most 64"):
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


def test_a_config_error_names_function_and_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^function `f`: .*guest.wasm: result tag: got none"):
        guest(tmp_path, ECHO, result_tag=None)


# Arguments ------------------------------------------------------------------------------------------------------------

# Answers with the table of arguments: for each, its count and its bytes; keeps no books.
TELLING = """(module
  (memory (export "memory") 4)
  (global $next (mut i32) (i32.const 4096))
  (func $allocate (export "allocate") (param $size i32) (result i32)
    (global.get $next) (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "deallocate") (param i32 i32))
  (func (export "tell") (param $table i32) (param $count i32) (result i32)
    (i32.store (i32.const 0) (local.get $table))
    (i32.store (i32.const 32) (local.get $table)) (i32.store (i32.const 36) (i32.const 21))
    (i32.store (i32.const 40) (i32.mul (local.get $count) (i32.const 8)))
    (i32.store (i32.const 44) (i32.const 4096)) (i32.store (i32.const 48) (i32.const 21))
    (i32.store (i32.const 52) (i32.sub (global.get $next) (i32.const 4096)))
    (i32.store8 (i32.const 0) (i32.const 0)) (i32.store offset=1 (i32.const 0) (i32.const 32))
    (i32.store offset=5 (i32.const 0) (i32.const 2))
    (i32.const 0)))"""


def told(tmp_path: Path, entry: str, payload: bytes) -> tuple[list[int], bytes]:
    """Counts and bytes of all arguments as the guest got them."""
    table, heap = (e.payload for e in guest(tmp_path, TELLING, entry=entry).handle(frame(payload)).emissions)
    return [int.from_bytes(table[at + 4 : at + 8], "little") for at in range(0, len(table), 8)], heap[len(table) :]


@pytest.mark.parametrize(
    ("entry", "payload", "counts"),
    [
        ("tell", b"abc", [3]),
        ("tell(Vec<u8>)", b"abc", [3]),
        ("tell()", b"", []),
        ("tell(u8)", b"a", [1]),
        ("tell(u16)", b"ab", [1]),
        ("tell(Vec<u16>)", b"abcd", [2]),
        ("tell(Vec<i64>)", b"", [0]),
        ("tell(u32, String)", b"abcdgr\xc3\xbc\xc3\x9f", [1, 6]),
        ("tell(bool, f64, Vec<i32>, char)", b"\1" + bytes(8) + b"12345678" + b"a\0\0\0", [1, 1, 2, 1]),
    ],
)
def test_arguments_arrive_as_declared(tmp_path: Path, entry: str, payload: bytes, counts: list[int]) -> None:
    assert told(tmp_path, entry, payload) == (counts, payload)


# As the macro checks the count: before it touches an argument.
PARTICULAR = """(module
  (memory (export "memory") 4)
  (global $live (mut i32) (i32.const 0)) (global $next (mut i32) (i32.const 4096))
  (data (i32.const 64) "Invalid params count, expect {wanted}, got 1")
  (func $allocate (export "allocate") (param $size i32) (result i32)
    (global.set $live (i32.add (global.get $live) (local.get $size)))
    (global.get $next) (global.set $next (i32.add (global.get $next) (local.get $size))))
  (func (export "deallocate") (param i32 i32)
    (global.set $live (i32.sub (global.get $live) (local.get 1))))
  (func (export "infer") (param $table i32) (param $count i32) (result i32)
    (local $h i32)
    (local.set $h (call $allocate (i32.const 9)))
    (if (i32.ne (local.get $count) (i32.const {wanted})) (then
      (drop (call $allocate (i32.const 37)))
      (i32.store8 (local.get $h) (i32.const 1)) (i32.store offset=1 (local.get $h) (i32.const 64))
      (i32.store offset=5 (local.get $h) (i32.const 37)))
    (else
      (i32.store8 (i32.const 8)
        (i32.sub (global.get $live) (i32.add (i32.mul (local.get $count) (i32.const 8)) (i32.const 9))))
      (i32.store (i32.const 32) (i32.const 8))
      (i32.store (i32.const 36) (i32.const 1))
      (i32.store (i32.const 40) (i32.const 1))
      (drop (call $allocate (i32.const 13)))
      (i32.store8 (local.get $h) (i32.const 0)) (i32.store offset=1 (local.get $h) (i32.const 32))
      (i32.store offset=5 (local.get $h) (i32.const 1))))
    (local.get $h)))"""


def test_a_function_without_parameters_is_called_without_any_and_nothing_leaks(tmp_path: Path) -> None:
    """It answers with the bytes still allocated beyond this call's own."""
    nullary = guest(tmp_path, PARTICULAR.replace("{wanted}", "0"), instance="worker")
    for _ in range(3):
        assert nullary.handle(frame(b"ignored")).emissions == (Emission(TAG, b"\0"),)


def test_a_function_with_more_parameters_says_how_many_to_declare(tmp_path: Path) -> None:
    binary = guest(tmp_path, PARTICULAR.replace("{wanted}", "2"), instance="worker")
    for _ in range(2):
        with pytest.raises(GuestFailed, match=r"`infer` takes 2 parameters, got 1 \(the payload\), frame") as caught:
            binary.handle(frame(b"x"))
    assert caught.value.hint == "write their types into `entry`, such as `infer(u32, Vec<u8>)`"
    declared = guest(tmp_path, PARTICULAR.replace("{wanted}", "2"), entry="infer(u8, u8)")
    assert len(declared.handle(frame(b"ab")).emissions) == 1


def test_a_wrong_declaration_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(GuestFailed, match=r"`infer\(u8\)` takes 2 parameters, got 1, frame"):
        guest(tmp_path, PARTICULAR.replace("{wanted}", "2"), entry="infer(u8)").handle(frame(b"a"))


def test_a_payload_that_does_not_fit_the_declaration_is_a_failure(tmp_path: Path) -> None:
    declared = guest(tmp_path, TELLING, entry="tell(u32)")
    with pytest.raises(GuestFailed, match=r"payload: got 3 bytes, expected 4 for `tell\(u32\)`"):
        declared.handle(frame(b"abc"))
    assert len(declared.handle(frame(b"abcd")).emissions) == 2
