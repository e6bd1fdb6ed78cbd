"""Resizing pictures by named rules, those of the hosts that guests were written for. Pure."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.media.align_corners import align_corners, align_corners_exactly
from nearfield.media.smooth import smooth

Pixels = npt.NDArray[np.uint8]


class Resampling(enum.Enum):
    """How the pixels of the wanted size are found (docs/abi.md tells them apart with numbers).

    ALIGN_CORNERS: bilinear, the corner pixels of both sizes on each other, no anti-aliasing. WasmEdge's image module up
        to 0.14.
    SMOOTH: cubic, Mitchell's to shrink and Catmull-Rom's to enlarge, as wide as the step, so that nothing aliases.
        WasmEdge's from 0.15 on.
    """

    ALIGN_CORNERS = "align-corners"
    SMOOTH = "smooth"


def resize(image: Pixels, out: npt.NDArray[Any], resampling: Resampling, *, exact: bool = False) -> None:
    """Scale `image` into `out`, without regard to proportions. A picture of that size already is copied.

    Any thread; holds no state but small tables.

    Args:
        image: uint8, shape (height, width, 3), C order, not empty. Not modified.
        out: uint8, or float32 for 0.0 to 1.0; any height and width >= 1, 3 channels in the order of `image`, C order;
            aligned or not. Must not overlap `image`.
        resampling: the rule. With ALIGN_CORNERS, float32 values are those of 8 bits divided by 255; with SMOOTH they
            are not rounded, and lie up to some per cent outside of 0.0 to 1.0 beside hard edges.
        exact: ALIGN_CORNERS only: cut results off instead of rounding them, and compute in double precision in the
            original's order, bit by bit the same. Takes about twice as long.
    """
    if image.shape == out.shape:
        if out.dtype == np.uint8:
            out[...] = image
        else:
            np.divide(image, np.float32(255), out=out)
    elif resampling is Resampling.SMOOTH:
        smooth(image, out)
    elif exact:
        align_corners_exactly(image, out)
    else:
        align_corners(image, out)
