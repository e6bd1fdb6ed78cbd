"""Hostile graphs: refused before TensorFlow builds anything of them."""

from __future__ import annotations

from typing import Any

import pytest

from nearfield.errors import ModelInvalid
from nearfield.inference import tensorflow_vetting
from nearfield.inference.tensorflow_runtime import TensorFlowGraph, TensorName
from nearfield.inference.tensorflow_vetting import Anatomy
from tests.unit.inference.tensorflow_models import frozen, needs_tensorflow, scaler, tensorflow

pytestmark = needs_tensorflow


def refused(content: bytes) -> str:
    with pytest.raises(ModelInvalid) as caught:
        TensorFlowGraph.from_graph_def(content, "m")
    return str(caught.value)


def read_file(v1: Any) -> None:
    v1.identity(v1.raw_ops.ReadFile(filename="/etc/passwd"), "y")


def write_file(v1: Any) -> None:
    v1.raw_ops.WriteFile(filename="/tmp/x", contents="x", name="y")


def matching_files(v1: Any) -> None:
    v1.raw_ops.MatchingFiles(pattern="/*", name="y")


def run_python(v1: Any) -> None:
    v1.py_func(lambda: 1.0, [], v1.float32, name="y")


def save(v1: Any) -> None:
    v1.raw_ops.SaveV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[v1.constant(1.0)])


def restore(v1: Any) -> None:
    v1.raw_ops.RestoreV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[v1.float32], name="y")


def map_a_file(v1: Any) -> None:
    v1.raw_ops.ImmutableConst(dtype=v1.float32, shape=[4], memory_region_name="/etc/passwd", name="y")


def end_the_process(v1: Any) -> None:
    v1.raw_ops.Abort(error_msg="x")


def write_to_a_file_by_printing(v1: Any) -> None:
    v1.raw_ops.PrintV2(input="x", output_stream="file:///tmp/x")


def read_records(v1: Any) -> None:
    v1.raw_ops.TextLineDataset(filenames="/etc/passwd", compression_type="", buffer_size=0)


def wait_for_ever(v1: Any) -> None:
    v1.FIFOQueue(1, [v1.float32]).dequeue("y")


@pytest.mark.parametrize(
    ("build", "operation"),
    [
        (read_file, "ReadFile"),
        (write_file, "WriteFile"),
        (matching_files, "MatchingFiles"),
        (run_python, "PyFunc"),
        (save, "SaveV2"),
        (restore, "RestoreV2"),
        (map_a_file, "ImmutableConst"),
        (end_the_process, "Abort"),
        (write_to_a_file_by_printing, "PrintV2"),
        (read_records, "TextLineDataset"),
        (wait_for_ever, "FIFOQueueV2"),
    ],
)
def test_a_door_out_of_the_graph_is_refused_and_named(build: Any, operation: str) -> None:
    message = refused(frozen(build))
    assert message.startswith("model `m`: operations: got ")
    assert f"`{operation}`" in message


def test_a_door_inside_a_function_is_refused() -> None:
    tf = tensorflow()
    inside = tf.function(lambda name: tf.io.read_file(name)).get_concrete_function(tf.TensorSpec([], tf.string))
    assert "`ReadFile`" in refused(frozen(lambda v1: inside(v1.constant("/etc/passwd"))))


def test_an_operation_that_does_not_exist_is_refused_by_name() -> None:
    v1 = tensorflow().compat.v1
    graph_def = v1.GraphDef()
    graph_def.node.add(name="y", op="X" * 1000)
    message = refused(graph_def.SerializeToString())
    assert f"`{'X' * 64}`" in message
    assert len(message) < 400


def test_many_refused_operations_are_counted() -> None:
    graph_def = tensorflow().compat.v1.GraphDef()
    for number in range(20):
        graph_def.node.add(name=f"n{number}", op=f"Custom{number:02}")
    assert "`Custom07` and 12 more, expected" in refused(graph_def.SerializeToString())


def test_a_constant_that_would_fill_the_memory_is_refused() -> None:
    v1 = tensorflow().compat.v1
    graph_def = v1.GraphDef.FromString(frozen(lambda v1: v1.constant(1.0, shape=[1], name="y")))
    graph_def.node[0].attr["value"].tensor.tensor_shape.dim[0].size = 2**40
    assert f"constants: got {2**42} bytes declared, expected at most" in refused(graph_def.SerializeToString())


def test_too_many_nodes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorflow_vetting, "MOST_NODES", 3)
    assert refused(scaler()).startswith("model `m`: graph: got ")


def test_functions_that_call_each_other_in_a_circle_have_their_operations() -> None:
    graph_def = tensorflow().compat.v1.GraphDef()
    for name, other in (("f", "g"), ("g", "f")):
        function = graph_def.library.function.add()
        function.signature.name = name
        function.node_def.add(name="call", op="PartitionedCall").attr["f"].func.name = other
        function.node_def.add(name="own", op="Abs" if name == "f" else "Neg")
    graph_def.node.add(name="y", op="f")
    graph_def.node.add(name="z", op="Identity", input=["y:0", "^y"])
    anatomy = Anatomy(graph_def)
    assert anatomy.operations_behind(["z"]) == {"Identity", "PartitionedCall", "Abs", "Neg"}
    assert anatomy.refused(frozenset({"Identity", "PartitionedCall", "Abs"})) == ["Neg"]


def test_nodes_in_a_circle_have_their_operations() -> None:
    graph_def = tensorflow().compat.v1.GraphDef()
    graph_def.node.add(name="a", op="Abs", input=["b"])
    graph_def.node.add(name="b", op="Neg", input=["a"])
    assert Anatomy(graph_def).operations_behind(["a", "nobody"]) == {"Abs", "Neg"}


def test_settings_of_functions_are_taken_out() -> None:
    tf = tensorflow()
    inside = tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec([], tf.float32))
    v1 = tf.compat.v1
    graph_def = v1.GraphDef.FromString(frozen(lambda v1: inside(v1.placeholder(v1.float32, [], "x"))))
    (call,) = [node for node in graph_def.node if "config_proto" in node.attr]
    call.attr["config_proto"].s = v1.ConfigProto(intra_op_parallelism_threads=64).SerializeToString()
    tensorflow_vetting.vet(graph_def, "m", lambda _: 4)
    assert call.attr["config_proto"].s == b""


def test_a_call_may_be_asked_for_by_name() -> None:
    tf = tensorflow()
    inside = tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec([], tf.float32))

    def build(v1: Any) -> None:
        v1.identity(inside(v1.placeholder(v1.float32, [], "x")), "y")

    assert TensorFlowGraph.from_graph_def(frozen(build), "m").may_compute(TensorName("y"))
