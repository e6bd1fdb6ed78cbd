"""Blurs of float fields with numpy alone."""

import numpy as np
from numpy.typing import NDArray


def box_blur(field: NDArray[np.float32], width: float, axis: int) -> NDArray[np.float32]:
    """Mean over a window of `width` pixels (fractional widths weigh the two end pixels).

    Edges repeat. Returns `field` itself where `width` <= 1.
    """
    if width <= 1:
        return field
    reach = int(np.ceil((width - 1) / 2))
    end_weight = (width - 1) / 2 - (reach - 1)
    pad = [(0, 0)] * field.ndim
    pad[axis] = (reach, reach)
    padded = np.pad(field, pad, mode="edge")
    length = field.shape[axis]
    total = np.zeros_like(field)
    for offset in range(2 * reach + 1):
        weight = end_weight if offset in (0, 2 * reach) else 1.0
        window = np.take(padded, range(offset, offset + length), axis=axis)
        total += np.float32(weight / width) * window
    return total


def soft_blur(field: NDArray[np.float32], radius: float) -> NDArray[np.float32]:
    """Nearly Gaussian blur of standard deviation about `radius` pixels over the first two axes.

    Two box passes per axis; a running sum makes the cost independent of `radius`.
    """
    width = max(1, round(radius * 2.45)) | 1
    for axis in (0, 1, 0, 1):
        field = _running_mean(field, width, axis)
    return field


def _running_mean(field: NDArray[np.float32], width: int, axis: int) -> NDArray[np.float32]:
    half = width // 2
    pad = [(0, 0)] * field.ndim
    pad[axis] = (half + 1, half)
    sums = np.cumsum(np.pad(field, pad, mode="edge"), axis=axis, dtype=np.float64)
    length = field.shape[axis]
    upper = np.take(sums, range(width, width + length), axis=axis)
    lower = np.take(sums, range(length), axis=axis)
    return ((upper - lower) / width).astype(np.float32)


def periodic_noise(
    rng: np.random.Generator, shape_hw: tuple[int, int], radius_xy: tuple[float, float]
) -> NDArray[np.float32]:
    """Smooth noise that tiles in x, of mean 0 and standard deviation 1, shape `shape_hw`.

    `radius_xy` is the blur's standard deviation in pixels: larger means coarser grain.
    """
    white = rng.standard_normal(shape_hw, dtype=np.float32)
    fy = np.fft.fftfreq(shape_hw[0])[:, None]
    fx = np.fft.rfftfreq(shape_hw[1])[None, :]
    keep = np.exp(-2 * np.pi**2 * ((fx * radius_xy[0]) ** 2 + (fy * radius_xy[1]) ** 2))
    smooth: NDArray[np.float32] = np.fft.irfft2(np.fft.rfft2(white) * keep, s=shape_hw).astype(np.float32)
    smooth -= smooth.mean()
    smooth /= smooth.std()
    return smooth
