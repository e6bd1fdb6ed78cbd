"""Guests that tell by their results which of them it was, as WebAssembly text."""

from __future__ import annotations

from pathlib import Path

import wasmtime

# Some work, about half a millisecond, so that frames are at hand and others wait when something happens.
_TURNS = 500_000


def write_marking_guest(path: Path, mark: str, *, imports: str = "") -> Path:
    """Emits the mark, a colon and the payload under the tag + 1. Replaces the file in one step, as editors do.

    Args:
        mark: one character of ASCII.
        imports: further imports, as text.
    """
    text = f"""(module
      (import "nearfield_v1" "frame_tag" (func $frame_tag (result i32)))
      (import "nearfield_v1" "frame_read" (func $frame_read (param i32 i32) (result i32)))
      (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
      {imports}
      (memory (export "memory") 2)
      (data (i32.const 1024) "{mark}:")
      (func (export "nearfield_handle") (result i32)
        (local $turns i32) (local $size i32)
        (local.set $size (call $frame_read (i32.const 1026) (i32.const 65536)))
        (loop $again
          (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $turns) (i32.const {_TURNS}))))
        (drop (call $emit (i32.add (call $frame_tag) (i32.const 1)) (i32.const 1024)
          (i32.add (local.get $size) (i32.const 2))))
        (i32.const 0)))"""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(bytes(wasmtime.wat2wasm(text)))
    partial.replace(path)
    return path
