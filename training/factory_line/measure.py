"""What the exported model does, measured with the runtime that nearfield uses."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from training.factory_line.labels import LABELS
from training.factory_line.light import Picture
from training.factory_line.samples import Samples


@dataclass(frozen=True)
class TensorFacts:
    """A tensor of the model: real value = scale * (stored value - zero_point)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


class Classifier:
    """The exported model on one CPU thread.

    Args:
        model: content of a `.tflite` file.
    """

    def __init__(self, model: bytes) -> None:
        self._interpreter = Interpreter(model_content=model, num_threads=1)
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        (self._output,) = self._interpreter.get_output_details()

    @property
    def input_facts(self) -> TensorFacts:
        """The picture's tensor."""
        return _facts(self._input)

    @property
    def output_facts(self) -> TensorFacts:
        """The probabilities' tensor."""
        return _facts(self._output)

    def label_index(self, picture: Picture) -> int:
        """The likeliest label of a uint8 picture of shape (96, 96, 3)."""
        self._interpreter.set_tensor(self._input["index"], picture[None])
        self._interpreter.invoke()
        return int(self._interpreter.get_tensor(self._output["index"])[0].argmax())

    def median_inference_ms(self, runs: int = 500) -> float:
        """Median time of one inference in milliseconds, copying in and out left aside."""
        times = []
        for _ in range(runs):
            start = time.perf_counter()
            self._interpreter.invoke()
            times.append(time.perf_counter() - start)
        return float(np.median(times)) * 1000


def confusion(classifier: Classifier, samples: Samples) -> NDArray[np.int64]:
    """Count answers: row is the right label, column the model's, shape (7, 7)."""
    counts = np.zeros((len(LABELS), len(LABELS)), np.int64)
    for picture, label in zip(samples.pictures, samples.labels, strict=True):
        counts[label, classifier.label_index(picture)] += 1
    return counts


def accuracy(counts: NDArray[np.int64]) -> float:
    """Share of right answers in a confusion matrix, 0 to 1."""
    return float(np.trace(counts) / counts.sum())


def _facts(details: dict[str, Any]) -> TensorFacts:
    scale, zero_point = details["quantization"]
    shape = tuple(int(size) for size in details["shape"])
    return TensorFacts(details["name"], shape, details["dtype"].__name__, scale, zero_point)
