"""Cubic resizing that neither aliases nor blurs much, as stb_image_resize2 does by default. Pure.

Each target value is a weighted mean of the source values around it, down the columns and then along the rows. The
weights depend on the two sizes alone. Most are zero, so that a few rows of targets at a time are a small matrix
product: BLAS does that fast.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

# Targets in one matrix product. More waste work on zeros, fewer cost more calls. Measured for sizes of pictures.
_ROWS_AT_ONCE = 8
_COLUMNS_AT_ONCE = 8

# Rows that are made before they are stored: small enough for the cache.
_ROWS = 64

# Tables of larger pictures are not kept: those of smaller ones take 1 MB at most.
_LARGEST_KEPT = 2048

_CHANNELS = 3
_SUPPORT = 2.0

_HALF = np.float32(0.5)
_MOST = np.float32(255)


class _Band(NamedTuple):
    """Targets `first` to `last` from sources `low` to `high`, both without the last one."""

    first: int
    last: int
    low: int
    high: int
    weights: Floats


def smooth(image: npt.NDArray[np.uint8], out: npt.NDArray[Any]) -> None:
    """Scale `image` into `out`; arguments as for `nearfield.media.resize.resize`.

    Along each axis by itself: Mitchell's cubic (B = C = 1/3) to shrink, widened by the step; Catmull-Rom's (B = 0,
    C = 1/2) to enlarge; neither where the size stays. Pixel centres are at halves, the outermost pixels go on beyond
    the edges, and the weights of each target sum up to 1. 8-bit values are rounded to the nearest integer, halves up.
    """
    source, target = image.reshape(image.shape[0], -1), out.reshape(out.shape[0], -1)
    down, across = _bands(image.shape[0], out.shape[0], False), _bands(image.shape[1], out.shape[1], True)
    # Made once: fresh memory of this size costs more than what is done with it.
    at_once = min(_ROWS, len(target))
    lines, values = (np.empty((at_once, each.shape[1]), np.float32) for each in (source, target))
    sources = np.empty((max((band.high - band.low for band in down), default=0), source.shape[1]), np.float32)
    for start in range(0, len(target), _ROWS):
        stop = min(start + _ROWS, len(target))
        if down:
            for band in down[start // _ROWS_AT_ONCE : -(-stop // _ROWS_AT_ONCE)]:
                rows = sources[: band.high - band.low]
                rows[...] = source[band.low : band.high]
                np.matmul(band.weights, rows, out=lines[band.first - start : band.last - start])
        else:
            lines[: stop - start] = source[start:stop]
        made = values[: stop - start] if across else lines[: stop - start]
        for band in across:
            np.matmul(lines[: stop - start, band.low : band.high], band.weights, out=made[:, band.first : band.last])
        _store(made, target[start:stop])


def _store(values: Floats, target: npt.NDArray[Any]) -> None:
    if target.dtype == np.uint8:
        values += _HALF
        np.clip(values, np.float32(0), _MOST, out=values)
        target[...] = values
    else:
        np.divide(values, _MOST, out=target)


def _bands(source: int, target: int, along_rows: bool) -> tuple[_Band, ...]:
    """The matrix products of one axis; none where the size stays."""
    make = _kept_bands if max(source, target) <= _LARGEST_KEPT else _make_bands
    return make(source, target, along_rows)


def _make_bands(source: int, target: int, along_rows: bool) -> tuple[_Band, ...]:
    if source == target:
        return ()
    first, weights = axis_weights(source, target)
    at_once = _COLUMNS_AT_ONCE if along_rows else _ROWS_AT_ONCE
    bands = (_band(first, weights, source, start, start + at_once) for start in range(0, target, at_once))
    return tuple(map(_for_channels, bands) if along_rows else bands)


_kept_bands = lru_cache(maxsize=32)(_make_bands)


def axis_weights(source: int, target: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """The weights along one axis.

    Returns:
        For each target position its first source position, which may lie before the edge, and the weights of that one
        and those that follow: shape (target, taps). What lies outside belongs to the outermost pixel.
    """
    scale = target / source
    kernel, narrowing = (_catmull_rom, 1.0) if scale >= 1 else (_mitchell, scale)
    reach = _SUPPORT / narrowing
    centre = (np.arange(target) + 0.5) / scale
    first = np.floor(centre - reach + 0.5).astype(np.intp)
    places = first[:, np.newaxis] + np.arange(int(np.ceil(2 * reach)) + 1)
    weights = kernel(np.abs(places + 0.5 - centre[:, np.newaxis]) * narrowing)
    return first, weights / weights.sum(axis=1, keepdims=True)


def _band(first: npt.NDArray[np.intp], weights: npt.NDArray[np.float64], source: int, start: int, stop: int) -> _Band:
    """Rows `start` to `stop` of the weights as a matrix over the sources that they touch."""
    stop = min(stop, len(first))
    places = (first[start:stop, np.newaxis] + np.arange(weights.shape[1])).clip(0, source - 1)
    low, high = int(places.min()), int(places.max()) + 1
    matrix = np.zeros((stop - start, high - low))
    np.add.at(matrix, (np.arange(stop - start)[:, np.newaxis], places - low), weights[start:stop])
    return _Band(start, stop, low, high, matrix.astype(np.float32))


def _for_channels(band: _Band) -> _Band:
    """The same for rows of pixels, to be multiplied from the right: each channel with its own."""
    weights = np.kron(band.weights.T, np.eye(_CHANNELS, dtype=np.float32))
    first, last, low, high = (each * _CHANNELS for each in (band.first, band.last, band.low, band.high))
    return _Band(first, last, low, high, weights)


def _cubic(b: float, c: float) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """The family of cubics by Mitchell and Netravali (1988), for distances >= 0."""
    inner = ((12 - 9 * b - 6 * c) / 6, (-18 + 12 * b + 6 * c) / 6, 0.0, (6 - 2 * b) / 6)
    outer = ((-b - 6 * c) / 6, (6 * b + 30 * c) / 6, (-12 * b - 48 * c) / 6, (8 * b + 24 * c) / 6)

    def kernel(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        beyond = np.where(distance < _SUPPORT, np.polyval(outer, distance), 0.0)
        return np.where(distance < 1, np.polyval(inner, distance), beyond)

    return kernel


_mitchell = _cubic(1 / 3, 1 / 3)
_catmull_rom = _cubic(0.0, 0.5)
