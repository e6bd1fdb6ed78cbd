"""Bilinear resizing with aligned corners: fast, or bit by bit as Boost.GIL does it. Pure.

Arguments of both are those of `nearfield.media.resize.resize`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Rows made at once. Intermediate values of a picture for a model stay in the cache, and below the size from which the
# allocator asks the system for fresh pages; fewer rows cost more calls. Measured: 16 take 1.3 times as long.
_ROWS = 64

_HALF = np.float32(0.5)
_MOST = np.float32(255)


class _Taps(NamedTuple):
    """For each target position along one axis: the two source positions around it, and how much each counts."""

    lower: npt.NDArray[np.intp]
    upper: npt.NDArray[np.intp]
    lower_weight: npt.NDArray[Any]
    upper_weight: npt.NDArray[Any]


def align_corners(image: npt.NDArray[np.uint8], out: npt.NDArray[Any]) -> None:
    """Sample at src = dst * (S - 1) / (D - 1) along each axis; a target of one pixel takes the first.

    Values are rounded to the nearest integer, halves up, in single precision.
    """
    source, target = _rows_of(image), _rows_of(out)
    down, across = _aligned_taps(image.shape[0], out.shape[0]), _channel_taps(image.shape[1], out.shape[1])
    weight = down.upper_weight[:, np.newaxis]
    # Made once: fresh memory of this size costs more than what is done with it.
    at_once = min(_ROWS, len(target))
    above, below = np.empty((2, at_once, source.shape[1]), np.uint8)
    step, blended = np.empty(above.shape, np.int16), np.empty(above.shape, np.float32)
    left, right = np.empty((2, at_once, target.shape[1]), np.float32)
    for start in range(0, len(target), _ROWS):
        # The last rows are made together with some before them once more, so that all fit the scratch memory.
        start = min(start, len(target) - at_once)
        rows = slice(start, start + at_once)
        source.take(down.lower[rows], axis=0, mode="clip", out=above)
        source.take(down.upper[rows], axis=0, mode="clip", out=below)
        # Differences of bytes fit into 16 bits; their products with a weight are float32 at once.
        np.subtract(below, above, dtype=np.int16, out=step)
        np.multiply(step, weight[rows], dtype=np.float32, out=blended)
        blended += above
        blended.take(across.lower, axis=1, mode="clip", out=left)
        blended.take(across.upper, axis=1, mode="clip", out=right)
        right -= left
        right *= across.upper_weight
        left += right
        left += _HALF
        _store_cut(left, target[rows])


def align_corners_exactly(image: npt.NDArray[np.uint8], out: npt.NDArray[Any]) -> None:
    """The same in double precision, with the original's mapping, order of additions and cut-off results.

    Where a picture of one pixel's width or height is enlarged, the original leaves the last column or row as it found
    it; here the pixel is repeated.
    """
    source, target = _rows_of(image), _rows_of(out)
    down, across = _exact_taps(image.shape[0], out.shape[0], 1), _exact_taps(image.shape[1], out.shape[1], 3)
    for start in range(0, len(target), _ROWS):
        rows = slice(start, start + _ROWS)
        values = np.zeros(target[rows].shape)
        for row_taps, row_weights in ((down.lower, down.lower_weight), (down.upper, down.upper_weight)):
            line = source.take(row_taps[rows], axis=0)
            down_weight = row_weights[rows, np.newaxis]
            values += line.take(across.lower, axis=1) * (across.lower_weight * down_weight)
            values += line.take(across.upper, axis=1) * (across.upper_weight * down_weight)
        _store_cut(values, target[rows])


def _rows_of(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A picture as a matrix with one row for each line. A view, since pictures are in C order."""
    return picture.reshape(picture.shape[0], -1)


def _store_cut(values: npt.NDArray[Any], target: npt.NDArray[Any]) -> None:
    """Write values from 0 to 255, without what is behind the point, as they are or as parts of 255."""
    if target.dtype == np.uint8:
        target[...] = values
    else:
        np.floor(values, out=values)
        np.divide(values, _MOST, out=target, casting="same_kind")


@lru_cache(maxsize=64)
def _aligned_taps(source: int, target: int) -> _Taps:
    position = np.arange(target, dtype=np.float64) * ((source - 1) / max(target - 1, 1))
    lower = np.minimum(np.floor(position).astype(np.intp), source - 1)
    upper_weight = (position - lower).astype(np.float32)
    return _frozen(_Taps(lower, np.minimum(lower + 1, source - 1), 1 - upper_weight, upper_weight))


@lru_cache(maxsize=64)
def _channel_taps(source: int, target: int) -> _Taps:
    return _for_channels(_aligned_taps(source, target), 3)


@lru_cache(maxsize=64)
def _exact_taps(source: int, target: int, channels: int) -> _Taps:
    """Taps of `boost::gil::resample_subimage`: a scaling about the middles of both pictures.

    Its operations in its order, since each rounds. Positions that land outside by a rounding error take the outermost
    pixel alone, as do those beyond the last one.
    """
    width, wanted = max(source - 1.0, 1.0), max(target - 1.0, 1.0)
    scale = width / wanted
    position = np.arange(target, dtype=np.float64) * scale + (-wanted / 2.0 * scale + width / 2.0)
    lower = np.floor(position).astype(np.intp)
    upper_weight = position - lower
    is_single = (lower < 0) | (lower + 1 >= source)
    upper_weight[is_single] = 0.0
    lower = lower.clip(0, source - 1)
    return _frozen(
        _for_channels(_Taps(lower, (lower + 1).clip(0, source - 1), 1 - upper_weight, upper_weight), channels)
    )


def _for_channels(taps: _Taps, channels: int) -> _Taps:
    """Taps along a row whose pixels are `channels` values each."""
    places = np.arange(channels)
    lower, upper = ((each[:, np.newaxis] * channels + places).ravel() for each in (taps.lower, taps.upper))
    weights = (each.repeat(channels) for each in (taps.lower_weight, taps.upper_weight))
    return _frozen(_Taps(lower, upper, *weights))


def _frozen(taps: _Taps) -> _Taps:
    for table in taps:
        table.setflags(write=False)
    return taps
