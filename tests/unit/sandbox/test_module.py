from __future__ import annotations

from pathlib import Path

import pytest
import wasmtime

from nearfield.errors import GuestInvalid
from nearfield.sandbox import Limits
from nearfield.sandbox.module import check_beginning, compile_guest
from tests.unit.sandbox.kit import ECHO, write

MODULE = b"\0asm\x01\0\0\0"
COMPONENT = b"\0asm\x0d\0\x01\0"


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "got 0 bytes, .*; the file is empty"),
        (b"\0asm", "got only 4 bytes of one, .*; the file is truncated"),
        (b"\0asm\x02\0\0\0", "got a module of version 2"),
        (COMPONENT, "got a WebAssembly component, .*; build a core module"),
        (b"(module)", "got WebAssembly text, .*; assemble it first"),
        (b"\n  ;; comment\n(module)", "got WebAssembly text"),
        (b"\x7fELF\x02\x01\x01\0", "got a native ELF program, .*; build the guest for a wasm32 target"),
        (b"<!DOCTYPE html>", "got a web page or XML"),
        (b"\xde\xad\xbe\xef\x01\x02\x03\x04\x05", "got bytes beginning de ad be ef 01 02 03 04, .*; no known format"),
    ],
)
def test_what_is_no_core_module_is_named(content: bytes, got: str) -> None:
    with pytest.raises(GuestInvalid, match=f"^here: content: {got}"):
        check_beginning(content, "here")


def test_text_is_refused_although_wasmtime_would_take_it(tmp_path: Path) -> None:
    path = tmp_path / "guest.wasm"
    path.write_text('(module (memory (export "memory") 1) (func (export "nearfield_handle") (result i32) i32.const 0))')
    with pytest.raises(GuestInvalid, match="got WebAssembly text, expected a binary WebAssembly core module"):
        compile_guest(path)


def test_precompiled_code_is_refused(tmp_path: Path) -> None:
    from nearfield.sandbox.engine import engine

    path = tmp_path / "guest.cwasm"
    path.write_bytes(bytes(wasmtime.Module(engine(), wasmtime.wat2wasm(ECHO)).serialize()))
    with pytest.raises(GuestInvalid, match="got a native ELF program"):
        compile_guest(path)


def test_a_file_larger_than_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(MODULE + bytes(100))
    with pytest.raises(GuestInvalid, match="size: got more than 50 bytes, expected at most that"):
        compile_guest(path, limits=Limits(module_bytes=50))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GuestInvalid, match="where: cannot read it: No such file or directory"):
        compile_guest(tmp_path / "none.wasm", where="where")


@pytest.mark.parametrize("keep", [9, 60, 200, -1])
def test_a_truncated_module_is_invalid(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path, ECHO)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(GuestInvalid, match=r"not a valid module: .*unexpected end"):
        compile_guest(path)


@pytest.mark.parametrize(
    ("text", "feature"),
    [
        ("(module (memory i64 1))", "memory64"),
        ("(module (memory 1 1 shared))", "threads"),
        ("(module (type (struct)))", "gc"),
        ("(module (tag))", "exceptions"),
        ("(module (memory 1) (memory 1))", "multiple memories"),
        ("(module (func $f return_call $f))", "tail calls"),
        ("(module (table 1 externref))", "gc"),
        (
            "(module (func (param v128 v128) (result v128) local.get 0 local.get 1 i8x16.relaxed_swizzle))",
            "relaxed SIMD",
        ),
    ],
)
def test_features_that_are_off_are_refused_by_name(tmp_path: Path, text: str, feature: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(GuestInvalid, match=f"{feature}.*; build it with"):
        compile_guest(path)


def test_features_that_compilers_emit_are_on(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """(module (memory 1) (table 1 funcref)
        (func (result i32 i32) i32.const 1 i32.const 2)
        (func (result v128) v128.const i32x4 0 0 0 0)
        (func i32.const 0 i32.const 0 i32.const 0 memory.fill)
        (func (param f32) (result i32) local.get 0 i32.trunc_sat_f32_s))""",
    )
    compile_guest(path)
