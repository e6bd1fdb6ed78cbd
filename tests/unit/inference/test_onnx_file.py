"""ONNX files are read without a runtime."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from nearfield.inference.onnx_file import external_tensor, looks_like_onnx

# ir_version 8, producer_name "t", graph of 2 bytes, opset_import of 2 bytes.
ONNX = bytes.fromhex("0808 120174 3a020a00 42021011")


def outside(name: str = "w") -> TensorProto:
    """A tensor whose values are in another file."""
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def inside(name: str = "w") -> TensorProto:
    return helper.make_tensor(name, TensorProto.FLOAT, [1], [1.0])


def model_with(tensor: TensorProto, place: str) -> bytes:
    """A model that has the tensor in one of the places where tensors may be."""
    node, graph = onnx.NodeProto(op_type="Constant", output=["y"]), onnx.GraphProto(name="g")
    model = onnx.ModelProto(ir_version=10)
    if place == "initializer":
        graph.initializer.append(tensor)
    elif place == "sparse initializer":
        graph.sparse_initializer.add(values=tensor)
    elif place == "sparse indices":
        graph.sparse_initializer.add(indices=tensor)
    elif place == "constant":
        node.attribute.add(name="value", t=tensor)
    elif place == "list of tensors":
        node.attribute.add(name="value").tensors.append(tensor)
    elif place == "sparse constant":
        node.attribute.add(name="value").sparse_tensor.values.CopyFrom(tensor)
    elif place == "branch":
        node.attribute.add(name="then_branch").g.initializer.append(tensor)
    elif place == "list of graphs":
        node.attribute.add(name="bodies").graphs.add().initializer.append(tensor)
    elif place == "function":
        model.functions.add(name="f").node.add(op_type="Constant").attribute.add(name="value", t=tensor)
    elif place == "default of a function":
        model.functions.add(name="f").attribute_proto.add(name="a", t=tensor)
    else:
        assert place == "training"
        model.training_info.add().initialization.initializer.append(tensor)
    graph.node.append(node)
    model.graph.CopyFrom(graph)
    content: bytes = model.SerializeToString()
    return content


PLACES = [
    "initializer",
    "sparse initializer",
    "sparse indices",
    "constant",
    "list of tensors",
    "sparse constant",
    "branch",
    "list of graphs",
    "function",
    "default of a function",
    "training",
]


@pytest.mark.parametrize("place", PLACES)
def test_values_in_another_file_are_found_wherever_the_tensor_is(place: str) -> None:
    assert external_tensor(model_with(outside(), place)) == "w"
    assert external_tensor(model_with(inside(), place)) is None


def test_a_location_without_the_flag_counts_as_well() -> None:
    tensor = outside()
    tensor.ClearField("data_location")
    assert external_tensor(model_with(tensor, "initializer")) == "w"


def test_the_flag_alone_counts_as_well() -> None:
    tensor = outside()
    tensor.ClearField("external_data")
    assert external_tensor(model_with(tensor, "initializer")) == "w"


def test_bits_that_protobuf_ignores_do_not_hide_a_field() -> None:
    # Key of field 7, wire type 2, in five bytes with bit 32 set.
    graph = model_with(outside(), "initializer")
    assert graph[2] == 0x3A
    assert external_tensor(graph[:2] + bytes([0xBA, 0x80, 0x80, 0x80, 0x10]) + graph[3:]) == "w"


@pytest.mark.parametrize("data", [ONNX[:-1], b"\x3a\xff", b"\x3a" + b"\xff" * 20, b"\x08", b"\x0b"])
def test_what_is_no_protobuf_is_an_error_not_a_model_without_files(data: bytes) -> None:
    with pytest.raises(ValueError, match="got"):
        external_tensor(data)


def test_graphs_inside_graphs_without_end_are_refused() -> None:
    # Field 6 of an attribute is a graph, field 1 of a graph a node, field 5 of a node an attribute.
    message = b""
    for depth in range(120):
        tag = (b"\x32", b"\x2a", b"\x0a")[depth % 3]
        message = tag + _varint(len(message)) + message
    with pytest.raises(ValueError, match="nested deeper"):
        external_tensor(b"\x3a" + _varint(len(message)) + message)


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


@pytest.mark.parametrize("data", [b"", ONNX[:-1], ONNX[2:], b"\x08\x08", b"\x3a\xff", b"\x3a" + b"\xff" * 20, b"\x08"])
def test_fragments_of_onnx_are_not_onnx(data: bytes) -> None:
    assert not looks_like_onnx(data)


def test_whole_onnx_is_onnx() -> None:
    assert looks_like_onnx(ONNX)
    assert looks_like_onnx(model_with(inside(), "function"))
