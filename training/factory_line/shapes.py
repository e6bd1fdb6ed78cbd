"""Signed distances of flat shapes: negative inside, zero on the outline, positive outside.

Every function takes coordinate fields of one shape (height, width) and returns a field of that
shape, all float32 and in the coordinates' own unit.
"""

import math

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def circle(u: Field, v: Field, radius: float) -> Field:
    """Disc of `radius` around the origin."""
    return np.hypot(u, v) - np.float32(radius)


def box(u: Field, v: Field, half_uv: tuple[float, float], corner: float = 0.0) -> Field:
    """Rectangle of half sizes `half_uv` around the origin, corners rounded by `corner`."""
    over_u = np.abs(u) - np.float32(half_uv[0] - corner)
    over_v = np.abs(v) - np.float32(half_uv[1] - corner)
    outside = np.hypot(np.maximum(over_u, 0), np.maximum(over_v, 0))
    inside = np.minimum(np.maximum(over_u, over_v), 0)
    return outside + inside - np.float32(corner)


def hexagon(u: Field, v: Field, apothem: float) -> Field:
    """Regular hexagon whose flats lie at distance `apothem`; exact inside and beside the flats."""
    distance = np.abs(v)
    for angle in (math.pi / 6, -math.pi / 6):
        across = u * np.float32(math.cos(angle)) + v * np.float32(math.sin(angle))
        distance = np.maximum(distance, np.abs(across))
    return distance - np.float32(apothem)


def union(*shapes: Field) -> Field:
    """Inside any of `shapes`."""
    joined: Field = np.minimum.reduce(shapes)
    return joined


def without(shape: Field, *holes: Field) -> Field:
    """Inside `shape` and outside every one of `holes`."""
    cut: Field = np.maximum.reduce([shape, *(-hole for hole in holes)])
    return cut


def ramp(x: Field, start: float, stop: float) -> Field:
    """Smooth step from 0 at `start` to 1 at `stop`; falls instead where `start` > `stop`."""
    t: Field = np.clip((x - np.float32(start)) / np.float32(stop - start), 0, 1)
    return t * t * (3 - 2 * t)
