"""ONNX networks with a free first dimension, with fixed pseudo-random weights: well-behaved ones, and others."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: Numbers in and out of each network, of one frame.
WIDTH = 32
CLASSES = 10


def dense(width: int = WIDTH, hidden: int = 64) -> bytes:
    """`x` (n, width) f32 to `y` (n, 10) f32: two layers."""
    weights = {"w0": _random(width, hidden), "b0": _random(hidden), "w1": _random(hidden, CLASSES)}
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w1"], ["y"]),
    ]
    return _model(nodes, weights, ("n", width), ("n", CLASSES))


def convolution() -> bytes:
    """`x` (n, 32) f32 to `y` (n, 10) f32, by way of two convolutions of 8 channels."""
    weights = {
        "shape": np.array([-1, 1, 4, 8], np.int64),
        "k0": _random(8, 1, 3, 3),
        "k1": _random(8, 8, 3, 3),
        "w": _random(8, CLASSES),
    }
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["picture"]),
        helper.make_node("Conv", ["picture", "k0"], ["c0"], pads=[1] * 4),
        helper.make_node("Relu", ["c0"], ["r0"]),
        helper.make_node("Conv", ["r0", "k1"], ["c1"], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c1"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w"], ["y"]),
    ]
    return _model(nodes, weights, ("n", WIDTH), ("n", CLASSES))


def mixer() -> bytes:
    """`y` = `x` minus the average over all frames of the batch: what must not be batched."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["x", "mean"], ["y"]),
    ]
    return _model(nodes, {}, ("n", WIDTH), ("n", WIDTH))


def single_minded() -> bytes:
    """`y` = `x`, by way of a shape for one frame only, as exporters leave it behind."""
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    return _model(nodes, {"shape": np.array([1, WIDTH], np.int64)}, ("n", WIDTH), ("n", WIDTH))


def picky() -> bytes:
    """`y` (n, 4) = row `x` (n, 1) of a table of 3, which fails for any other number."""
    nodes = [helper.make_node("Gather", ["table", "x"], ["rows"]), helper.make_node("Squeeze", ["rows", "axes"], ["y"])]
    weights = {"table": _random(3, 4), "axes": np.array([1], np.int64)}
    return _model(nodes, weights, ("n", 1), ("n", 4), TensorProto.INT64)


def frames_for(width: int, count: int) -> list[bytes]:
    """Different pseudo-random inputs, f32."""
    values = np.random.default_rng(5).normal(size=(count, width)).astype(np.float32)
    return [row.tobytes() for row in values]


def _random(*shape: int) -> np.ndarray[Any, Any]:
    fan_in = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
    return np.random.default_rng(sum(shape)).normal(0, (2 / max(fan_in, 1)) ** 0.5, shape).astype(np.float32)


def _model(
    nodes: list[Any],
    weights: dict[str, np.ndarray[Any, Any]],
    taken: tuple[str | int, ...],
    given: tuple[str | int, ...],
    element: int = TensorProto.FLOAT,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, taken)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
