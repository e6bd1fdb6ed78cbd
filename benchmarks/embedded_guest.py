"""A guest that carries its model, written when it is needed: the models to measure with are not ours to hand on.

It speaks wasmedge-bindgen 0.4 and does for every frame what `guests/bindgen-classify-a` does: decode the JPEG through
`wasmedge_image`, make a session of `wasmedge_tensorflowlite` from the model in its data, run it, read the scores,
delete the session, and return the label.
"""

from __future__ import annotations

from collections.abc import Sequence

from nearfield.inference import Graph

_INPUT_NAME, _OUTPUT_NAME, _HEADER, _TRIPLE, _LABELS = 16, 256, 512, 528, 1024
_LABEL_BYTES = 128
_PAGE = 65536
_HEAP_BYTES = 4 * 1024**2


def embedded_guest(model: bytes, graph: Graph, labels: Sequence[str]) -> str:
    """The guest as WebAssembly text.

    Args:
        model: of shape (1, h, w, 3) u8 to (1, n) u8.
        graph: the same model, loaded: its shapes and the names of its tensors.
        labels: n of them, at most 127 bytes each.
    """
    (entry,), (answer,) = graph.inputs, graph.outputs
    _, height, width, _ = entry.shape
    model_at = _aligned(_LABELS + len(labels) * _LABEL_BYTES)
    pixels_at = _aligned(model_at + len(model))
    scores_at = _aligned(pixels_at + entry.nbytes)
    heap_at = _aligned(scores_at + answer.nbytes)
    names = entry.name.encode(), answer.name.encode()
    return f"""(module
  (import "wasmedge_image" "wasmedge_image_load_jpg_to_rgb8" (func $decode (param i32 i32 i32 i32 i32) (result i32)))
  {_session("create_session", "i32 i32", "i64")}
  {_session("append_input", "i64 i32 i32 i32 i32")}
  {_session("run_session", "i64", "i32")}
  {_session("get_output_tensor", "i64 i32 i32", "i64")}
  {_session("get_tensor_len", "i64", "i32")}
  {_session("get_tensor_data", "i64 i32")}
  {_session("delete_session", "i64")}
  (memory (export "memory") {(heap_at + _HEAP_BYTES) // _PAGE + 1})
  (data (i32.const {_INPUT_NAME}) "{_escaped(names[0])}")
  (data (i32.const {_OUTPUT_NAME}) "{_escaped(names[1])}")
  (data (i32.const {_LABELS}) "{_escaped(b"".join(map(_entry, labels)))}")
  (data (i32.const {model_at}) "{_escaped(model)}")
  (global $free (mut i32) (i32.const {heap_at}))
  (func (export "allocate") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8)))))
  (func (export "deallocate") (param i32 i32))
  (func $must_be_zero (param i32) (if (local.get 0) (then unreachable)))
  (func $best (param $count i32) (result i32) (local $at i32) (local $best i32) (local $score i32) (local $most i32)
    (local.set $most (i32.const -1))
    (loop $next
      (local.set $score (i32.load8_u offset={scores_at} (local.get $at)))
      (if (i32.gt_s (local.get $score) (local.get $most))
        (then (local.set $most (local.get $score)) (local.set $best (local.get $at))))
      (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $count))))
    (local.get $best))
  (func (export "infer") (param $arguments i32) (param $count i32) (result i32)
    (local $session i64) (local $tensor i64) (local $label i32)
    (call $must_be_zero (call $decode (i32.load (local.get $arguments)) (i32.load offset=4 (local.get $arguments))
      (i32.const {width}) (i32.const {height}) (i32.const {pixels_at})))
    (local.set $session (call $create_session (i32.const {model_at}) (i32.const {len(model)})))
    (call $append_input (local.get $session) (i32.const {_INPUT_NAME}) (i32.const {len(names[0])})
      (i32.const {pixels_at}) (i32.const {entry.nbytes}))
    (call $must_be_zero (call $run_session (local.get $session)))
    (local.set $tensor
      (call $get_output_tensor (local.get $session) (i32.const {_OUTPUT_NAME}) (i32.const {len(names[1])})))
    (call $must_be_zero (i32.ne (call $get_tensor_len (local.get $tensor)) (i32.const {answer.nbytes})))
    (call $get_tensor_data (local.get $tensor) (i32.const {scores_at}))
    (call $delete_session (local.get $session))
    (local.set $label (i32.add (i32.const {_LABELS})
      (i32.mul (call $best (i32.const {answer.nbytes})) (i32.const {_LABEL_BYTES}))))
    (i32.store (i32.const {_TRIPLE}) (i32.add (local.get $label) (i32.const 1)))
    (i32.store offset=4 (i32.const {_TRIPLE}) (i32.const 31))
    (i32.store offset=8 (i32.const {_TRIPLE}) (i32.load8_u (local.get $label)))
    (i32.store8 (i32.const {_HEADER}) (i32.const 0))
    (i32.store offset=1 (i32.const {_HEADER}) (i32.const {_TRIPLE}))
    (i32.store offset=5 (i32.const {_HEADER}) (i32.const 1))
    (i32.const {_HEADER})))"""


def _session(name: str, parameters: str, result: str = "") -> str:
    returned = f" (result {result})" if result else ""
    full_name = f"wasmedge_tensorflowlite_{name}"
    return f'(import "wasmedge_tensorflowlite" "{full_name}" (func ${name} (param {parameters}){returned}))'


def _entry(label: str) -> bytes:
    """A label as the guest keeps it: its size, then its bytes."""
    text = label.encode()
    assert len(text) < _LABEL_BYTES
    return bytes([len(text)]) + text.ljust(_LABEL_BYTES - 1, b"\0")


def _aligned(at: int) -> int:
    return (at + 15) // 16 * 16


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)
