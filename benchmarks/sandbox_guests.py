"""Guests to measure, as WebAssembly text."""

from __future__ import annotations

from pathlib import Path

MICRO = """(module
  (import "host" "f" (func $f (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "nothing") (result i32) (i32.const 0))
  (func (export "to_host") (param i32 i32) (result i32) (call $f (local.get 0) (local.get 1))))"""

_FRAME_IMPORTS = """
  (import "nearfield_v1" "frame_size" (func $size (result i32)))
  (import "nearfield_v1" "frame_read" (func $read (param i32 i32) (result i32)))
  (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))"""

NOTHING = """(module (memory (export "memory") 2)
  (func (export "nearfield_handle") (result i32) (i32.const 0)))"""

ECHO = f"""(module {_FRAME_IMPORTS}
  (memory (export "memory") 2)
  (func (export "nearfield_handle") (result i32)
    (drop (call $read (i32.const 0) (i32.const 131072)))
    (call $emit (i32.const 0x11) (i32.const 0) (call $size))))"""

# What `bytes.upper` does, one byte at a time.
UPPER = f"""(module {_FRAME_IMPORTS}
  (memory (export "memory") 2)
  (func (export "nearfield_handle") (result i32) (local $at i32) (local $byte i32) (local $end i32)
    (local.set $end (call $read (i32.const 0) (i32.const 131072)))
    (if (local.get $end) (then (loop $next
      (local.set $byte (i32.load8_u (local.get $at)))
      (if (i32.lt_u (i32.sub (local.get $byte) (i32.const 97)) (i32.const 26))
        (then (i32.store8 (local.get $at) (i32.sub (local.get $byte) (i32.const 32)))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $end))))))
    (call $emit (i32.const 0x11) (i32.const 0) (local.get $end))))"""

_MODEL_AT = 1024
_PAGE = 65536


def with_model(model: bytes, input_bytes: int, dims: tuple[int, ...], output_bytes: int, size: int) -> str:
    """A guest that carries `model`, is `size` bytes large, and runs it once for each frame on what is in its memory.

    An empty frame is echoed without running the model.
    """
    input_at = _MODEL_AT + max(size, len(model))
    pages = (input_at + input_bytes + output_bytes) // _PAGE + 2
    stores = "".join(f"(i32.store (i32.const {32 + 4 * n}) (i32.const {dim}))" for n, dim in enumerate(dims))
    return f"""(module {_FRAME_IMPORTS}
  (import "wasi_ephemeral_nn" "load" (func $load (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $context (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $input (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $output (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") {pages})
  (data (i32.const {_MODEL_AT}) "{_escaped(model + bytes(max(size - len(model), 0)))}")
  (func $check (param i32) (if (local.get 0) (then unreachable)))
  (func (export "nearfield_handle") (result i32)
    (if (i32.eqz (call $size)) (then (return (call $emit (i32.const 0x11) (i32.const 0) (i32.const 0)))))
    (i32.store (i32.const 0) (i32.const {_MODEL_AT})) (i32.store (i32.const 4) (i32.const {len(model)}))
    (call $check (call $load (i32.const 0) (i32.const 1) (i32.const 4) (i32.const 0) (i32.const 8)))
    (call $check (call $context (i32.load (i32.const 8)) (i32.const 12)))
    {stores}
    (i32.store (i32.const 64) (i32.const 32)) (i32.store (i32.const 68) (i32.const {len(dims)}))
    (i32.store8 (i32.const 72) (i32.const 3))
    (i32.store (i32.const 76) (i32.const {input_at})) (i32.store (i32.const 80) (i32.const {input_bytes}))
    (call $check (call $input (i32.load (i32.const 12)) (i32.const 0) (i32.const 64)))
    (call $check (call $compute (i32.load (i32.const 12))))
    (call $check (call $output (i32.load (i32.const 12)) (i32.const 0) (i32.const {input_at + input_bytes})
      (i32.const {output_bytes}) (i32.const 16)))
    (call $emit (i32.const 0x11) (i32.const {input_at + input_bytes}) (i32.load (i32.const 16)))))"""


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


def find_model(root: Path) -> Path:
    """A model of some megabytes where there is one, else that of the demonstration."""
    large_one = root / ".." / "shared" / "testdata" / "mobilenet_v1_0.75_192_quant.tflite"
    return large_one if large_one.exists() else root / "src/nearfield/assets/factory_line/parts.tflite"
