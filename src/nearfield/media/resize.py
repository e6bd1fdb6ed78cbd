"""Bilinear resizing with aligned corners, in numpy. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def resize_align_corners(image: Pixels, size_wh: tuple[int, int]) -> Pixels:
    """Scale `image` to exactly `size_wh`, sampling at src = dst * (S - 1) / (D - 1), without anti-aliasing.

    The four corner pixels keep their values; a target of one pixel along an axis takes the first. Values are rounded
    to the nearest integer, halves up.

    Args:
        image: uint8, shape (height, width, channels), not empty. Not modified.
        size_wh: target in pixels, each >= 1.

    Returns:
        uint8, shape (size_wh[1], size_wh[0], channels), C order; `image` itself when it has that size already.
    """
    width, height = size_wh
    if image.shape[:2] == (height, width):
        return image
    rows = _blend(image, _steps(image.shape[0], height), axis=0)
    pixels = _blend(rows, _steps(image.shape[1], width), axis=1)
    pixels += np.float32(0.5)
    return pixels.astype(np.uint8)


def _blend(values: npt.NDArray[Any], steps: tuple[npt.NDArray[np.intp], ...], axis: int) -> npt.NDArray[np.float32]:
    lower, upper, weights = steps
    weight = weights.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    near = values.take(lower, axis=axis, mode="clip").astype(np.float32)
    far = values.take(upper, axis=axis, mode="clip").astype(np.float32)
    far -= near
    far *= weight
    near += far
    return near


@lru_cache(maxsize=128)
def _steps(source: int, target: int) -> tuple[npt.NDArray[Any], ...]:
    """For each target position along one axis: the two source positions around it and the weight of the second."""
    position = np.arange(target, dtype=np.float64) * ((source - 1) / max(target - 1, 1))
    lower = np.minimum(np.floor(position).astype(np.intp), source - 1)
    upper = np.minimum(lower + 1, source - 1)
    tables = (lower, upper, (position - lower).astype(np.float32))
    for table in tables:
        table.setflags(write=False)
    return tables
