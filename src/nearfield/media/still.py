"""Still images that are not JPEG. The only file that imports PIL."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from nearfield.media.resize import Pixels
from nearfield.media.signature import png_pixels_only


def decode_png(content: bytes, order: str = "RGB") -> Pixels:
    """Decode a PNG of any colour type. Transparency is dropped: stored colours come back as they are.

    Args:
        order: of the channels, `RGB` or `BGR`.

    Returns:
        uint8, shape (height, width, 3), C order. 16-bit samples keep their upper byte.

    Raises:
        Exception: whatever the decoder raises for damaged data; it documents no list.
    """
    # The plugin's own class: `Image.open` would sniff, and warn about sizes that the caller has checked already.
    with PngImageFile(io.BytesIO(png_pixels_only(content))) as picture:
        return _channels(picture, order)


def decode_webp(content: bytes, order: str = "RGB") -> Pixels:
    """Decode a WebP; of an animation the first picture. Transparency is dropped.

    Args:
        order: of the channels, `RGB` or `BGR`.

    Returns:
        uint8, shape (height, width, 3), C order.

    Raises:
        Exception: whatever the decoder raises for damaged data; it documents no list.
    """
    with WebPImageFile(io.BytesIO(content)) as picture:
        return _channels(picture, order)


def _channels(picture: Image.Image, order: str) -> Pixels:
    picture.load()
    if picture.mode.startswith("I"):
        grey = (np.asarray(picture).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
    if picture.mode in ("P", "PA", "LA", "La", "RGBa"):
        # PIL warns when it drops a palette's transparency in one step.
        picture = picture.convert("RGBA")
    if picture.mode not in ("RGB", "RGBA"):
        picture = picture.convert("RGB")
    # PIL's pixels have four bytes each, whatever they mean: transparency is dropped on the way out.
    return np.frombuffer(picture.tobytes("raw", order), np.uint8).reshape(picture.height, picture.width, 3)
