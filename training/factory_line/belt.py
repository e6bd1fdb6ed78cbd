"""The conveyor: a belt that tiles in x and the fixed rails along its upper and lower edge."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.factory_line.blur import periodic_noise, soft_blur
from training.factory_line.light import Lamp, Rgb
from training.factory_line.shapes import Field, circle, ramp

BELT_COLOURS: Final[tuple[Rgb, ...]] = (
    (0.030, 0.034, 0.040),  # black rubber
    (0.055, 0.060, 0.066),  # grey rubber
    (0.022, 0.085, 0.065),  # green polyurethane
    (0.025, 0.060, 0.120),  # blue, as in food plants
    (0.110, 0.105, 0.095),  # light grey fabric
)
RAIL_COLOURS: Final[tuple[Rgb, ...]] = (
    (0.42, 0.43, 0.45),  # bare aluminium
    (0.05, 0.12, 0.30),  # blue paint
    (0.55, 0.19, 0.03),  # orange paint
    (0.10, 0.11, 0.12),  # dark paint
)


@dataclass(frozen=True)
class BeltLook:
    """What one line's conveyor looks like. Lengths are pixels of the 640x360 picture.

    Attributes:
        colour: of the clean belt, linear RGB.
        rib_pitch: distance of the ribs across the belt, 0 for a smooth belt.
        weave: depth of the fabric pattern, 0 to 1.
        grain: strength of the fine noise, 0 to 1.
        streaks: strength of wear marks along the belt, 0 to 1.
        stains: strength of dark blots, 0 to 1.
        seams: number of glued joints in one tile.
        rail_colour: linear RGB.
        rail_height: how much of the picture each rail covers.
        hazard: the rails carry black and yellow stripes.
    """

    colour: Rgb
    rib_pitch: float
    weave: float
    grain: float
    streaks: float
    stains: float
    seams: int
    rail_colour: Rgb
    rail_height: float
    hazard: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "BeltLook":
        """Draw a conveyor at random."""
        tint = rng.uniform(0.7, 1.4)
        red, green, blue = (float(c * tint * rng.uniform(0.9, 1.1)) for c in BELT_COLOURS[rng.integers(5)])
        return cls(
            colour=(red, green, blue),
            rib_pitch=float(rng.choice([0.0, 0.0, 55.0, 71.5, 110.0])),
            weave=float(rng.choice([0.0, rng.uniform(0.2, 1.0)])),
            grain=float(rng.uniform(0.2, 1.0)),
            streaks=float(rng.uniform(0.0, 1.0)),
            stains=float(rng.uniform(0.0, 1.0)),
            seams=int(rng.integers(0, 3)),
            rail_colour=RAIL_COLOURS[rng.integers(4)],
            rail_height=float(rng.uniform(22, 46)),
            hazard=bool(rng.uniform() < 0.3),
        )


def paint_belt(
    look: BeltLook, lamp: Lamp, rng: np.random.Generator, size_wh: tuple[int, int], scale: int
) -> NDArray[np.float32]:
    """Paint one tile of the belt.

    Args:
        look: the conveyor.
        lamp: lights the ribs and the weave from its side.
        rng: places noise, stains and seams.
        size_wh: tile in pixels of the 640x360 picture; the belt repeats after the width.
        scale: samples per such pixel and axis.

    Returns:
        Linear RGB, shape (size_wh[1] * scale, size_wh[0] * scale, 3); tiles in x.
    """
    shape = (size_wh[1] * scale, size_wh[0] * scale)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / np.float32(scale)
    fine = periodic_noise(rng, shape, (0.7 * scale, 0.7 * scale))
    wear = periodic_noise(rng, shape, (60 * scale, 0.9 * scale))
    cloud = periodic_noise(rng, shape, (26 * scale, 20 * scale))
    light = 1 + 0.07 * look.grain * fine + 0.08 * look.streaks * wear + 0.05 * cloud
    light *= 1 - 0.35 * look.stains * ramp(cloud, 1.2, 2.2)

    slope = np.zeros(shape, np.float32)
    if look.rib_pitch:
        pitch = _dividing(look.rib_pitch, size_wh[0])
        from_rib = np.abs((x + pitch / 2) % pitch - pitch / 2)
        light += 0.28 * ramp(from_rib, 3.5, 2.0)
        slope += np.exp(-(((x % pitch - 4.0) / 2.2) ** 2))
        slope -= np.exp(-(((x % pitch - (pitch - 4.0)) / 2.2) ** 2))
    if look.weave:
        pitch = _dividing(8.0, size_wh[0])
        turn = np.float32(2 * math.pi / pitch)
        slope += 0.2 * look.weave * np.sin(x * turn + np.cos(y * turn) * 1.2)
    light += 0.3 * np.float32(lamp.towards_xy[0]) * slope
    for _ in range(look.seams):
        middle = rng.uniform(60, size_wh[0] - 60)
        # The joint is cut at a slant, so that it passes the rollers gently.
        across = np.abs(x - middle - (y - size_wh[1] / 2) * 0.12)
        light *= 1 - 0.5 * ramp(across, 1.8, 0.6)
    light = np.clip(light, 0.05, None)
    tile: NDArray[np.float32] = light[..., None] * np.asarray(look.colour, np.float32)
    return tile


def _dividing(pitch: float, length: float) -> float:
    """The pitch nearest to `pitch` that divides `length`, so that the pattern tiles."""
    return length / max(1, round(length / pitch))


def paint_rails(look: BeltLook, lamp: Lamp, size_wh: tuple[int, int], scale: int) -> tuple[NDArray[np.float32], Field]:
    """Paint the rails as seen by the fixed camera.

    Returns:
        Linear RGB, shape (height * scale, width * scale, 3), and how much light the belt keeps
        beside the rails: 0 under them, rising to 1 away from them, shape (height * scale,
        width * scale).
    """
    shape = (size_wh[1] * scale, size_wh[0] * scale)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32) / np.float32(scale)
    low = y > size_wh[1] / 2
    depth = look.rail_height - np.minimum(y, size_wh[1] - y)
    # One rolled edge towards the belt, a groove behind it, a flat beyond.
    edge = np.exp(-(((depth - 2.2) / 1.6) ** 2))
    groove = np.exp(-(((depth - 8.0) / 1.3) ** 2))
    facing = np.where(low, -lamp.towards_xy[1], lamp.towards_xy[1])
    light = 0.62 + 0.55 * edge * (1 + 0.6 * facing) - 0.42 * groove
    rail = light[..., None] * np.asarray(look.rail_colour, np.float32)
    if look.hazard:
        stripe = np.abs(((x + np.where(low, y, -y)) / 26) % 2 - 1)
        paint = ramp(stripe, 0.47, 0.53)[..., None] * np.asarray((0.75, 0.50, 0.02), np.float32)
        on_flat = ramp(depth, 10.5, 11.5)[..., None]
        rail = rail * (1 - on_flat) + (paint + 0.015) * on_flat * light[..., None]
    rail = _with_screws(rail, x, depth, look.rail_height)

    covered = ramp(depth, -0.5, 0.5)
    shadow = soft_blur(ramp(depth, -5.5, -4.5).astype(np.float32), 4.0 * scale)
    belt_light = (1 - 0.75 * shadow) * (1 - covered)
    return rail * covered[..., None], belt_light.astype(np.float32)


def _with_screws(rail: NDArray[np.float32], x: Field, depth: Field, rail_height: float) -> NDArray[np.float32]:
    """Put a row of small socket screws on each rail."""
    along = (x + 40) % 160 - 80
    across = depth - (11 + (rail_height - 11) / 2)
    head = circle(along, across, 4.2)
    socket = circle(along, across, 1.8)
    ring = ramp(head, 0.5, -0.5)[..., None]
    hole = ramp(socket, 0.5, -0.5)[..., None]
    return rail * (1 - 0.65 * ramp(head, 2.0, 0.0)[..., None]) * (1 - ring) + ring * (0.34 * (1 - 0.85 * hole))
