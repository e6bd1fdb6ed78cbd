"""The bare loops: what a program does that calls a runtime itself, with the same decoder and resize as a guest gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nearfield.media import Resampling, decode_image

Classify = Callable[[bytes], str]
"""From a JPEG to a label."""

Runtime = Callable[[Path, Sequence[str]], Classify]
"""Makes a loop from a model file and its labels."""

THREADS = 1

_OPENVINO = {
    "PERFORMANCE_HINT": "LATENCY",
    "NUM_STREAMS": 1,
    "INFERENCE_NUM_THREADS": THREADS,
    "INFERENCE_PRECISION_HINT": "f32",
}


# One rule for all ways: what the embedded guest gets, whose functions are older than the other rule.
RESAMPLING = Resampling.ALIGN_CORNERS


def decode(jpeg: bytes, size_wh: tuple[int, int]) -> Any:
    """Pixels of shape (height, width, 3), uint8."""
    return decode_image(jpeg, size_wh, resampling=RESAMPLING)


def litert(model: Path, labels: Sequence[str]) -> Classify:
    """One interpreter for all frames."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model), num_threads=THREADS)
    interpreter.allocate_tensors()
    (entry,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    _, height, width, _ = map(int, entry["shape"])

    def classify(jpeg: bytes) -> str:
        interpreter.set_tensor(entry["index"], decode(jpeg, (width, height))[np.newaxis])
        interpreter.invoke()
        return labels[int(interpreter.get_tensor(answer["index"])[0].argmax())]

    return classify


def litert_rebuilt(model: Path, labels: Sequence[str]) -> Classify:
    """The naive way: the file is read and the interpreter built for every frame."""
    return lambda jpeg: litert(model, labels)(jpeg)


def onnx_runtime(model: Path, labels: Sequence[str]) -> Classify:
    """One ONNX Runtime session for all frames, with the settings of our backend."""
    # Before the import, as in our backend: the wheel reports what it runs to its makers otherwise.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    _, height, width, _ = entry.shape

    def classify(jpeg: bytes) -> str:
        (scores,) = session.run(None, {entry.name: decode(jpeg, (width, height))[np.newaxis]})
        return labels[int(scores[0].argmax())]

    return classify


def openvino(model: Path, labels: Sequence[str]) -> Classify:
    """One OpenVINO request for all frames, with the settings of our backend."""
    from openvino import Core

    core = Core()
    network = core.read_model(str(model))
    _, height, width, channels = network.input(0).partial_shape
    # What is compiled for one size is quicker than what takes any.
    network.reshape([1, height, width, channels])
    request = core.compile_model(network, "CPU", _OPENVINO).create_infer_request()
    size_wh = width.get_length(), height.get_length()

    def classify(jpeg: bytes) -> str:
        request.infer({0: decode(jpeg, size_wh)[np.newaxis]})
        return labels[int(request.get_output_tensor(0).data[0].argmax())]

    return classify
