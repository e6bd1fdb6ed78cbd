"""Pictures from bytes: a still image, decoded within limits and scaled to what a model wants."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearfield.errors import MediaError
from nearfield.media.jpeg import decode_jpeg, jpeg_scans, jpeg_size_wh
from nearfield.media.resize import Pixels, resize_align_corners
from nearfield.media.signature import KNOWN_FORMATS, image_format, png_size_wh, webp_size_wh
from nearfield.media.still import decode_png, decode_webp, resize_smooth

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Resampling(enum.Enum):
    """How the pixels of the wanted size are found.

    ALIGN_CORNERS: bilinear at src = dst * (S - 1) / (D - 1), no anti-aliasing: WasmEdge's image module up to 0.14.1
    (Boost.GIL; which truncates results where we round to nearest).
    AREA_SMOOTH: cubic with a filter as wide as the step, anti-aliased: WasmEdge 0.15 and later (where shrinking uses
    Mitchell's cubic, a little softer).
    """

    ALIGN_CORNERS = "align-corners"
    AREA_SMOOTH = "area-smooth"


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What a still image may cost. Checked from the header, before anything is decoded.

    Attributes:
        max_bytes: size of the file.
        max_pixels: declared width times height; also the wanted size.
        max_scans: of a JPEG. Encoders write about 10 at most.
    """

    max_bytes: int = 16 * 1024**2
    max_pixels: int = 4096 * 4096
    max_scans: int = 64


DEFAULT_LIMITS = ImageLimits()

_WHERE = "image"


def decode_image(
    data: Buffer,
    size_wh: tuple[int, int],
    *,
    formats: frozenset[str] = frozenset({"jpeg"}),
    resampling: Resampling = Resampling.ALIGN_CORNERS,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Pixels:
    """Decode a still image to exactly `size_wh` pixels, without regard to its proportions.

    A large JPEG is decoded at the smallest of libjpeg's scales that is not below `size_wh`, which averages pixels
    before `resampling` picks among them. Greyscale becomes three equal channels, CMYK becomes RGB by the inverted
    convention, 16-bit samples keep their upper byte, transparency is dropped, EXIF orientation is not applied, of an
    animation the first picture counts. Any thread; holds no state but small tables.

    Args:
        data: the whole file. A damaged one is refused, not patched up.
        size_wh: wanted size in pixels, each >= 1.
        formats: which of "jpeg", "png", "webp" to accept; only these decoders ever see the bytes.
        resampling: how to scale.
        limits: what the file may cost.

    Returns:
        uint8, shape (size_wh[1], size_wh[0], 3), RGB, C order.

    Raises:
        MediaError: another format, damaged, truncated, or over a limit.
    """
    _check_wanted(size_wh, limits)
    content = _bounded(data, limits)
    kind = _accepted_format(content, formats)
    try:
        _check_declared(_declared_size_wh(content, kind), limits)
        pixels = _decode(content, kind, size_wh, limits)
        if resampling is Resampling.ALIGN_CORNERS:
            return resize_align_corners(pixels, size_wh)
        return resize_smooth(pixels, size_wh)
    except MediaError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MediaError(f"{kind} cannot be decoded: {reason}", where=_WHERE) from error


def _check_wanted(size_wh: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size_wh
    if width < 1 or height < 1 or width * height > limits.max_pixels:
        raise MediaError(
            f"wanted size: got {width}x{height}, expected 1x1 or more and at most {limits.max_pixels} pixels",
            where=_WHERE,
        )


def _bounded(data: Buffer, limits: ImageLimits) -> bytes:
    size = memoryview(data).nbytes
    if not 0 < size <= limits.max_bytes:
        raise MediaError(f"size: got {size} bytes, expected 1 to {limits.max_bytes}", where=_WHERE)
    return bytes(data)


def _accepted_format(content: bytes, formats: frozenset[str]) -> str:
    found = image_format(content)
    if found in formats and found in KNOWN_FORMATS:
        return found
    wanted = " or ".join(sorted(formats))
    got = found or f"bytes beginning {content[:4].hex(' ')}"
    raise MediaError(f"format: got {got}, expected {wanted}", where=_WHERE)


def _declared_size_wh(content: bytes, kind: str) -> tuple[int, int]:
    match kind:
        case "jpeg":
            return jpeg_size_wh(content)
        case "png":
            return png_size_wh(content)
        case _:
            return webp_size_wh(content)


def _check_declared(size_wh: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size_wh
    if width < 1 or height < 1 or width * height > limits.max_pixels:
        raise MediaError(
            f"declared size: got {width}x{height}, expected 1x1 or more and at most {limits.max_pixels} pixels",
            where=_WHERE,
        )


def _decode(content: bytes, kind: str, size_wh: tuple[int, int], limits: ImageLimits) -> Pixels:
    match kind:
        case "jpeg":
            scans = jpeg_scans(content)
            if scans > limits.max_scans:
                raise MediaError(f"jpeg scans: got {scans}, expected at most {limits.max_scans}", where=_WHERE)
            return decode_jpeg(content, size_wh)
        case "png":
            return decode_png(content)
        case _:
            return decode_webp(content)
