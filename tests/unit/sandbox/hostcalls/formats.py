"""Small models in formats other than TFLite, built here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def onnx_passer(element: str = "FLOAT", shape: tuple[int | str, ...] = (1, 4)) -> bytes:
    """ONNX: one input `x`, and the same as output `y`.

    Args:
        element: of `onnx.TensorProto`.
    """
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'nearfield[test]'")
    kind = getattr(onnx.TensorProto, element)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [value("x", kind, shape)], [value("y", kind, shape)]
    )
    return _serialized(onnx, graph)


def onnx_adder() -> bytes:
    """ONNX: inputs `in0` and `in1`, output `out0` = their sum, f32 (1, 4)."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install 'nearfield[test]'")
    value = onnx.helper.make_tensor_value_info
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", ["in0", "in1"], ["out0"])],
        "g",
        [value("in0", kind, (1, 4)), value("in1", kind, (1, 4))],
        [value("out0", kind, (1, 4))],
    )
    return _serialized(onnx, graph)


def openvino_scaler(directory: Path) -> tuple[bytes, bytes]:
    """OpenVINO: XML and weights of `y` = `x` * (1, 2, 3, 4), f32 (1, 4)."""
    openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install 'nearfield[openvino]'")
    import numpy as np
    from openvino import opset13 as opset

    x = opset.parameter([1, 4], np.float32, name="x")
    y = opset.multiply(x, opset.constant(np.array([[1, 2, 3, 4]], np.float32)), name="y")
    openvino.save_model(openvino.Model([y], [x], "scaler"), directory / "m.xml", compress_to_fp16=False)
    return (directory / "m.xml").read_bytes(), (directory / "m.bin").read_bytes()


def _serialized(onnx: Any, graph: Any) -> bytes:
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())
