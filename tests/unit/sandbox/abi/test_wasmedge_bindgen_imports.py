from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.errors import GuestExited, GuestFailed, GuestOutputExceeded
from nearfield.inference import ModelStore
from nearfield.sandbox import Emission, Guest, Invocation, Limits
from tests.unit.sandbox.kit import ROOT, load

TAG = 0x11


def module(body: str, imported_from: str = "wasmedge-bindgen", more: str = "") -> str:
    """`body` is that of `infer(table, count)`; `deallocate` notes the address and size it was last given."""
    return f"""(module
      (import "{imported_from}" "return_result" (func $result (param i32 i32)))
      (import "{imported_from}" "return_error" (func $error (param i32 i32)))
      (memory (export "memory") 2)
      (global $next (mut i32) (i32.const 4096))
      (func (export "allocate") (param $size i32) (result i32)
        (global.get $next) (global.set $next (i32.add (global.get $next) (local.get $size))))
      (func (export "deallocate") (param i32 i32)
        (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (local.get 1))))
      (func $triple (param $at i32) (param i32 i32 i32)
        (i32.store (local.get $at) (local.get 1)) (i32.store offset=4 (local.get $at) (local.get 2))
        (i32.store offset=8 (local.get $at) (local.get 3)))
      (func (export "infer") (param $table i32) (param $count i32) {body}) {more})"""


def guest(
    tmp_path: Path, body: str, imported_from: str = "wasmedge-bindgen", more: str = "", **options: object
) -> Guest:
    return load(tmp_path, module(body, imported_from, more), **{"result_tag": TAG, **options})


def frame(payload: bytes = b"payload") -> Invocation:
    return Invocation(0x10, payload, "cam-1", 7, 0)


def test_values_of_every_kind_come_out_in_order(tmp_path: Path) -> None:
    several = guest(
        tmp_path,
        """(call $triple (i32.const 100) (i32.const 200) (i32.const 31) (i32.const 3))
        (call $triple (i32.const 112) (i32.const 204) (i32.const 3) (i32.const 2))
        (call $triple (i32.const 124) (i32.const 200) (i32.const 21) (i32.const 0))
        (call $result (i32.const 100) (i32.const 3))""",
        more='(data (i32.const 200) "abc\\00\\01\\02")',
    )
    assert [e.payload for e in several.handle(frame()).emissions] == [b"abc", b"\1\2", b""]


def test_a_unit_result_emits_nothing(tmp_path: Path) -> None:
    assert guest(tmp_path, "(call $result (i32.const 4) (i32.const 0))").handle(frame()).emissions == ()


def test_vectors_and_the_table_of_arguments_are_given_back_but_scalars_and_the_table_of_results_are_not(
    tmp_path: Path,
) -> None:
    """The result is what was given back by earlier calls: 8 for the table, 4 for the vector."""
    books = guest(
        tmp_path,
        """(call $triple (i32.const 100) (i32.const 16) (i32.const 21) (i32.const 4))
        (call $triple (i32.const 112) (i32.const 200) (i32.const 5) (i32.const 4))
        (call $result (i32.const 100) (i32.const 2))""",
        instance="worker",
    )
    given_back = [books.handle(frame()).emissions[0].payload for _ in range(3)]
    assert given_back == [n.to_bytes(4, "little") for n in (0, 12, 24)]


