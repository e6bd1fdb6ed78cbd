"""Whether the frames of a batch leave each other's results alone. Tried out, since no model file tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nearfield.errors import InferenceError
from nearfield.inference.contract import Graph, TensorSpec

# Backends may add up in another order for several frames: the last bits of a float may differ, and a quantised value by
# one step. What one frame does to another, such as an average over the batch, is far larger.
_RELATIVE = 1e-3
_ABSOLUTE = 1e-4
_STEP = 1

Values = list[np.ndarray[Any, Any]]


def check_frames_stay_apart(graph: Graph) -> None:
    """Compute two frames together and each by itself, and compare. Takes about as long as four computes.

    Says nothing of a model that refuses these inputs, which are pseudo-random, even by themselves.

    Raises:
        InferenceError: it fails for two frames together, or gives other results than for each alone.
    """
    frames = [[_some(spec, seed) for spec in graph.inputs] for seed in (1, 2)]
    try:
        alone = [_compute(graph, [frame]) for frame in frames]
    except InferenceError:
        return
    where = f"model `{graph.label}`"
    hint = "leave `batch` out; or export the model so that nothing in it fixes or joins the batch dimension"
    try:
        together = _compute(graph, frames)
    except InferenceError as error:
        raise InferenceError(f"batch: two frames together: {error.what}", where=where, hint=hint) from error
    for index in range(len(graph.outputs)):
        expected = np.concatenate([each[index] for each in alone])
        if not _are_alike(together[index], expected):
            raise InferenceError(
                f"batch: output {index} of a frame is another one when it is computed together with others",
                where=where,
                hint=hint,
            )


def _some(spec: TensorSpec, seed: int) -> bytes:
    """Values that are likely to be taken: indices are small, pixels anything, real numbers around 0."""
    random = np.random.default_rng(seed)
    if spec.dtype.kind == "f":
        return random.normal(size=spec.shape).astype(spec.dtype).tobytes()
    most = 256 if spec.dtype == np.uint8 else 2
    return random.integers(0, most, spec.shape).astype(spec.dtype).tobytes()


def _compute(graph: Graph, frames: Sequence[Sequence[bytes]]) -> Values:
    context = graph.acquire(len(frames))
    try:
        for index in range(len(graph.inputs)):
            context.set_input(index, b"".join(frame[index] for frame in frames))
        context.compute()
        return [np.frombuffer(context.output(index), spec.dtype) for index, spec in enumerate(graph.outputs)]
    finally:
        context.close()


def _are_alike(got: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> bool:
    if got.shape != expected.shape:
        return False
    if got.dtype.kind in "fc":
        return bool(np.allclose(got, expected, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True))
    if got.dtype.itemsize == 1 and got.dtype.kind in "iu":
        return bool((np.abs(got.astype(np.int16) - expected.astype(np.int16)) <= _STEP).all())
    return bool((got == expected).all())
