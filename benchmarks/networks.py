"""Small networks with fixed pseudo-random weights, as ONNX and as OpenVINO's IR. Their answers mean nothing.

Both take `pixels` (n, 96, 96, 3) u8, RGB, and give `scores` (n, 10) f32, probabilities; the first dimension is free.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SIDE = 96
CLASSES = 10
_CHANNELS = (16, 32, 32, 64, 64, 64, 128, 128, 128, 128)
_STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1)
_POOLED, _DENSE, _DENSE_LAYERS = 8, 2048, 3
# Version 17 of the operators: what both runtimes have had since 2022.
_OPSET = 17


def write_convolutions(path: Path) -> Path:
    """Ten 3x3 convolutions as in a small classifier: 163 million multiply-adds for a picture."""
    network = _Network()
    features, before = network.planes, 3
    for channels, stride in zip(_CHANNELS, _STRIDES, strict=True):
        kernels = network.random(channels, before, 3, 3)
        features = network.node("Conv", features, kernels, strides=[stride] * 2, pads=[1] * 4)
        features, before = network.node("Relu", features), channels
    network.write(path, network.node("Flatten", network.node("GlobalAveragePool", features)), before)
    return path


def write_dense(path: Path) -> Path:
    """Dense layers with 35 MB of weights, which are read once for each computation, be it of one picture or of many."""
    network = _Network()
    side = SIDE // _POOLED
    pooled = network.node("AveragePool", network.planes, kernel_shape=[_POOLED] * 2, strides=[_POOLED] * 2)
    features, before = network.node("Flatten", pooled), 3 * side * side
    for _ in range(_DENSE_LAYERS):
        features = network.node("Relu", network.node("Gemm", features, network.random(before, _DENSE)))
        before = _DENSE
    network.write(path, features, before)
    return path


def write_openvino(path: Path, onnx: Path) -> Path:
    """Write the same network as `path` (.xml) and its weights beside it (.bin), in full precision."""
    import openvino

    openvino.save_model(openvino.Core().read_model(str(onnx)), str(path), compress_to_fp16=False)
    return path


class _Network:
    """Nodes and constants of a graph that is being built.

    Attributes:
        planes: the picture as floats from 0 to 1, shape (n, 3, 96, 96).
    """

    def __init__(self) -> None:
        from onnx import TensorProto

        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._random = np.random.default_rng(7)
        pixels = self.node("Cast", "pixels", to=TensorProto.FLOAT)
        self.planes = self.node("Transpose", self.node("Mul", pixels, self.constant(1 / 255)), perm=[0, 3, 1, 2])

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        from onnx import helper

        name = f"{kind.lower()}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any) -> str:
        """Add a constant; returns its name."""
        from onnx import numpy_helper

        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def random(self, *shape: int) -> str:
        """Weights that keep the size of what passes through, as training does."""
        fan_in = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        return self.constant(self._random.normal(0.0, np.sqrt(2.0 / fan_in), shape))

    def write(self, path: Path, features: str, width: int) -> None:
        """End in `scores`, computed from `features` of shape (n, width), and write the file."""
        from onnx import TensorProto, checker, helper, save_model

        logits = self.node("Gemm", features, self.random(width, CLASSES))
        nodes = [*self._nodes, helper.make_node("Softmax", [logits], ["scores"], axis=1)]
        graph = helper.make_graph(
            nodes,
            path.stem,
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)
        checker.check_model(model, full_check=True)
        save_model(model, str(path))
