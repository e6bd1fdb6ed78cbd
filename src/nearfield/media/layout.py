"""How the pixels of a picture lie in memory. Pure."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import numpy.typing as npt

_CHANNELS = 3


class Layout(enum.Enum):
    """Order and type of a pixel's three channels: 0 to 255 in 8 bits, or 0.0 to 1.0 in single precision."""

    RGB8 = "rgb8"
    BGR8 = "bgr8"
    RGB32F = "rgb32f"
    BGR32F = "bgr32f"

    @property
    def is_float(self) -> bool:
        """Whether channels are float32."""
        return self in (Layout.RGB32F, Layout.BGR32F)

    @property
    def order(self) -> str:
        """`RGB` or `BGR`."""
        return "RGB" if self in (Layout.RGB8, Layout.RGB32F) else "BGR"

    @property
    def dtype(self) -> npt.DTypeLike:
        """numpy's type of one channel."""
        return np.float32 if self.is_float else np.uint8

    def size_bytes(self, size_wh: tuple[int, int]) -> int:
        """Bytes of a picture of this size."""
        return size_wh[0] * size_wh[1] * _CHANNELS * (4 if self.is_float else 1)

    def empty(self, size_wh: tuple[int, int]) -> npt.NDArray[Any]:
        """Room for a picture: shape (height, width, 3), C order, not initialised."""
        return np.empty((size_wh[1], size_wh[0], _CHANNELS), self.dtype)

    def over(self, room: memoryview, size_wh: tuple[int, int]) -> npt.NDArray[Any]:
        """The same, in memory that is there: writable, of exactly `size_bytes`, aligned or not."""
        return np.frombuffer(room, self.dtype).reshape(size_wh[1], size_wh[0], _CHANNELS)
