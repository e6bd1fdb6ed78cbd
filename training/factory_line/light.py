"""The lamps above the belt and how metal answers them.

Colours are linear RGB, 1.0 being a white surface in full light; `to_display` makes them sRGB-like.
"""

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from training.factory_line.shapes import Field

Picture = NDArray[np.uint8]
Rgb = tuple[float, float, float]

METALS: Final = MappingProxyType(
    {
        "steel": (0.60, 0.61, 0.63),
        "zinc": (0.66, 0.70, 0.76),
        "brass": (0.86, 0.64, 0.27),
        "copper": (0.86, 0.50, 0.34),
        "black oxide": (0.14, 0.145, 0.16),
        "yellow zinc": (0.80, 0.70, 0.42),
    }
)


@dataclass(frozen=True)
class Lamp:
    """One line lamp over the belt and the hall around it.

    Attributes:
        azimuth: direction the light comes from, radians, 0 along +x, growing towards +y (down).
        strength: brightness of the scene, 1.0 being well exposed.
        warmth: -1 (bluish) to 1 (yellowish).
        spot: how much darker the picture's corners are than its middle, 0 to 1.
        shade: depth of the shadows, 0 to 1.
    """

    azimuth: float
    strength: float
    warmth: float
    spot: float
    shade: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Lamp":
        """Draw a lamp at random."""
        return cls(
            azimuth=float(rng.uniform(0, 2 * math.pi)),
            strength=float(rng.uniform(0.55, 1.35)),
            warmth=float(rng.uniform(-1, 1)),
            spot=float(rng.uniform(0, 0.55)),
            shade=float(rng.uniform(0.3, 0.85)),
        )

    @property
    def towards_xy(self) -> tuple[float, float]:
        """Unit vector in the picture plane that points to the lamp."""
        return math.cos(self.azimuth), math.sin(self.azimuth)

    @property
    def colour(self) -> Rgb:
        """Colour of the light, scaled by its strength."""
        warm = 0.09 * self.warmth
        return self.strength * (1 + warm), self.strength, self.strength * (1 - 1.3 * warm)


def reflected_hall(lamp: Lamp, x: Field, y: Field) -> Field:
    """Brightness of the hall seen by a mirror whose reflection vector has the components `x`, `y`.

    The hall has a long softbox at the lamp's side, a weaker strip opposite and a dim ceiling, which
    gives turned and bevelled metal the bands that make it read as metal.
    """
    lx, ly = lamp.towards_xy
    along = x * np.float32(lx) + y * np.float32(ly)
    beside = y * np.float32(lx) - x * np.float32(ly)
    softbox = np.exp(-(((along - 0.42) / 0.20) ** 2) - (beside / 0.75) ** 2)
    strip = np.exp(-(((along + 0.62) / 0.13) ** 2) - (beside / 0.6) ** 2)
    lean = np.clip(along, -1, 1)
    horizon = np.clip(1.15 - np.hypot(x, y), 0.1, 1)
    hall = (0.42 + 0.22 * lean) * horizon + 1.5 * softbox + 0.55 * strip
    return hall.astype(np.float32)


def shade_metal(
    height: Field, openness: Field, metal: Rgb, lamp: Lamp, tilt_xy: tuple[Field, Field]
) -> NDArray[np.float32]:
    """Colour of a metal surface seen from straight above.

    Args:
        height: surface in pixels of its own grid, shape (height, width).
        openness: same shape, 1 for open surface and towards 0 in cavities.
        metal: the metal's colour.
        lamp: the light.
        tilt_xy: small extra slopes (brush marks, perspective), same shape.

    Returns:
        Linear RGB, shape (height, width, 3).
    """
    slope_y, slope_x = np.gradient(height)
    nx, ny = tilt_xy[0] - slope_x, tilt_xy[1] - slope_y
    nz = 1 / np.sqrt(nx * nx + ny * ny + 1)
    nx, ny = nx * nz, ny * nz
    mirror = reflected_hall(lamp, 2 * nz * nx, 2 * nz * ny)
    lx, ly = lamp.towards_xy
    matt = np.clip(0.55 * (nx * np.float32(lx) + ny * np.float32(ly)) + 0.75 * nz, 0, None)
    seen = (0.95 * mirror + 0.28 * matt) * openness
    # The brightest reflections wash out towards white, whatever the metal.
    wash = np.clip(mirror - 1.1, 0, 1) * 0.35 * openness
    lit: NDArray[np.float32] = seen[..., None] * np.asarray(metal, np.float32) + wash[..., None]
    return lit * np.asarray(lamp.colour, np.float32)


# 4096 steps over 0 to 4: finer than one step of the 8-bit picture except in the deepest shadow.
_DISPLAY_STEPS: Final = 4096
_BRIGHTEST: Final = 4.0


def _display_table() -> NDArray[np.float32]:
    linear = np.linspace(0, _BRIGHTEST, _DISPLAY_STEPS)
    rolled = np.where(linear > 0.7, 1 - 0.3 * np.exp(-(linear - 0.7) / 0.3), linear)
    return np.power(rolled, 1 / 2.2).astype(np.float32)


_DISPLAY: Final = _display_table()


def to_display(linear: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear light to display values 0 to 1; highlights roll off instead of clipping."""
    at: NDArray[np.float32] = np.clip(linear, 0, _BRIGHTEST) * np.float32((_DISPLAY_STEPS - 1) / _BRIGHTEST)
    below = at.astype(np.int32)
    above = np.minimum(below + 1, _DISPLAY_STEPS - 1)
    share = at - below
    return _DISPLAY[below] * (1 - share) + _DISPLAY[above] * share
