"""A guest that is handed pictures and tries to get them out, each time as the first byte of its frame says.

It encodes in base64 what follows that byte. Then: `r` emits it raw; `t` as one text; `j` as a string of JSON; `p` in
sixteen short texts, further ones with each frame; `a` addresses sixteen empty texts to names that spell it; `n` counts,
in empty texts; `g` spells it in tags; `l` logs it, and
emits a word; `f` fails with it; `x` logs it and traps; `b` puts 32 characters of it into the label of a box, `B` more.
"""

from __future__ import annotations

from pathlib import Path

from tests.unit.sandbox.kit import own_guest, write

_ENCODED = 131072
_BOX = 240000
_NAME = 250000

_HANDLE = f"""
  (local $mode i32) (local $n i32) (local $size i32) (local $tag i32) (local $k i32) (local $at i32)
  (drop (call $frame_read (i32.const 0) (i32.const 60000)))
  (local.set $mode (i32.load8_u (i32.const 0)))
  (local.set $tag (i32.add (call $frame_tag) (i32.const 1)))
  (local.set $size (i32.sub (call $frame_size) (i32.const 1)))
  (local.set $n (call $encode (local.get $size)))
  (if (i32.eq (local.get $mode) (i32.const {ord("r")}))
    (then (drop (call $emit (local.get $tag) (i32.const 1) (local.get $size)))))
  (if (i32.eq (local.get $mode) (i32.const {ord("t")}))
    (then (drop (call $emit (local.get $tag) (i32.const {_ENCODED + 1}) (local.get $n)))))
  (if (i32.eq (local.get $mode) (i32.const {ord("j")})) (then
    (i32.store8 (i32.const {_ENCODED}) (i32.const 34))
    (i32.store8 (i32.add (i32.const {_ENCODED + 1}) (local.get $n)) (i32.const 34))
    (drop (call $emit (local.get $tag) (i32.const {_ENCODED}) (i32.add (local.get $n) (i32.const 2))))))
  (if (i32.eq (local.get $mode) (i32.const {ord("b")})) (then (call $box (local.get $tag) (i32.const 32))))
  (if (i32.eq (local.get $mode) (i32.const {ord("B")})) (then (call $box (local.get $tag) (i32.const 33))))
  (loop $again
    (local.set $at (i32.add (i32.const {_ENCODED + 1}) (i32.rem_u
      (i32.mul (i32.add (i32.mul (i32.wrap_i64 (call $frame_sequence)) (i32.const 16)) (local.get $k)) (i32.const 64))
      (i32.sub (local.get $n) (i32.const 64)))))
    (if (i32.eq (local.get $mode) (i32.const {ord("p")}))
      (then (drop (call $emit (local.get $tag) (local.get $at) (i32.const 64)))))
    (if (i32.eq (local.get $mode) (i32.const {ord("a")}))
      (then (call $name (local.get $at))
        (drop (call $emit_to (local.get $tag) (i32.const {_NAME}) (i32.const 64) (i32.const 0) (i32.const 0)))))
    (if (i32.eq (local.get $mode) (i32.const {ord("g")}))
      (then (drop (call $emit (i32.add (i32.const 4096) (i32.load8_u (local.get $at))) (i32.const 0) (i32.const 0)))))
    (if (i32.or (i32.eq (local.get $mode) (i32.const {ord("l")})) (i32.eq (local.get $mode) (i32.const {ord("x")})))
      (then (call $log (i32.const 2) (local.get $at) (i32.const 64))))
    (br_if $again (i32.ne (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 16))))
  (if (i32.eq (local.get $mode) (i32.const {ord("n")})) (then
    (local.set $k (i32.const 200))
    (loop $count
      (drop (call $emit (local.get $tag) (i32.const 0) (i32.const 0)))
      (br_if $count (local.tee $k (i32.sub (local.get $k) (i32.const 1)))))))
  (if (i32.eq (local.get $mode) (i32.const {ord("l")}))
    (then (drop (call $emit (local.get $tag) (i32.const 61100) (i32.const 4)))))
  (if (i32.eq (local.get $mode) (i32.const {ord("f")}))
    (then (call $fail (i32.const {_ENCODED + 1}) (i32.const 1000)) (return (i32.const 1))))
  (if (i32.eq (local.get $mode) (i32.const {ord("x")})) (then unreachable))
  (i32.const 0)
"""

