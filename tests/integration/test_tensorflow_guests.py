"""Guests that use full TensorFlow, in contained workers: frozen graphs of both generations, and a SavedModel."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfield import Source
from tests.processes import GUESTS, Commands, Node, poll
from tests.unit.inference.tensorflow_models import needs_tensorflow, saved_model
from tests.unit.sandbox.kit import own_guest, write

FROZEN = [GUESTS / name / f"{name}.wasm" for name in ("bindgen-tensorflow-a", "bindgen-tensorflow-b")]
NUMBERS = np.array([1, -2, 0.5, 4], np.float32)

# A worker imports TensorFlow before it joins: 5 s, a multiple of that on a busy machine.
IMPORT_S = 110.0

SAVED = own_guest(
    """(drop (call $frame_read (i32.const 512) (i32.const 16)))
       (if (result i32) (i32.or
           (call $open (i32.const 0) (i32.const 7) (i32.const 48) (i32.const 1) (i32.const 256))
           (i32.or
             (call $input (i32.load (i32.const 256)) (i32.const 64) (i32.const 17) (i32.const 32) (i32.const 2)
               (i32.const 1) (i32.const 512) (i32.const 16))
             (i32.or
               (call $output (i32.load (i32.const 256)) (i32.const 96) (i32.const 23))
               (i32.or
                 (call $run (i32.load (i32.const 256)))
                 (call $data (i32.load (i32.const 256)) (i32.const 0)
                   (i32.const 640) (i32.const 16) (i32.const 260))))))
         (then (i32.const 1))
         (else (call $emit (i32.const 0x11) (i32.const 640) (i32.load (i32.const 260)))))""",
    more=r"""(data (i32.const 0) "/data/m") (data (i32.const 16) "serve")
      (data (i32.const 32) "\01\00\00\00\00\00\00\00\04\00\00\00\00\00\00\00")
      (data (i32.const 48) "\10\00\00\00\05\00\00\00")
      (data (i32.const 64) "serving_default_x") (data (i32.const 96) "StatefulPartitionedCall")""",
    imports="""(import "wasmedge_tensorflow" "create_session_saved_model"
        (func $open (param i32 i32 i32 i32 i32) (result i32)))
      (import "wasmedge_tensorflow" "append_input"
        (func $input (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
      (import "wasmedge_tensorflow" "append_output" (func $output (param i32 i32 i32) (result i32)))
      (import "wasmedge_tensorflow" "run_session" (func $run (param i32) (result i32)))
      (import "wasmedge_tensorflow" "get_tensor_data" (func $data (param i32 i32 i32 i32 i32) (result i32)))""",
)


def function(run: Path, **sandbox: Any) -> dict[str, Any]:
    return {
        "name": "f",
        "observe": ["0x10"],
        "emit": ["0x11"],
        "run": str(run),
        "delivery": {"mode": "complete", "retries": 0},
        "sandbox": {"deadline": "20s", **sandbox},
    }


def answers(node: Node, payloads: list[bytes]) -> list[bytes]:
    watch = node.watch("--tag", "0x11")
    with Source("numbers", node.address, tag=0x10, mode="complete") as source:
        for payload in payloads:
            source.send(payload)
        assert source.flush(timeout_s=60.0)
    watch.until(lambda: len(watch.frames) == len(payloads), "all results")
    return [payload_of(line) for line in watch.frames]


def payload_of(line: dict[str, Any]) -> bytes:
    return base64.b64decode(line["base64"]) if "base64" in line else str(line["text"]).encode()


def until_joined(node: Node) -> None:
    poll(lambda: node.group("f")["instances"] == 1, node.serve.describe, timeout_s=IMPORT_S)


@needs_tensorflow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("guest", FROZEN, ids=lambda guest: guest.stem)
def test_a_frozen_graph_computes_in_a_contained_worker(commands: Commands, guest: Path) -> None:
    node = commands.node([function(guest)])
    until_joined(node)
    scaled = NUMBERS * np.arange(1, 5, dtype=np.float32)
    expected = np.concatenate([scaled, scaled[2:]])
    found = answers(node, [(NUMBERS * factor).tobytes() for factor in (1, 2, 4)])
    assert found == [(expected * factor).tobytes() for factor in (1, 2, 4)]
    node.serve.says("containment: ")
    assert "cudart" not in node.serve.stderr


@needs_tensorflow
@pytest.mark.timeout(240)
def test_a_saved_model_in_a_granted_directory_computes_in_a_contained_worker(
    commands: Commands, tmp_path: Path
) -> None:
    saved_model(tmp_path / "models/m")
    grants = {"directories": [{"host": str(tmp_path / "models"), "guest": "/data"}]}
    node = commands.node([function(write(tmp_path, SAVED), grants=grants)])
    until_joined(node)
    assert answers(node, [NUMBERS.tobytes()] * 3) == [(2 * NUMBERS).tobytes()] * 3
