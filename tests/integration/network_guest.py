"""A guest that runs one frame through a network by wasi-nn, as WebAssembly text."""

from __future__ import annotations

from pathlib import Path

import wasmtime

# Numbers of wasi-nn's tensor types.
F32, I64 = 1, 5

_FUNCTIONS = {
    "load_by_name": 3,
    "init_execution_context": 2,
    "set_input": 3,
    "compute": 1,
    "get_output": 5,
}


def write_network_guest(path: Path, *, width: int, element: int = F32, value_bytes: int = 4, out_bytes: int) -> Path:
    """Input (1, width) from the payload, output 0 as result on tag 0x11.

    A payload of one byte is an order: `l` loops for ever, anything else traps. A compute that fails fails the frame.
    """
    imports = "\n".join(
        f'(import "wasi_ephemeral_nn" "{name}" (func ${name} (param {"i32 " * count}) (result i32)))'
        for name, count in _FUNCTIONS.items()
    )
    text = f"""(module
      {imports}
      (import "nearfield_v1" "frame_read" (func $frame_read (param i32 i32) (result i32)))
      (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
      (import "nearfield_v1" "fail" (func $fail (param i32 i32)))
      (memory (export "memory") 2)
      (data (i32.const 16) "net")
      (data (i32.const 32) "compute failed")
      ;; a tensor at 64: dimensions at 96, two of them, the type, the data at 1024
      (data (i32.const 64) "{_u32(96)}{_u32(2)}{_u32(element)}{_u32(1024)}{_u32(width * value_bytes)}")
      (data (i32.const 96) "{_u32(1)}{_u32(width)}")
      (func $must (param i32) (if (local.get 0) (then unreachable)))
      (func (export "nearfield_handle") (result i32)
        (if (i32.eq (call $frame_read (i32.const 1024) (i32.const 65536)) (i32.const 1))
          (then (loop $again (br_if $again (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 108)))) unreachable))
        (call $must (call $load_by_name (i32.const 16) (i32.const 3) (i32.const 0)))
        (call $must (call $init_execution_context (i32.load (i32.const 0)) (i32.const 4)))
        (call $must (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const 64)))
        (if (call $compute (i32.load (i32.const 4)))
          (then (call $fail (i32.const 32) (i32.const 14)) (return (i32.const 1))))
        (call $must (call $get_output (i32.load (i32.const 4)) (i32.const 0) (i32.const 70000) (i32.const 4096)
          (i32.const 8)))
        (call $must (i32.ne (i32.load (i32.const 8)) (i32.const {out_bytes})))
        (call $must (call $emit (i32.const 0x11) (i32.const 70000) (i32.const {out_bytes})))
        (i32.const 0)))"""
    path.write_bytes(bytes(wasmtime.wat2wasm(text)))
    return path


def _u32(number: int) -> str:
    return "".join(f"\\{byte:02x}" for byte in number.to_bytes(4, "little"))
