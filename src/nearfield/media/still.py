"""Still images that are not JPEG, and anti-aliased resizing. The only file that imports PIL."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from nearfield.media.resize import Pixels
from nearfield.media.signature import png_pixels_only


def decode_png(content: bytes) -> Pixels:
    """Decode a PNG of any colour type. Transparency is dropped: stored colours come back as they are.

    Returns:
        uint8, shape (height, width, 3), RGB. 16-bit samples keep their upper byte.

    Raises:
        Exception: whatever the decoder raises for damaged data; it documents no list.
    """
    # The plugin's own class: `Image.open` would sniff, and warn about sizes that the caller has checked already.
    with PngImageFile(io.BytesIO(png_pixels_only(content))) as picture:
        return _as_rgb(picture)


def decode_webp(content: bytes) -> Pixels:
    """Decode a WebP; of an animation the first picture. Transparency is dropped.

    Returns:
        uint8, shape (height, width, 3), RGB.

    Raises:
        Exception: whatever the decoder raises for damaged data; it documents no list.
    """
    with WebPImageFile(io.BytesIO(content)) as picture:
        return _as_rgb(picture)


def resize_smooth(image: Pixels, size_wh: tuple[int, int]) -> Pixels:
    """Scale to exactly `size_wh` with a cubic filter that widens when shrinking, so that nothing aliases.

    Args:
        image: uint8, shape (height, width, 3), not empty. Not modified.
        size_wh: target in pixels, each >= 1.

    Returns:
        uint8, shape (size_wh[1], size_wh[0], 3).
    """
    if image.shape[1::-1] == size_wh:
        return image
    return np.array(Image.fromarray(image).resize(size_wh, Image.Resampling.BICUBIC))


def _as_rgb(picture: Image.Image) -> Pixels:
    picture.load()
    if picture.mode.startswith("I"):
        grey = (np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if picture.mode in ("P", "PA", "LA", "La", "RGBa"):
        # PIL warns when it drops a palette's transparency in one step.
        picture = picture.convert("RGBA")
    return cast(Pixels, np.array(picture.convert("RGB")))
