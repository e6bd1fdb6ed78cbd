"""The six parts as reliefs: an outline, a height above the belt and how deep a cavity is.

Each part is defined in its own unit frame (it spans about -1 to 1), seen from straight above.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from training.factory_line.shapes import Field, box, circle, hexagon, ramp, union, without


@dataclass(frozen=True)
class Relief:
    """A part sampled on a grid; all fields have one shape (height, width) and the part's unit.

    Attributes:
        distance: signed distance to the outline, negative on the part.
        height: surface height above the belt, meaningful on the part only.
        openness: 1 where the surface sees the whole sky, towards 0 deep in a cavity.
    """

    distance: Field
    height: Field
    openness: Field


@dataclass(frozen=True)
class Cut:
    """What differs between two parts of one kind.

    Attributes:
        bore: relative size of the hole (or of the shank), 0 to 1.
        girth: relative width or thickness, 0 to 1.
        count: 0, 1, 2...; picks the number of teeth, balls or holes.
    """

    bore: float
    girth: float
    count: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Cut":
        """Draw a cut at random."""
        return cls(float(rng.uniform()), float(rng.uniform()), int(rng.integers(0, 6)))


def _bevelled(distance: Field, width: float, top: float) -> Field:
    """Plate of height `top` whose edge falls off over `width`."""
    return ramp(-distance, 0.0, width) * np.float32(top)


def _bolt(u: Field, v: Field, cut: Cut) -> Relief:
    shank_radius = 0.15 + 0.05 * cut.bore
    head_half = 0.31 + 0.06 * cut.girth
    head_length = 0.34
    shaft_start = -1.0 + head_length
    # The thread's crests lean a little, as a helix does when seen from the side.
    thread_wave = np.abs(((u / 0.085 + v * 0.5) % 1.0) * 2 - 1)
    threaded = ramp(u, -0.25, -0.15)
    tip = ramp(u, 1.0, 0.86)
    radius = shank_radius * (0.72 + 0.28 * tip) - 0.028 * thread_wave * threaded

    centre = (shaft_start + 1.0) / 2
    shank = np.maximum(box(u - centre, v, (1.0 - centre, 1.0)), np.abs(v) - radius)
    head = box(u + 1.0 - head_length / 2, v, (head_length / 2, head_half), corner=0.05)
    round_height = np.sqrt(np.maximum(radius * radius - v * v, 0))
    # A hexagonal head on its side shows one flat on top and one falling away on either hand.
    facet = head_half * 0.5
    head_height = 0.30 - np.maximum(np.abs(v) - facet, 0) * 1.3
    head_height = np.minimum(head_height, 0.34 * ramp(u, -1.06, -0.86) + 0.02)
    on_head = head < 0
    neck = 1 - 0.55 * ramp(u, shaft_start + 0.14, shaft_start) * (~on_head)
    openness = neck * (1 - 0.35 * thread_wave * threaded * (~on_head))
    height = np.where(on_head, head_height, round_height)
    return Relief(union(shank, head), height.astype(np.float32), openness.astype(np.float32))


def _nut(u: Field, v: Field, cut: Cut) -> Relief:
    bore = 0.42 + 0.08 * cut.bore
    rho = np.hypot(u, v)
    hexagonal = hexagon(u, v, 0.84)
    distance = without(hexagonal, circle(u, v, bore))
    # Turned chamfer: a cone cuts the six corners, which gives a nut its scalloped flats.
    chamfer = np.maximum(rho - 0.78, 0) * 0.75
    sink = ramp(rho, bore + 0.13, bore)
    thread = np.cos(rho * np.float32(2 * math.pi / 0.05)) * 0.006 * (sink > 0)
    height = _bevelled(hexagonal, 0.05, 0.5) - chamfer - 0.16 * sink + thread
    return Relief(distance, height.astype(np.float32), 1 - 0.6 * sink)


def _washer(u: Field, v: Field, cut: Cut) -> Relief:
    bore = 0.50 + 0.12 * cut.bore
    distance = without(circle(u, v, 0.92), circle(u, v, bore))
    rho = np.hypot(u, v)
    lathe = np.sin(rho * 90) * 0.0006
    return Relief(distance, _bevelled(distance, 0.07, 0.09) + lathe, np.ones_like(u))


def _gear(u: Field, v: Field, cut: Cut) -> Relief:
    teeth = 14 + 2 * cut.count
    bore = 0.15 + 0.07 * cut.bore
    root = 0.78
    rho = np.hypot(u, v)
    wave = np.cos(np.arctan2(v, u) * teeth)
    # A cosine clipped on both sides has the flat tips and roots of a cut tooth.
    tooth = np.clip(wave * 1.5, -1, 1) * 0.5 + 0.5
    outline = (rho - (root + (0.98 - root) * tooth)) * 0.6
    keyway = box(u - bore, v, (0.07, 0.055))
    holes = [circle(u, v, bore), keyway]
    spokes = (0, 4, 5, 6, 4, 5)[cut.count]
    for spoke in range(spokes):
        angle = 2 * math.pi * (spoke + 0.5) / spokes
        holes.append(circle(u - 0.5 * math.cos(angle), v - 0.5 * math.sin(angle), 0.105))
    distance = without(outline, *holes)
    web = ramp(rho, 0.32, 0.37) * ramp(rho, 0.68, 0.63)
    hub = ramp(rho, 0.34, 0.30)
    height = _bevelled(distance, 0.045, 0.3) - 0.10 * web + 0.07 * hub
    return Relief(distance, height.astype(np.float32), 1 - 0.4 * web)


def _bearing(u: Field, v: Field, cut: Cut) -> Relief:
    balls = 8 + cut.count % 3
    bore = 0.30 + 0.05 * cut.bore
    inner, outer, pitch, ball_radius = 0.49, 0.73, 0.61, 0.115
    rho = np.hypot(u, v)
    distance = without(circle(u, v, 0.97), circle(u, v, bore))
    race = ramp(rho, inner - 0.02, inner + 0.02) * ramp(rho, outer + 0.02, outer - 0.02)
    turn = 2 * math.pi / balls
    to_ball = (np.arctan2(v, u) % turn) - turn / 2
    off_ball = np.hypot(rho - pitch, to_ball * pitch)
    dome = np.sqrt(np.maximum(ball_radius**2 - off_ball**2, 0))
    on_ball = ramp(off_ball, ball_radius, ball_radius - 0.02)
    plate = _bevelled(distance, 0.05, 0.32) * (1 - race) + 0.06 * race
    height = plate * (1 - on_ball) + (0.1 + dome) * on_ball
    openness = 1 - 0.82 * race * (1 - on_ball) - 0.1 * on_ball
    return Relief(distance, height.astype(np.float32), openness.astype(np.float32))


def _bracket(u: Field, v: Field, cut: Cut) -> Relief:
    # The corner would lie far off the middle; moving it out centres the bracket's area.
    u, v = u - 0.16, v + 0.16
    arm = 0.23 + 0.04 * cut.girth
    far = 0.83
    foot = box(u, v - (far - arm), (far, arm), corner=0.09)
    wall = box(u + (far - arm), v, (arm, far), corner=0.09)
    hole = 0.085 + 0.025 * cut.bore
    near_end = far - arm
    holes = [
        circle(u - near_end, v - near_end, hole),
        circle(u + near_end, v - near_end, hole),
        circle(u + near_end, v + near_end, hole),
        box(u - 0.02, v - near_end, (0.18, hole * 0.8), corner=hole * 0.8),
        box(u + near_end, v + 0.02, (hole * 0.8, 0.18), corner=hole * 0.8),
    ]
    # A chamfer fills the inner corner, as a stamped bracket has against tearing.
    across_corner = (u - v + 2 * near_end - 2 * arm) * np.float32(math.sqrt(0.5)) - 0.17
    fillet = np.maximum.reduce([across_corner, -far - u, v - far])
    plate = union(foot, wall, fillet)
    distance = without(plate, *holes)
    return Relief(distance, _bevelled(distance, 0.045, 0.11), np.ones_like(u))


PARTS: Final[Mapping[str, Callable[[Field, Field, Cut], Relief]]] = MappingProxyType(
    {
        "bolt": _bolt,
        "nut": _nut,
        "washer": _washer,
        "gear": _gear,
        "bearing": _bearing,
        "bracket": _bracket,
    }
)
