"""Renders one picture of the line: belt, shadows, parts, rails, light, lens and sensor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.factory_line.belt import BeltLook, paint_belt, paint_rails
from training.factory_line.blur import box_blur, soft_blur
from training.factory_line.labels import EMPTY, PART_LABELS
from training.factory_line.light import METALS, Lamp, Picture, shade_metal, to_display
from training.factory_line.parts import PARTS, Cut
from training.factory_line.shapes import Field

PICTURE_WH: Final = (640, 360)


@dataclass(frozen=True)
class PlacedPart:
    """A part lying on the belt.

    Attributes:
        label: one of the part labels, not `empty`.
        centre_xy: in pixels of the 640x360 picture; may lie outside of it.
        radius: half of the part's span, pixels.
        angle: rotation, radians.
        metal: a key of `METALS`.
        cut: the part's proportions.
        grain_seed: of its brush marks.
    """

    label: str
    centre_xy: tuple[float, float]
    radius: float
    angle: float
    metal: str
    cut: Cut
    grain_seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator, label: str) -> "PlacedPart":
        """Draw a part that lies mostly inside the picture."""
        radius = float(rng.uniform(58, 92)) * (1.12 if label == "bolt" else 1.0)
        return cls(
            label=label,
            centre_xy=(float(rng.uniform(5, 635)), float(rng.uniform(110, 250))),
            radius=radius,
            angle=float(rng.uniform(0, 2 * math.pi)),
            metal=str(rng.choice(sorted(METALS))),
            cut=Cut.draw(rng),
            grain_seed=int(rng.integers(2**31)),
        )


@dataclass(frozen=True)
class Optics:
    """What lens and sensor do.

    Attributes:
        blur: radius of the defocus, pixels.
        motion: length of the motion blur along x, pixels.
        noise: standard deviation of the sensor's noise, display values 0 to 1.
    """

    blur: float = 0.0
    motion: float = 0.0
    noise: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Optics":
        """Draw optics from sharp and clean to soft and noisy."""
        return cls(
            blur=float(rng.choice([0.0, rng.uniform(0.0, 1.8)])),
            motion=float(rng.choice([0.0, rng.uniform(0, 7)])),
            noise=float(rng.uniform(0.0, 0.035)),
        )


@dataclass(frozen=True)
class _Sample:
    """A part sampled on the picture's grid around it; `top_left` is in samples."""

    top_left: tuple[int, int]
    coverage: Field
    colour: NDArray[np.float32]


class Line:
    """One conveyor under one lamp, ready to be photographed many times.

    Args:
        look: the conveyor.
        lamp: the light.
        seed: of the belt's texture.
        belt_length: pixels after which the belt repeats.
        scale: samples per pixel and axis; 2 gives finer edges at four times the cost.
    """

    def __init__(self, look: BeltLook, lamp: Lamp, seed: int, belt_length: int = 960, scale: int = 1) -> None:
        self._lamp = lamp
        self._scale = scale
        rng = np.random.default_rng(seed)
        tile_wh = (belt_length, PICTURE_WH[1])
        self._belt = paint_belt(look, lamp, rng, tile_wh, scale)
        rails, self._belt_light = paint_rails(look, lamp, PICTURE_WH, scale)
        self._rails = rails * np.asarray(lamp.colour, np.float32)
        self._spot = _spot(lamp, scale)

    def photograph(self, parts: Sequence[PlacedPart], travelled: float, optics: Optics, noise_seed: int) -> Picture:
        """Take one picture.

        Args:
            parts: what lies on the belt, in picture coordinates.
            travelled: how far the belt has moved to the right, pixels.
            optics: lens and sensor.
            noise_seed: of the sensor's noise.

        Returns:
            uint8, shape (360, 640, 3), RGB.
        """
        scale = self._scale
        scene = self._belt_at(travelled) * np.asarray(self._lamp.colour, np.float32)
        samples = [_sample(part, self._lamp, scale) for part in parts]
        for part, sample in zip(parts, samples, strict=True):
            self._cast_shadow(scene, part, sample)
        for sample in samples:
            _paste(scene, sample)
        scene = box_blur(scene, optics.motion * scale, axis=1)
        scene = scene * self._belt_light[..., None] + self._rails
        scene *= self._spot[..., None]
        if optics.blur > 0:
            scene = soft_blur(scene, optics.blur * scale)
        if scale > 1:
            height, width = PICTURE_WH[1], PICTURE_WH[0]
            scene = scene.reshape(height, scale, width, scale, 3).mean(axis=(1, 3))
        shown = to_display(scene)
        if optics.noise > 0:
            noise = np.random.default_rng(noise_seed).standard_normal(shown.shape, np.float32)
            shown = shown + noise * np.float32(optics.noise)
        return (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)

    def _belt_at(self, travelled: float) -> NDArray[np.float32]:
        """The stretch of belt in view, shape of the sample grid; blends between whole samples."""
        width = PICTURE_WH[0] * self._scale
        shift = -travelled * self._scale
        whole = math.floor(shift)
        part = np.float32(shift - whole)
        columns = np.arange(whole, whole + width)
        length = self._belt.shape[1]
        left = self._belt[:, columns % length]
        if part == 0:
            return left
        return left * (1 - part) + self._belt[:, (columns + 1) % length] * part

    def _cast_shadow(self, scene: NDArray[np.float32], part: PlacedPart, sample: _Sample) -> None:
        """Darken the belt beside a part: a soft cast shadow and a tight contact shadow."""
        lx, ly = self._lamp.towards_xy
        reach = 0.13 * part.radius * self._scale
        contact = soft_blur(sample.coverage, 0.05 * part.radius * self._scale)
        cast = np.roll(sample.coverage, (round(-ly * reach), round(-lx * reach)), axis=(0, 1))
        cast = soft_blur(cast, 0.075 * part.radius * self._scale)
        dark = 1 - (1 - self._lamp.shade * cast) * (1 - 0.55 * contact)
        shadow = _Sample(sample.top_left, dark, np.zeros_like(sample.colour))
        _paste(scene, shadow)