def test_an_error_is_a_failure_with_its_text(tmp_path: Path) -> None:
    failing = guest(
        tmp_path,
        "(call $error (i32.load (local.get $table)) (i32.load offset=4 (local.get $table)))",
        instance="worker",
    )
    for _ in range(2):
        with pytest.raises(GuestFailed, match="function `f`: `infer` failed: no hot dog, frame cam-1/7"):
            failing.handle(frame(b"no hot dog"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "`infer` returned without an answer"),
        ("(call $result (i32.const -4) (i32.const 1))", "`infer` failed: `return_result`: got a pointer outside"),
        ("(call $error (i32.const -4) (i32.const 8))", "`infer` failed: `return_error`: got a pointer outside"),
        ("(call $result (i32.const 0) (i32.const 65))", "`infer` failed: result: got 65 values, expected at most 64"),
        ("(call $result (i32.const 100) (i32.const 1))", "`infer` failed: result: got a value of type 0, expected one"),
    ],
)
def test_an_answer_against_the_rules_is_a_failure(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(GuestFailed, match=message):
        guest(tmp_path, body).handle(frame())


def test_a_result_beyond_the_limit_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    large = """(call $triple (i32.const 100) (i32.const 0) (i32.const 21) (i32.const 11))
      (call $result (i32.const 100) (i32.const 1))"""
    with pytest.raises(GuestOutputExceeded, match="result: got 11 bytes, expected at most 10 bytes"):
        guest(tmp_path, large, limits=Limits(output_bytes=10)).handle(frame())


def test_an_answer_to_an_earlier_frame_is_forgotten(tmp_path: Path) -> None:
    once = guest(
        tmp_path,
        "(if (i32.load8_u (i32.load (local.get $table))) (then (call $result (i32.const 4) (i32.const 0))))",
        instance="worker",
    )
    assert once.handle(frame(b"\1")).emissions == ()
    with pytest.raises(GuestFailed, match="without an answer"):
        once.handle(frame(b"\0"))


@pytest.mark.parametrize("payload", [b"", b"hello"])
def test_the_oldest_crates_hand_over_plain_bytes(tmp_path: Path, payload: bytes) -> None:
    body = "(call $result (i32.load (local.get $table)) (i32.load offset=4 (local.get $table)))"
    oldest = guest(tmp_path, body, "env")
    assert oldest.abi == "wasmedge-bindgen-0.1"
    assert oldest.handle(frame(payload)).emissions == (Emission(TAG, payload),)


@pytest.mark.parametrize(
    ("pointer", "length", "error"),
    [("-1", 2, "`return_result`: got a pointer outside"), ("0", 11, "result: got 11 bytes, expected at most 10")],
)
def test_plain_bytes_have_limits_too(tmp_path: Path, pointer: str, length: int, error: str) -> None:
    body = f"(call $result (i32.const {pointer}) (i32.const {length}))"
    with pytest.raises((GuestFailed, GuestOutputExceeded), match=error):
        guest(tmp_path, body, "env", limits=Limits(output_bytes=10)).handle(frame())


def test_exiting_is_no_answer(tmp_path: Path) -> None:
    text = module("(call $exit (i32.const 0))").replace(
        "(module", '(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))', 1
    )
    with pytest.raises(GuestExited):
        load(tmp_path, text, result_tag=TAG).handle(frame())


def test_a_real_guest_returns_several_values_and_scalars_leave_its_heap_alone() -> None:
    path = ROOT / "guests" / "bindgen-imports-upper" / "bindgen-imports-upper.wasm"
    if not path.exists():
        pytest.skip("guests/bindgen-imports-upper/bindgen-imports-upper.wasm is not built")
    divide = Guest.load(
        path, name="f", models=ModelStore({}), result_tag=TAG, entry="divide(u32, u32)", instance="worker"
    )
    for _ in range(100):
        whole, quotient, text = divide.handle(frame(b"\7\0\0\0\2\0\0\0")).emissions
        assert (whole.payload, text.payload) == (b"\3\0\0\0", b"7/2")
        assert quotient.payload == bytes.fromhex("0000000000000c40")
        with pytest.raises(GuestFailed, match="`divide` failed: divisor: got 0"):
            divide.handle(frame(bytes(8)))
    undeclared = Guest.load(path, name="f", models=ModelStore({}), result_tag=TAG, entry="divide")
    with pytest.raises(GuestFailed, match=r"`divide` takes 2 parameters, got 1 \(the payload\)"):
        undeclared.handle(frame())
