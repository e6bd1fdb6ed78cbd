"""Small TensorFlow graphs, built here. Everything skips by name where TensorFlow is not installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfield.inference.tensorflow_runtime import INSTALL_HINT, is_installed, prepare

MISSING = f"tensorflow is not installed: {INSTALL_HINT}"
needs_tensorflow = pytest.mark.skipif(not is_installed(), reason=MISSING)


def tensorflow() -> Any:
    if not is_installed():
        pytest.skip(MISSING)
    return prepare()


def frozen(build: Callable[[Any], object]) -> bytes:
    """The `GraphDef` of what `build` adds to a graph; it is given TensorFlow's v1 interface."""
    tf = tensorflow()
    graph = tf.Graph()
    with graph.as_default():
        build(tf.compat.v1)
    return bytes(graph.as_graph_def().SerializeToString(deterministic=True))


def scaler() -> bytes:
    """Input `x` f32 (any, 4); output `y` = x * (1, 2, 3, 4), f32; output `z`: its two halves."""

    def build(v1: Any) -> None:
        x = v1.placeholder(v1.float32, [None, 4], "x")
        y = v1.multiply(x, v1.constant([1.0, 2.0, 3.0, 4.0]), "y")
        v1.split(y, 2, 1, name="z")

    return frozen(build)


def passer(dtype: str) -> bytes:
    """Input `x` and output `y`, which is the same, of any shape."""
    return frozen(lambda v1: v1.identity(v1.placeholder(dtype, None, "x"), "y"))


def counter() -> bytes:
    """A variable: `start` sets it to 0, `count` adds 1 and gives it."""

    def build(v1: Any) -> None:
        value = v1.raw_ops.VarHandleOp(dtype=v1.float32, shape=[], shared_name="v", name="v")
        zero = v1.raw_ops.AssignVariableOp(resource=value, value=v1.constant(0.0))
        with v1.control_dependencies([zero]):
            v1.raw_ops.ReadVariableOp(resource=value, dtype=v1.float32, name="start")
        one = v1.raw_ops.AssignAddVariableOp(resource=value, value=v1.constant(1.0))
        with v1.control_dependencies([one]):
            v1.raw_ops.ReadVariableOp(resource=value, dtype=v1.float32, name="count")

    return frozen(build)


def endless() -> bytes:
    """Output `out:0` of a loop that never ends."""

    def build(v1: Any) -> None:
        v1.disable_control_flow_v2()
        v1.identity(v1.while_loop(lambda i: i >= 0, lambda i: v1.maximum(i * 0, 0), [v1.constant(0)]), "out")

    return frozen(build)


def saved_model(directory: Path, scale: float = 2.0) -> Path:
    """A SavedModel, tag `serve`: `serving_default_x:0` f32 (1, 4), `StatefulPartitionedCall:0` = x * a variable."""
    tf = tensorflow()
    module = tf.Module()
    module.scale = tf.Variable(np.float32(scale))
    compute = tf.function(
        lambda x: {"out": x * module.scale}, input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")]
    )
    tf.saved_model.save(module, str(directory), signatures=compute)
    return directory
