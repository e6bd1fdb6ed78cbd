"""The same small networks in the format of each backend, built here."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import openvino
from ai_edge_litert import schema_py_generated as schema
from onnx import helper, numpy_helper
from openvino import opset13 as opset

from nearfield.inference import BACKENDS, Backend, Encoding, Graph, ModelContent

Shape = tuple[int, ...]
Parts = tuple[bytes, ...]

# y = relu(x @ WEIGHTS + BIAS). Halves and quarters, so that sums in any order are exact in f32.
WEIGHTS = np.array([[0.5, -1, 2], [1.5, 0.25, -0.5], [-2, 3, 1], [0.75, -0.5, 4]], np.float32)
BIAS = np.array([0.5, -3.0, 1.0], np.float32)

FREE = -1


def dense(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """What the dense network gives, worked out by numpy."""
    return np.maximum(x @ WEIGHTS + BIAS, 0)


@dataclass(frozen=True)
class Format:
    """A backend, and how networks are written for it.

    Attributes:
        dense: the network above, `x` (n, 4) f32 to `y` (n, 3); the argument is n, `FREE` for a free one.
        adder: `in0` + `in1` = `out0`, f32 (1, 4).
        passer: `x` of any element type and shape, unchanged, to `y`.
        unknown_operator: a network of an operator that no runtime has.
        dtypes: element types that the format and its runtime have and numpy knows.
        text: a network whose input is text; None where the runtime cannot even say so.
    """

    encoding: Encoding
    dense: Callable[[int], Parts]
    adder: Callable[[], Parts]
    passer: Callable[[type[np.generic], Shape], Parts]
    unknown_operator: Callable[[], Parts]
    dtypes: tuple[type[np.generic], ...]
    text: Callable[[], Parts] | None

    @property
    def backend(self) -> Backend:
        return BACKENDS[self.encoding]

    def load(self, parts: Parts, *, label: str = "net", **settings: Any) -> Graph:
        return self.backend.load(ModelContent(parts), label=label, **settings)

    def __str__(self) -> str:
        return self.backend.name


# ---- TFLite

_TFLITE_TYPES = {
    np.bool_: schema.TensorType.BOOL,
    np.uint8: schema.TensorType.UINT8,
    np.int8: schema.TensorType.INT8,
    np.uint16: schema.TensorType.UINT16,
    np.int16: schema.TensorType.INT16,
    np.uint32: schema.TensorType.UINT32,
    np.int32: schema.TensorType.INT32,
    np.uint64: schema.TensorType.UINT64,
    np.int64: schema.TensorType.INT64,
    np.float16: schema.TensorType.FLOAT16,
    np.float32: schema.TensorType.FLOAT32,
    np.float64: schema.TensorType.FLOAT64,
}


def _tflite(
    code: int,
    tensors: Sequence[tuple[str, int, Shape]],
    options: tuple[Any, int] | None,
    constants: Sequence[np.ndarray[Any, Any]] = (),
    custom: bytes | None = None,
) -> Parts:
    """A network of one operator. Tensors: inputs, then the output; constants follow the inputs."""
    model, graph, step, kind = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
    inputs = len(tensors) - 1
    model.buffers = [schema.BufferT(), *(_buffer(constant) for constant in constants)]
    graph.tensors = [_tflite_tensor(*each) for each in tensors[:-1]]
    for index, constant in enumerate(constants):
        graph.tensors.append(
            _tflite_tensor(f"c{index}", _TFLITE_TYPES[constant.dtype.type], constant.shape, buffer=index + 1)
        )
    graph.tensors.append(_tflite_tensor(*tensors[-1]))
    graph.inputs, graph.outputs = list(range(inputs)), [len(graph.tensors) - 1]
    step.opcodeIndex, step.inputs, step.outputs = 0, list(range(inputs + len(constants))), graph.outputs
    if options is not None:
        step.builtinOptions, step.builtinOptionsType = options
    kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = code, min(code, 127), 1
    kind.customCode = custom
    graph.operators, model.operatorCodes, model.subgraphs, model.version = [step], [kind], [graph], 3
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return (bytes(builder.Output()),)


def _buffer(constant: np.ndarray[Any, Any]) -> Any:
    buffer = schema.BufferT()
    buffer.data = list(constant.tobytes())
    return buffer


def _tflite_tensor(name: str, element: int, shape: Shape, buffer: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.buffer = name, element, buffer
    tensor.shape = [1 if size == FREE else size for size in shape]
    if FREE in shape:
        tensor.shapeSignature = list(shape)
    return tensor


def _tflite_dense(batch: int) -> Parts:
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    f32 = schema.TensorType.FLOAT32
    return _tflite(
        schema.BuiltinOperator.FULLY_CONNECTED,
        [("x", f32, (batch, 4)), ("y", f32, (batch, 3))],
        (options, schema.BuiltinOptions.FullyConnectedOptions),
        [np.ascontiguousarray(WEIGHTS.T), BIAS],
    )


def _tflite_adder() -> Parts:
    tensors = [(name, schema.TensorType.FLOAT32, (1, 4)) for name in ("in0", "in1", "out0")]
    return _tflite(schema.BuiltinOperator.ADD, tensors, (schema.AddOptionsT(), schema.BuiltinOptions.AddOptions))


def _tflite_passer(element: type[np.generic], shape: Shape) -> Parts:
    kind = _TFLITE_TYPES[element]
    target = np.array(shape, np.int32)
    return _tflite(schema.BuiltinOperator.RESHAPE, [("x", kind, shape), ("y", kind, shape)], None, [target])


def _tflite_unknown() -> Parts:
    tensors = [(name, schema.TensorType.FLOAT32, (1, 4)) for name in ("x", "y")]
    return _tflite(schema.BuiltinOperator.CUSTOM, tensors, None, custom=b"Conjure")


def _tflite_text() -> Parts:
    return _tflite(
        schema.BuiltinOperator.RESHAPE,
        [("x", schema.TensorType.STRING, (1,)), ("y", schema.TensorType.STRING, (1,))],
        None,
        [np.array([1], np.int32)],
    )


# ---- ONNX


def _onnx(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[int | str]]],
    outputs: Sequence[tuple[str, int, Sequence[int | str]]],
    constants: Sequence[onnx.TensorProto] = (),
) -> Parts:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(*each) for each in inputs],
        [helper.make_tensor_value_info(*each) for each in outputs],
        constants,
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("elsewhere", 1)]
    return (helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString(),)


def _onnx_dense(batch: int) -> Parts:
    rows: int | str = "batch" if batch == FREE else batch
    f32 = onnx.TensorProto.FLOAT
    return _onnx(
        [helper.make_node("Gemm", ["x", "w", "b"], ["s"]), helper.make_node("Relu", ["s"], ["y"])],
        [("x", f32, [rows, 4])],
        [("y", f32, [rows, 3])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")],
    )


def _onnx_adder() -> Parts:
    in0, in1, out0 = ((name, onnx.TensorProto.FLOAT, [1, 4]) for name in ("in0", "in1", "out0"))
    return _onnx([helper.make_node("Add", ["in0", "in1"], ["out0"])], [in0, in1], [out0])


def _onnx_passer(element: type[np.generic], shape: Shape) -> Parts:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(element))
    return _onnx([helper.make_node("Identity", ["x"], ["y"])], [("x", kind, shape)], [("y", kind, shape)])


def _onnx_unknown() -> Parts:
    f32 = onnx.TensorProto.FLOAT
    node = helper.make_node("Conjure", ["x"], ["y"], domain="elsewhere")
    return _onnx([node], [("x", f32, [1, 4])], [("y", f32, [1, 4])])


def _onnx_text() -> Parts:
    text = onnx.TensorProto.STRING
    return _onnx([helper.make_node("Identity", ["x"], ["y"])], [("x", text, [1])], [("y", text, [1])])


def onnx_with_external_data() -> Parts:
    """The dense network, with its weights in a file that is named and does not matter."""
    model = onnx.load_from_string(_onnx_dense(1)[0])
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../weights.bin")
    return (model.SerializeToString(),)


def onnx_passer_of(shape: Sequence[int | str | None], element: int = onnx.TensorProto.FLOAT) -> Parts:
    """A passer with free dimensions, named or not, or of an element type that numpy does not know."""
    kind = ("x", element, shape), ("y", element, shape)
    return _onnx([helper.make_node("Identity", ["x"], ["y"])], [kind[0]], [kind[1]])


def onnx_endless() -> Parts:
    """A loop that ends after some billion years."""
    value, f32 = helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), helper.make_node("Add", ["s", "s"], ["s2"])],
        "body",
        [
            value("i", onnx.TensorProto.INT64, []),
            value("go", onnx.TensorProto.BOOL, []),
            value("s", f32, [1, 4]),
        ],
        [value("go_on", onnx.TensorProto.BOOL, []), value("s2", f32, [1, 4])],
    )
    constants = [
        numpy_helper.from_array(np.array(2**62, np.int64), "times"),
        numpy_helper.from_array(np.array(True), "yes"),
    ]
    loop = helper.make_node("Loop", ["times", "yes", "x"], ["y"], body=body)
    return _onnx([loop], [("x", f32, [1, 4])], [("y", f32, [1, 4])], constants)


def onnx_finder() -> Parts:
    """Places of what is not 0 in `x` (1, 4): as many as there are, so `y` has a free first dimension of its own."""
    return _onnx(
        [helper.make_node("NonZero", ["x"], ["places"]), helper.make_node("Transpose", ["places"], ["y"])],
        [("x", onnx.TensorProto.FLOAT, ["batch", 4])],
        [("y", onnx.TensorProto.INT64, ["found", 2])],
    )


def onnx_colours(side: int) -> Parts:
    """Which colour a picture has: `pixels` (n, side, side, 3) u8, RGB, to `means` (n, 3) f32."""
    return _onnx(
        [
            helper.make_node("Cast", ["pixels"], ["floats"], to=onnx.TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["floats"], ["means"], axes=[1, 2], keepdims=0),
        ],
        [("pixels", onnx.TensorProto.UINT8, ["n", side, side, 3])],
        [("means", onnx.TensorProto.FLOAT, ["n", 3])],
    )


# ---- OpenVINO


def _openvino(outputs: Sequence[Any], inputs: Sequence[Any]) -> Parts:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "net.xml"
        openvino.save_model(openvino.Model(list(outputs), list(inputs), "net"), path, compress_to_fp16=False)
        xml, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    return (xml, weights) if weights else (xml,)


def _openvino_dense(batch: int) -> Parts:
    x = opset.parameter([batch, 4], np.float32, name="x")
    product = opset.matmul(x, opset.constant(WEIGHTS), False, False)
    y = opset.relu(opset.add(product, opset.constant(BIAS)))
    y.output(0).set_names({"y"})
    return _openvino([y], [x])


def _openvino_adder() -> Parts:
    inputs = [opset.parameter([1, 4], np.float32, name=name) for name in ("in0", "in1")]
    out0 = opset.add(*inputs)
    out0.output(0).set_names({"out0"})
    return _openvino([out0], inputs)


def _openvino_passer(element: type[np.generic], shape: Shape) -> Parts:
    x = opset.parameter(list(shape), element, name="x")
    y = opset.reshape(x, opset.constant(np.array(shape, np.int64)), False)
    y.output(0).set_names({"y"})
    return _openvino([y], [x])


def _openvino_unknown() -> Parts:
    xml, *weights = _openvino_dense(1)
    return (xml.replace(b'type="MatMul"', b'type="Conjure"'), *weights)


def _openvino_text() -> Parts:
    x = opset.parameter([1], openvino.Type.string, name="x")
    return _openvino([opset.result(x)], [x])


def openvino_colours(side: int) -> Parts:
    """The same as `onnx_colours`."""
    pixels = opset.parameter([FREE, side, side, 3], np.uint8, name="pixels")
    means = opset.reduce_mean(opset.convert(pixels, "f32"), opset.constant(np.array([1, 2], np.int64)))
    return _openvino([means], [pixels])


def openvino_free(shape: Sequence[int]) -> Parts:
    """A passer with free dimensions."""
    x = opset.parameter(list(shape), np.float32, name="x")
    return _openvino([opset.relu(x)], [x])


def openvino_counter() -> Parts:
    """The sum of all `x` since the state was reset."""
    x = opset.parameter([1, 4], np.float32, name="x")
    before = opset.read_value(opset.constant(np.zeros((1, 4), np.float32)), "sum")
    total = opset.add(x, before)
    result = opset.result(total)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "net.xml"
        model = openvino.Model([result], [opset.assign(total, "sum")], [x], "net")
        openvino.save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


_ALL_DTYPES = tuple(_TFLITE_TYPES)

FORMATS = (
    Format(
        Encoding.TENSORFLOWLITE,
        _tflite_dense,
        _tflite_adder,
        _tflite_passer,
        _tflite_unknown,
        _ALL_DTYPES,
        _tflite_text,
    ),
    Format(Encoding.ONNX, _onnx_dense, _onnx_adder, _onnx_passer, _onnx_unknown, _ALL_DTYPES, _onnx_text),
    Format(
        Encoding.OPENVINO,
        _openvino_dense,
        _openvino_adder,
        _openvino_passer,
        _openvino_unknown,
        _ALL_DTYPES,
        _openvino_text,
    ),
)
