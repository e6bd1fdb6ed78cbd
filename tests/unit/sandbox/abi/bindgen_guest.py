"""A wasmedge-bindgen guest in WebAssembly text that keeps the books on its allocations."""

from __future__ import annotations

# Words at fixed places: bytes allocated, bytes given back, then the sizes of single buffers given back.
BALANCE = 16
ALLOCATED, FREED = 16, 20


def bindgen_guest(body: str, more: str = "") -> str:
    """`body` is that of `infer(params, count) -> header`, with `$p`, `$n` (the argument) and `$h` at hand.

    `$allocate` never reuses memory, `$header flag pointer length` makes the answer, and the argument is freed before
    `body` runs, as Rust's `Vec::from_raw_parts` does. `report` answers with the balance of all earlier calls.
    """
    return f"""(module
      (memory (export "memory") 4)
      (global $next (mut i32) (i32.const 4096))
      (func $allocate (export "allocate") (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (global.get $next))
        (global.set $next (i32.add (global.get $next) (i32.add (local.get $size) (i32.const 1))))
        (i32.store (i32.const {ALLOCATED}) (i32.add (i32.load (i32.const {ALLOCATED})) (local.get $size)))
        (local.get $at))
      (func $deallocate (export "deallocate") (param $at i32) (param $size i32)
        (if (i32.eqz (local.get $at)) (then unreachable))
        (i32.store (i32.const {FREED}) (i32.add (i32.load (i32.const {FREED})) (local.get $size))))
      (func $header (param $flag i32) (param $pointer i32) (param $length i32) (result i32)
        (local $h i32)
        (local.set $h (call $allocate (i32.const 9)))
        (i32.store8 (local.get $h) (local.get $flag))
        (i32.store offset=1 (local.get $h) (local.get $pointer))
        (i32.store offset=5 (local.get $h) (local.get $length))
        (local.get $h))
      (func $triple (param $table i32) (param $pointer i32) (param $kind i32) (param $size i32)
        (i32.store (local.get $table) (local.get $pointer))
        (i32.store offset=4 (local.get $table) (local.get $kind))
        (i32.store offset=8 (local.get $table) (local.get $size)))
      (func $copy (param $from i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (call $allocate (local.get $size)))
        (memory.copy (local.get $at) (local.get $from) (local.get $size))
        (local.get $at))
      (func (export "infer") (param $params i32) (param $count i32) (result i32)
        (local $p i32) (local $n i32) (local $h i32) (local $t i32)
        (if (i32.ne (local.get $count) (i32.const 1)) (then unreachable))
        (local.set $p (i32.load (local.get $params)))
        (local.set $n (i32.load offset=4 (local.get $params)))
        (call $deallocate (local.get $p) (local.get $n))
        {body})
      {more})"""


# Each value is a copy, as Rust hands over a Vec of its own.
ECHO = bindgen_guest(
    """(local.set $t (call $allocate (i32.const 12)))
    (call $triple (local.get $t) (call $copy (local.get $p) (local.get $n)) (i32.const 21) (local.get $n))
    (call $header (i32.const 0) (local.get $t) (i32.const 1))"""
)
UNIT = bindgen_guest("(call $header (i32.const 0) (i32.const 1) (i32.const 0))")
TWO = bindgen_guest(
    """(local.set $t (call $allocate (i32.const 24)))
    (call $triple (local.get $t) (call $copy (local.get $p) (local.get $n)) (i32.const 31) (local.get $n))
    (call $triple (i32.add (local.get $t) (i32.const 12))
      (call $copy (local.get $n) (i32.const 4)) (i32.const 6) (i32.const 4))
    (call $header (i32.const 0) (local.get $t) (i32.const 2))"""
)
ERROR = bindgen_guest("(call $header (i32.const 1) (call $copy (local.get $p) (local.get $n)) (local.get $n))")
# Before this call's own allocations are answered for: what earlier calls left (only in a kept instance).
BALANCE_OF_EARLIER_CALLS = bindgen_guest(
    f"""(i32.store (i32.const 64) (i32.sub (i32.load (i32.const {ALLOCATED})) (i32.load (i32.const {FREED}))))
    (i32.store (i32.const 64) (i32.sub (i32.load (i32.const 64)) (i32.const 8)))
    (local.set $t (call $allocate (i32.const 12)))
    (call $triple (local.get $t) (call $copy (i32.const 64) (i32.const 4)) (i32.const 21) (i32.const 4))
    (call $header (i32.const 0) (local.get $t) (i32.const 1))"""
)