_BEGINNING = '[{"x":0,"y":0,"w":1,"h":1,"label":"'
_END = '"}]'

_MORE = f"""
  (data (i32.const 61000) "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
  (data (i32.const 61100) "done")
  (data (i32.const 61200) "{_BEGINNING.replace('"', chr(92) + '"')}")
  (data (i32.const 61300) "{_END.replace('"', chr(92) + '"')}")
  (func $letter (param $at i32) (param $six i32)
    (i32.store8 (local.get $at)
      (i32.load8_u (i32.add (i32.const 61000) (i32.and (local.get $six) (i32.const 63))))))
  (func $encode (param $size i32) (result i32) (local $i i32) (local $o i32) (local $v i32)
    (local.set $o (i32.const {_ENCODED + 1}))
    (block $end (loop $next
      (br_if $end (i32.gt_u (i32.add (local.get $i) (i32.const 3)) (local.get $size)))
      (local.set $v (i32.or (i32.or
        (i32.shl (i32.load8_u offset=1 (local.get $i)) (i32.const 16))
        (i32.shl (i32.load8_u offset=2 (local.get $i)) (i32.const 8)))
        (i32.load8_u offset=3 (local.get $i))))
      (call $letter (local.get $o) (i32.shr_u (local.get $v) (i32.const 18)))
      (call $letter (i32.add (local.get $o) (i32.const 1)) (i32.shr_u (local.get $v) (i32.const 12)))
      (call $letter (i32.add (local.get $o) (i32.const 2)) (i32.shr_u (local.get $v) (i32.const 6)))
      (call $letter (i32.add (local.get $o) (i32.const 3)) (local.get $v))
      (local.set $i (i32.add (local.get $i) (i32.const 3)))
      (local.set $o (i32.add (local.get $o) (i32.const 4)))
      (br $next)))
    (i32.sub (local.get $o) (i32.const {_ENCODED + 1})))
  ;; A name of 64 letters: `n`, and 63 of the text, with `_` and `.` in place of `+` and `/`, which no name has.
  (func $name (param $at i32) (local $i i32) (local $letter i32)
    (i32.store8 (i32.const {_NAME}) (i32.const {ord("n")}))
    (loop $next
      (local.set $letter (i32.load8_u (i32.add (local.get $at) (local.get $i))))
      (if (i32.eq (local.get $letter) (i32.const {ord("+")})) (then (local.set $letter (i32.const {ord("_")}))))
      (if (i32.eq (local.get $letter) (i32.const {ord("/")})) (then (local.set $letter (i32.const {ord(".")}))))
      (i32.store8 (i32.add (i32.const {_NAME + 1}) (local.get $i)) (local.get $letter))
      (br_if $next (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 63)))))
  (func $box (param $tag i32) (param $length i32)
    (memory.copy (i32.const {_BOX}) (i32.const 61200) (i32.const {len(_BEGINNING)}))
    (memory.copy (i32.const {_BOX + len(_BEGINNING)}) (i32.const {_ENCODED + 1}) (local.get $length))
    (memory.copy (i32.add (i32.const {_BOX + len(_BEGINNING)}) (local.get $length))
      (i32.const 61300) (i32.const {len(_END)}))
    (drop (call $emit (local.get $tag) (i32.const {_BOX})
      (i32.add (i32.const {len(_BEGINNING) + len(_END)}) (local.get $length)))))
"""


def smuggler(folder: Path) -> Path:
    """The guest's file."""
    return write(folder, own_guest(_HANDLE, _MORE, memory="4"), "smuggler.wasm")
