"""Small TFLite models, built here, and the one real model of the project when it is at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

TESTDATA = Path(__file__).parents[3] / ".." / "shared" / "testdata"

Shape = tuple[int, ...]


class TinyModels:
    """Models of one operation, a few hundred bytes each."""

    def adder(self, shape: Shape = (1, 4), element: int = schema.TensorType.FLOAT32) -> bytes:
        """Inputs `in0` and `in1`, output `out0` = their sum."""
        operation = schema.BuiltinOperator.ADD
        options = (schema.AddOptionsT(), schema.BuiltinOptions.AddOptions)
        return self._model(operation, [(element, shape), (element, shape)], (element, shape), options)

    def divider(self) -> bytes:
        """int32 division of 4 values, which fails when a divisor is 0."""
        kind = (schema.TensorType.INT32, (1, 4))
        options = (schema.DivOptionsT(), schema.BuiltinOptions.DivOptions)
        return self._model(schema.BuiltinOperator.DIV, [kind, kind], kind, options)

    def killer(self) -> bytes:
        """Passes LiteRT's checks of the file and kills the process that loads it (2.3.0): a split into 0 parts."""
        options = schema.SplitOptionsT()
        options.numSplits = 0
        axis, values = (schema.TensorType.INT32, (1,)), (schema.TensorType.FLOAT32, (1, 4))
        return self._model(
            schema.BuiltinOperator.SPLIT, [axis, values], values, (options, schema.BuiltinOptions.SplitOptions)
        )

    def quantised_passer(self, scale: float, zero_point: int) -> bytes:
        """uint8 in, maximum with itself, uint8 out."""
        kind = (schema.TensorType.UINT8, (2, 3))
        options = (schema.MaximumMinimumOptionsT(), schema.BuiltinOptions.MaximumMinimumOptions)
        return self._model(schema.BuiltinOperator.MAXIMUM, [kind, kind], kind, options, (scale, zero_point))

    @staticmethod
    def _model(
        operation: int,
        inputs: Sequence[tuple[int, Shape]],
        output: tuple[int, Shape],
        options: tuple[Any, int],
        quantisation: tuple[float, int] | None = None,
    ) -> bytes:
        graph = schema.SubGraphT()
        graph.tensors = [
            _tensor(f"in{index}", *kind, quantisation=quantisation) for index, kind in enumerate(inputs)
        ] + [_tensor("out0", *output, quantisation=quantisation)]
        graph.inputs = list(range(len(inputs)))
        graph.outputs = [len(inputs)]
        step = schema.OperatorT()
        step.opcodeIndex, step.inputs, step.outputs = 0, graph.inputs, graph.outputs
        step.builtinOptions, step.builtinOptionsType = options
        graph.operators = [step]
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = operation
        code.version = 1
        model = schema.ModelT()
        model.version, model.operatorCodes = 3, [code]
        model.subgraphs, model.buffers = [graph], [schema.BufferT()]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _tensor(name: str, element: int, shape: Shape, *, quantisation: tuple[float, int] | None) -> Any:
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape, tensor.buffer = name, element, list(shape), 0
    if quantisation is not None:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [quantisation[0]], [quantisation[1]]
    return tensor


@pytest.fixture(scope="session")
def tiny() -> TinyModels:
    return TinyModels()


@pytest.fixture
def model_file(tmp_path: Path) -> Callable[..., Path]:
    """Write bytes to a file of the given name."""

    def write(content: bytes, name: str = "parts.tflite") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="session")
def testdata() -> Callable[[str], Path]:
    """A file of the shared test data; the test is skipped when it is not here."""

    def locate(name: str) -> Path:
        path = TESTDATA / name
        if not path.is_file():
            pytest.skip(f"shared test data `{name}` is not on this machine")
        return path

    return locate
