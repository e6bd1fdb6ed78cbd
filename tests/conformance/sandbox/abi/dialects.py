"""One guest in every ABI: a body in WebAssembly text over a few words, and what each ABI makes of them.

The words: `$size` (the payload's bytes), `$read at` (the payload into memory), `$put at size` (a result), `$fail at
size` (ends in failure, with this text as the reason). Memory below 0x8000 is the words' own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Where a body may keep what it likes.
OWN = 0x8000
STDIN_AT = 0x20000

TAG = 0x11

# What the first byte of the payload makes the guest do, in the order of the branches below.
ECHO, FAIL, TRAP, LOOP, BOMB, FLOOD, COUNT = b"e", b"f", b"t", b"l", b"m", b"o", b"c"

REASON = b"the payload says so"
FLOOD_PIECE, FLOOD_PIECES = 1024, 20

BEHAVIOUR = f"""
  (data (i32.const 0x7000) "{REASON.decode()}")
  (global $counted (mut i32) (i32.const 0))
  (func $behave
    (local $n i32) (local $what i32)
    (call $read (i32.const {OWN}))
    (local.set $what (i32.load8_u (i32.const {OWN})))
    (if (i32.eqz (call $size)) (then return))
    (if (i32.eq (local.get $what) (i32.const {ECHO[0]})) (then
      (call $put (i32.const {OWN}) (call $size))))
    (if (i32.eq (local.get $what) (i32.const {FAIL[0]})) (then
      (call $fail (i32.const 0x7000) (i32.const {len(REASON)}))))
    (if (i32.eq (local.get $what) (i32.const {TRAP[0]})) (then unreachable))
    (if (i32.eq (local.get $what) (i32.const {LOOP[0]})) (then (loop $for_ever (br $for_ever))))
    (if (i32.eq (local.get $what) (i32.const {BOMB[0]})) (then
      (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable))
    (if (i32.eq (local.get $what) (i32.const {FLOOD[0]})) (then
      (local.set $n (i32.const {FLOOD_PIECES}))
      (loop $again
        (call $put (i32.const {OWN}) (i32.const {FLOOD_PIECE}))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
    (if (i32.eq (local.get $what) (i32.const {COUNT[0]})) (then
      (global.set $counted (i32.add (global.get $counted) (i32.const 1)))
      (i32.store8 (i32.const 0x7100) (i32.add (i32.load8_u (i32.const 0x7100)) (i32.const 1)))
      (i32.store8 (i32.const 0x7101) (global.get $counted))
      (call $put (i32.const 0x7100) (i32.const 2)))))
"""


def _own(tag: int) -> str:
    return f"""(module
      (import "nearfield_v1" "frame_size" (func $size (result i32)))
      (import "nearfield_v1" "frame_read" (func $frame_read (param i32 i32) (result i32)))
      (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
      (import "nearfield_v1" "fail" (func $reason (param i32 i32)))
      (memory (export "memory") 8)
      (global $status (mut i32) (i32.const 0))
      (func $read (param $at i32) (drop (call $frame_read (local.get $at) (i32.const -1))))
      (func $put (param i32 i32) (drop (call $emit (i32.const {tag}) (local.get 0) (local.get 1))))
      (func $fail (param i32 i32) (call $reason (local.get 0) (local.get 1)) (global.set $status (i32.const 1)))
      (func (export "nearfield_handle") (result i32)
        (global.set $status (i32.const 0)) (call $behave) (global.get $status))
      {BEHAVIOUR})"""


def _yomo(tag: int) -> str:
    """Its only way to fail is to trap; its last words on standard error are the reason."""
    return f"""(module
      (import "env" "yomo_observe_datatag" (func $observe (param i32)))
      (import "env" "yomo_context_data_size" (func $size (result i32)))
      (import "env" "yomo_context_data" (func $context_data (param i32 i32) (result i32)))
      (import "env" "yomo_write" (func $write (param i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 8)
      (func $read (param $at i32) (drop (call $context_data (local.get $at) (i32.const -1))))
      (func $put (param i32 i32) (drop (call $write (i32.const {tag}) (local.get 0) (local.get 1))))
      (func $fail (param i32 i32)
        (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1))
        (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
        unreachable)
      (func (export "yomo_observe_datatags") (call $observe (i32.const 0x10)))
      (func (export "yomo_handler") (call $behave))
      {BEHAVIOUR})"""


_BINDGEN_WORDS = f"""
      (memory (export "memory") 8)
      (global $payload (mut i32) (i32.const 0))
      (global $payload_size (mut i32) (i32.const 0))
      (global $values (mut i32) (i32.const 0))
      (global $flag (mut i32) (i32.const 0))
      (global $heap (mut i32) (i32.const {STDIN_AT}))
      (func (export "allocate") (param $size i32) (result i32)
        (global.get $heap) (global.set $heap (i32.add (global.get $heap) (local.get $size))))
      (func (export "deallocate") (param i32 i32))
      (func $size (result i32) (global.get $payload_size))
      (func $read (param $at i32) (memory.copy (local.get $at) (global.get $payload) (global.get $payload_size)))
      (func $put (param i32 i32) (local $triple i32)
        (local.set $triple (i32.add (i32.const 0x100) (i32.mul (global.get $values) (i32.const 12))))
        (i32.store (local.get $triple) (local.get 0))
        (i32.store offset=4 (local.get $triple) (i32.const 21))
        (i32.store offset=8 (local.get $triple) (local.get 1))
        (global.set $values (i32.add (global.get $values) (i32.const 1))))
      (func $fail (param i32 i32)
        (global.set $flag (local.get 0)) (global.set $values (local.get 1)))
      (func $take (param $table i32)
        (global.set $payload (i32.load (local.get $table)))
        (global.set $payload_size (i32.load offset=4 (local.get $table)))
        (global.set $heap (i32.const {STDIN_AT}))
        (global.set $values (i32.const 0)) (global.set $flag (i32.const 0))
        (call $behave))
"""


def _bindgen(tag: int) -> str:
    return f"""(module {_BINDGEN_WORDS}
      (func (export "infer") (param i32 i32) (result i32)
        (call $take (local.get 0))
        (i32.store8 (i32.const 0) (i32.ne (global.get $flag) (i32.const 0)))
        (i32.store offset=1 (i32.const 0) (select (global.get $flag) (i32.const 0x100) (global.get $flag)))
        (i32.store offset=5 (i32.const 0) (global.get $values))
        (i32.const 0))
      {BEHAVIOUR})"""


def _old_bindgen(tag: int) -> str:
    return f"""(module
      (import "wasmedge-bindgen" "return_result" (func $return_result (param i32 i32)))
      (import "wasmedge-bindgen" "return_error" (func $return_error (param i32 i32)))
      {_BINDGEN_WORDS}
      (func (export "infer") (param i32 i32)
        (call $take (local.get 0))
        (if (global.get $flag)
          (then (call $return_error (global.get $flag) (global.get $values)))
          (else (call $return_result (i32.const 0x100) (global.get $values)))))
      {BEHAVIOUR})"""


def _command(tag: int) -> str:
    return f"""(module
      (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
      (memory (export "memory") 8)
      (global $total (mut i32) (i32.const 0))
      (func $size (result i32) (global.get $total))
      (func $read (param $at i32) (memory.copy (local.get $at) (i32.const {STDIN_AT}) (global.get $total)))
      (func $write (param $fd i32) (param $at i32) (param $left i32)
        (loop $again
          (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $left))
          (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
          (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
          (local.set $left (i32.sub (local.get $left) (i32.load (i32.const 8))))
          (br_if $again (local.get $left))))
      (func $put (param i32 i32) (call $write (i32.const 1) (local.get 0) (local.get 1)))
      (func $fail (param i32 i32)
        (call $write (i32.const 2) (local.get 0) (local.get 1)) (call $proc_exit (i32.const 3)))
      (func (export "_start")
        (loop $again
          (i32.store (i32.const 0) (i32.add (i32.const {STDIN_AT}) (global.get $total)))
          (i32.store (i32.const 4) (i32.const 60000))
          (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
          (global.set $total (i32.add (global.get $total) (i32.load (i32.const 8))))
          (br_if $again (i32.load (i32.const 8))))
        (call $behave))
      {BEHAVIOUR})"""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One ABI.

    Attributes:
        name: as `Guest.abi` says it.
        module: the guest's text, for results with this tag where the guest chooses it.
        observes: tags that it asks for itself.
        chooses_tags: whether results carry a tag of the guest's choice.
        has_state: whether an instance may handle several frames.
    """

    name: str
    module: Callable[[int], str]
    observes: tuple[int, ...] = ()
    chooses_tags: bool = False
    has_state: bool = True


DIALECTS = (
    Dialect("nearfield-v1", _own, chooses_tags=True),
    Dialect("yomo", _yomo, observes=(0x10,), chooses_tags=True),
    Dialect("wasmedge-bindgen-0.4", _bindgen),
    Dialect("wasmedge-bindgen-0.1", _old_bindgen),
    Dialect("wasi-command", _command, has_state=False),
)
