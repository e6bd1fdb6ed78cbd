"""The way a picture takes from the camera to the model: H.264, JPEG, decode to 96x96.

`decode_for_model` is the host's own path. The other resize kinds exist in training only, so that
the model does not come to depend on the details of one resampler.
"""

import io
from collections.abc import Callable
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from training.factory_line.light import Picture

# Fractional pixel positions along one axis, shape (n,).
Positions = NDArray[np.float32]

MODEL_WH: Final = (96, 96)
# What nearfield's video source encodes with, unless told otherwise.
SOURCE_JPEG_QUALITY: Final = 85


def encode_jpeg(picture: Picture, quality: int) -> bytes:
    """JPEG with 4:2:0 chroma, `quality` 1 to 100."""
    jpeg: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=quality, colorsubsampling="420")
    return jpeg


def decode_for_model(jpeg: bytes) -> Picture:
    """Decode as the host does for a guest that asks for 96x96.

    libjpeg-turbo scales in the DCT domain to the smallest size that still holds the target, then a
    bilinear resize without anti-aliasing maps corner to corner.

    Returns:
        uint8, shape (96, 96, 3), RGB.
    """
    return _align_corners(_decode_scaled(jpeg), MODEL_WH)


def decode_some_way(jpeg: bytes, rng: np.random.Generator) -> Picture:
    """Decode to 96x96 by a path drawn at random, the host's own being the likeliest."""
    if rng.uniform() < 0.55:
        return decode_for_model(jpeg)
    return _OTHER_WAYS[rng.integers(len(_OTHER_WAYS))](jpeg)


def soften_like_h264(picture: Picture, rng: np.random.Generator) -> Picture:
    """Lose detail about as a live H.264 stream does: smoothed, blocky, coarse in colour."""
    image = Image.fromarray(picture)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0, 1.0))))
    coarse = io.BytesIO()
    image.save(coarse, "JPEG", quality=int(rng.integers(28, 75)), subsampling=2)
    return np.asarray(Image.open(coarse).convert("RGB"))


def _decode_scaled(jpeg: bytes) -> Picture:
    picture: Picture = simplejpeg.decode_jpeg(jpeg, "RGB", min_width=MODEL_WH[0], min_height=MODEL_WH[1])
    return picture


def _align_corners(picture: Picture, size_wh: tuple[int, int]) -> Picture:
    height, width = picture.shape[:2]
    return _bilinear(
        picture,
        np.linspace(0, width - 1, size_wh[0], dtype=np.float32),
        np.linspace(0, height - 1, size_wh[1], dtype=np.float32),
    )


def _half_pixel(picture: Picture, size_wh: tuple[int, int]) -> Picture:
    height, width = picture.shape[:2]
    at_x = (np.arange(size_wh[0], dtype=np.float32) + 0.5) * (width / size_wh[0]) - 0.5
    at_y = (np.arange(size_wh[1], dtype=np.float32) + 0.5) * (height / size_wh[1]) - 0.5
    return _bilinear(picture, np.clip(at_x, 0, width - 1), np.clip(at_y, 0, height - 1))


def _bilinear(picture: Picture, at_x: Positions, at_y: Positions) -> Picture:
    """Sample `picture` at the columns `at_x` and the rows `at_y`, without anti-aliasing."""
    x0, y0 = at_x.astype(np.intp), at_y.astype(np.intp)
    x1 = np.minimum(x0 + 1, picture.shape[1] - 1)
    y1 = np.minimum(y0 + 1, picture.shape[0] - 1)
    share_x = (at_x - x0).astype(np.float32)[None, :, None]
    share_y = (at_y - y0).astype(np.float32)[:, None, None]
    upper = picture[y0][:, x0] * (1 - share_x) + picture[y0][:, x1] * share_x
    lower = picture[y1][:, x0] * (1 - share_x) + picture[y1][:, x1] * share_x
    blended: NDArray[np.float32] = upper * (1 - share_y) + lower * share_y
    return (blended + 0.5).astype(np.uint8)


def _full_size_align_corners(jpeg: bytes) -> Picture:
    return _align_corners(simplejpeg.decode_jpeg(jpeg, "RGB"), MODEL_WH)


def _scaled_half_pixel(jpeg: bytes) -> Picture:
    return _half_pixel(_decode_scaled(jpeg), MODEL_WH)


def decode_antialiased(jpeg: bytes) -> Picture:
    """Decode in full and resize with anti-aliasing, as Pillow does.

    Returns:
        uint8, shape (96, 96, 3), RGB.
    """
    full = Image.fromarray(simplejpeg.decode_jpeg(jpeg, "RGB"))
    return np.asarray(full.resize(MODEL_WH, Image.Resampling.BILINEAR))


_OTHER_WAYS: Final[tuple[Callable[[bytes], Picture], ...]] = (
    _full_size_align_corners,
    _scaled_half_pixel,
    decode_antialiased,
)