def _spot(lamp: Lamp, scale: int) -> Field:
    """Fall-off of the light towards the corners, shape of the sample grid."""
    width, height = PICTURE_WH
    y, x = np.mgrid[: height * scale, : width * scale].astype(np.float32) / np.float32(scale)
    off = np.hypot((x - width / 2) / width, (y - height / 2) / height) * math.sqrt(2)
    lx, ly = lamp.towards_xy
    lean = 0.25 * lamp.spot * (lx * (x / width - 0.5) + ly * (y / height - 0.5))
    spot: Field = (1 - lamp.spot * off**2 + lean).astype(np.float32)
    return spot


def _sample(part: PlacedPart, lamp: Lamp, scale: int) -> _Sample:
    """Rasterise and shade one part, with a margin that has room for its shadow."""
    reach = math.ceil(part.radius * 1.45) * scale
    left = math.floor(part.centre_xy[0] * scale) - reach
    top = math.floor(part.centre_xy[1] * scale) - reach
    y, x = np.mgrid[: 2 * reach, : 2 * reach].astype(np.float32) + np.float32(0.5)
    x += np.float32(left - part.centre_xy[0] * scale)
    y += np.float32(top - part.centre_xy[1] * scale)
    unit = np.float32(part.radius * scale)
    cos, sin = np.float32(math.cos(part.angle)), np.float32(math.sin(part.angle))
    u, v = (x * cos + y * sin) / unit, (y * cos - x * sin) / unit
    relief = PARTS[part.label](u, v, part.cut)

    coverage = np.clip(0.5 - relief.distance * unit, 0, 1).astype(np.float32)
    brush = np.random.default_rng(part.grain_seed).standard_normal(u.shape, np.float32)
    brush = box_blur(box_blur(brush, 9 * scale, axis=1), 2, axis=0) * 0.10
    # A flat face is not quite square to the camera: its reflection drifts across it.
    tilt_xy = (brush + 0.16 * u, brush * 0.4 + 0.16 * v)
    colour = shade_metal(relief.height * unit, relief.openness, METALS[part.metal], lamp, tilt_xy)
    return _Sample((left, top), coverage, colour)


def _paste(scene: NDArray[np.float32], sample: _Sample) -> None:
    """Lay `sample` over `scene` in place, clipped to the scene's borders."""
    left, top = sample.top_left
    height, width = sample.coverage.shape
    x0, x1 = max(left, 0), min(left + width, scene.shape[1])
    y0, y1 = max(top, 0), min(top + height, scene.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    inside = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    alpha = sample.coverage[inside][..., None]
    region = scene[y0:y1, x0:x1]
    region *= 1 - alpha
    region += sample.colour[inside] * alpha


def visible_fraction(part: PlacedPart) -> float:
    """Share of the part's area that lies inside the picture, 0 to 1."""
    reach = math.ceil(part.radius * 1.1)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    unit = np.float32(part.radius)
    cos, sin = np.float32(math.cos(part.angle)), np.float32(math.sin(part.angle))
    u, v = (x * cos + y * sin) / unit, (y * cos - x * sin) / unit
    on_part = PARTS[part.label](u, v, part.cut).distance < 0
    at_x, at_y = x + part.centre_xy[0], y + part.centre_xy[1]
    in_view = (at_x >= 0) & (at_x < PICTURE_WH[0]) & (at_y >= 0) & (at_y < PICTURE_WH[1])
    return float((on_part & in_view).sum() / on_part.sum())


def draw_picture(line: Line, rng: np.random.Generator, label: str) -> Picture:
    """Photograph a random view of `line` that shows a part of the given label, or none for `empty`.

    Returns:
        uint8, shape (360, 640, 3), RGB.
    """
    parts = _just_outside(rng) if label == EMPTY else [_mostly_visible(rng, label)]
    travelled = float(rng.uniform(0, 4000))
    return line.photograph(parts, travelled, Optics.draw(rng), int(rng.integers(2**31)))


def _mostly_visible(rng: np.random.Generator, label: str) -> PlacedPart:
    """Draw parts until one shows at least 55 % of itself (the video scores from 60 %)."""
    while True:
        part = PlacedPart.draw(rng, label)
        if visible_fraction(part) >= 0.55:
            return part


def _just_outside(rng: np.random.Generator) -> list[PlacedPart]:
    """Sometimes a part next to the picture, whose shadow may fall into the empty view."""
    if rng.uniform() < 0.7:
        return []
    part = PlacedPart.draw(rng, str(rng.choice(PART_LABELS)))
    beyond = part.radius * float(rng.uniform(1.0, 1.3))
    x = -beyond if rng.uniform() < 0.5 else PICTURE_WH[0] + beyond
    moved = replace(part, centre_xy=(x, part.centre_xy[1]))
    return [moved] if visible_fraction(moved) == 0 else []
