"""JPEG through libjpeg-turbo. The only file that imports `simplejpeg`."""

from __future__ import annotations

import re
from typing import cast

import numpy as np
import simplejpeg

from nearfield.media.resize import Pixels
from nearfield.media.signature import START_OF_SCAN, is_one_scan

# Some webcams pad the picture's data before the end marker; every pixel is there. All other warnings of libjpeg mean
# that pixels were made up: "premature end", "corrupt data", "bad Huffman code".
_HARMLESS_WARNING = re.compile(r"extraneous bytes before marker 0xd9")


def jpeg_size_wh(content: bytes) -> tuple[int, int]:
    """Width and height from the header; nothing is decoded.

    Raises:
        ValueError: no JPEG header that libjpeg-turbo reads.
    """
    height, width, _, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    return int(width), int(height)


def jpeg_scans(content: bytes) -> int:
    """At most so many scans. Each costs a pass over all pixels, and a progressive file may declare thousands."""
    return 1 if is_one_scan(content) else content.count(START_OF_SCAN)


def decode_jpeg(content: bytes, size_wh: tuple[int, int], least_wh: tuple[int, int], order: str = "RGB") -> Pixels:
    """Decode at an eighth, a quarter or half of its size as long as that is not below `least_wh`, or at full size.

    libjpeg-turbo has fast code for these; its scales between them take longer than the full size.

    Grey becomes three equal channels. CMYK becomes RGB as if it was stored inverted, as Adobe does and everyone after.
    The orientation that EXIF may ask for is left to the reader.

    Args:
        size_wh: its own size, as `jpeg_size_wh` gives it.
        order: of the channels, `RGB` or `BGR`.

    Returns:
        uint8, shape (height, width, 3), C order.

    Raises:
        ValueError: no JPEG, a damaged one, or one of a kind that libjpeg-turbo does not decode.
    """
    width, height = _scaled_wh(size_wh, least_wh)
    try:
        return cast(Pixels, simplejpeg.decode_jpeg(content, order, min_width=width, min_height=height))
    except ValueError as error:
        if not _HARMLESS_WARNING.search(str(error)):
            raise
        return cast(Pixels, simplejpeg.decode_jpeg(content, order, min_width=width, min_height=height, strict=False))


def _scaled_wh(size_wh: tuple[int, int], least_wh: tuple[int, int]) -> tuple[int, int]:
    """What libjpeg makes of the size at the scale to decode at."""
    for divisor in (8, 4, 2):
        width, height = (-(-side // divisor) for side in size_wh)
        if width >= least_wh[0] and height >= least_wh[1]:
            return width, height
    return size_wh


def encode_jpeg(rgb: Pixels, quality: int = 80) -> bytes:
    """A JFIF file with 4:2:0 colour.

    Args:
        rgb: uint8, shape (height, width, 3), RGB, not empty; copied when not in C order.
        quality: 1 to 100.

    Raises:
        ValueError: another shape, type or quality.
    """
    check_quality(quality)
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.size == 0:
        raise ValueError(f"rgb: got shape {rgb.shape} {rgb.dtype}, expected (height, width, 3) uint8")
    return cast(bytes, simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, "RGB", "420"))


def encode_jpeg_planes(luma: Pixels, blue: Pixels, red: Pixels, quality: int) -> bytes:
    """A JFIF file from the planes that it stores anyway: BT.601, full range (0-255), 4:2:0.

    Args:
        luma: uint8, shape (height, width).
        blue: uint8, shape (ceil(height / 2), ceil(width / 2)); likewise `red`.
        quality: 1 to 100.

    Raises:
        ValueError: another shape or quality.
    """
    check_quality(quality)
    return cast(bytes, simplejpeg.encode_jpeg_yuv_planes(luma, blue, red, quality))


def check_quality(quality: int) -> None:
    """Raise ValueError unless `quality` is 1 to 100."""
    if not 1 <= quality <= 100:
        raise ValueError(f"quality: got {quality}, expected 1 to 100")
