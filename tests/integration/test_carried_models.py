"""Guests that carry a model of each format inside themselves, in contained workers."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from struct import pack

import numpy as np
import pytest

from nearfield import Source
from tests.processes import Commands
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.hostcalls.formats import onnx_passer, openvino_scaler
from tests.unit.sandbox.kit import own_guest, write

TFLITE, ONNX, OPENVINO = 4, 1, 0
NUMBERS = np.array([1, -2, 0.5, 4], np.float32)

IMPORTS = """
  (import "wasi_ephemeral_nn" "load" (func $load (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "init_execution_context" (func $init (param i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "set_input" (func $set (param i32 i32 i32) (result i32)))
  (import "wasi_ephemeral_nn" "compute" (func $compute (param i32) (result i32)))
  (import "wasi_ephemeral_nn" "get_output" (func $get (param i32 i32 i32 i32 i32) (result i32)))"""


def guest(parts: list[bytes], encoding: int, inputs: int) -> str:
    """Loads its model for every frame, gives it the payload as every input, and emits its output."""
    builders, data, at = b"", "", 4096
    for part in parts:
        builders += pack("<II", at, len(part))
        data += f'(data (i32.const {at}) "{escaped(part)}")'
        at += -(-len(part) // 16) * 16
    tensor = pack("<QIIIII", 4 << 32 | 1, 64, 2, 1, 512, 16)
    sets = "".join(f"(drop (call $set (local.get $c) (i32.const {index}) (i32.const 72)))" for index in range(inputs))
    return own_guest(
        f"""(local $c i32) (local $errno i32)
        (drop (call $frame_read (i32.const 512) (i32.const 16)))
        (local.set $errno
          (call $load (i32.const 32) (i32.const {len(parts)}) (i32.const {encoding}) (i32.const 0) (i32.const 0)))
        (if (local.get $errno) (then (return (local.get $errno))))
        (drop (call $init (i32.load (i32.const 0)) (i32.const 4)))
        (local.set $c (i32.load (i32.const 4)))
        {sets}
        (local.set $errno (call $compute (local.get $c)))
        (if (local.get $errno) (then (return (local.get $errno))))
        (drop (call $get (local.get $c) (i32.const 0) (i32.const 640) (i32.const 16) (i32.const 8)))
        (call $emit (i32.const 0x11) (i32.const 640) (i32.load (i32.const 8)))""",
        more=f'(data (i32.const 32) "{escaped(builders)}") (data (i32.const 64) "{escaped(tensor)}") {data}',
        imports=IMPORTS,
    )


def escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


def tflite(directory: Path) -> tuple[str, np.ndarray]:
    return guest([TinyModels().adder()], TFLITE, 2), 2 * NUMBERS


def onnx(directory: Path) -> tuple[str, np.ndarray]:
    return guest([onnx_passer()], ONNX, 1), NUMBERS


def openvino(directory: Path) -> tuple[str, np.ndarray]:
    return guest(list(openvino_scaler(directory)), OPENVINO, 1), NUMBERS * np.arange(1, 5, dtype=np.float32)


@pytest.mark.parametrize("build", [tflite, onnx, openvino])
def test_a_model_inside_a_guest_computes_in_a_contained_worker(
    commands: Commands, tmp_path: Path, build: Callable[[Path], tuple[str, np.ndarray]]
) -> None:
    text, expected = build(tmp_path)
    delivery = {"mode": "complete", "retries": 0}
    path = write(tmp_path, text)
    node = commands.node([{"name": "f", "observe": ["0x10"], "emit": ["0x11"], "run": str(path), "delivery": delivery}])
    node.until_instances("f", 1)
    watch = node.watch("--tag", "0x11")
    with Source("numbers", node.address, tag=0x10, mode="complete") as source:
        for _ in range(3):
            source.send(NUMBERS.tobytes())
        assert source.flush(timeout_s=30.0)
    assert node.until_settled("f", 3)["failed"] == {}
    watch.until(lambda: len(watch.frames) == 3, "three results")
    assert [base64.b64decode(line["base64"]) for line in watch.frames] == [expected.astype(np.float32).tobytes()] * 3
