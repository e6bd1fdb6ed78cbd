"""Pictures from bytes: a still image, decoded within limits and scaled to what a model wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from nearfield.errors import MediaError
from nearfield.media.jpeg import decode_jpeg, jpeg_scans, jpeg_size_wh
from nearfield.media.layout import Layout
from nearfield.media.resize import Pixels, Resampling, resize
from nearfield.media.signature import KNOWN_FORMATS, image_format, png_size_wh, webp_size_wh
from nearfield.media.still import decode_png, decode_webp

if TYPE_CHECKING:
    from typing_extensions import Buffer


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

# Of width and height each, declared and wanted. No camera makes more, and tables for resizing grow with it.
MAX_SIDE = 16384

# A progressive JPEG costs a pass over all its pixels for each scan. The largest picture may have as many as encoders
# write; smaller ones more.
_SCANS_OF_LARGEST = 10

_WHERE = "image"


def decode_image(
    data: Buffer,
    size_wh: tuple[int, int],
    *,
    formats: frozenset[str] = frozenset({"jpeg"}),
    resampling: Resampling = Resampling.ALIGN_CORNERS,
    exact: bool = False,
    layout: Layout = Layout.RGB8,
    limits: ImageLimits = DEFAULT_LIMITS,
    out: npt.NDArray[Any] | None = None,
) -> npt.NDArray[Any]:
    """Decode a still image to exactly `size_wh` pixels, without regard to its proportions.

    A large JPEG is decoded at half, a quarter or an eighth of its size, as long as that is not below `size_wh`, which
    averages pixels before `resampling` is applied. Greyscale becomes three equal channels, CMYK becomes RGB by the
    inverted convention, 16-bit samples keep their upper byte, transparency is dropped, EXIF orientation is not applied,
    of an animation the first picture counts. Any thread; holds no state but small tables.

    Args:
        data: the whole file. A damaged one is refused, not patched up.
        size_wh: wanted size in pixels, each 1 to `MAX_SIDE`.
        formats: which of "jpeg", "png", "webp" to accept; only these decoders ever see the bytes.
        resampling: how to scale.
        exact: decode at full size, and scale bit by bit as the original does (see `resize`).
        layout: of the result.
        limits: what the file may cost.
        out: where to put the result: shape (size_wh[1], size_wh[0], 3), of the layout's type, C order. May be memory
            that `data` lies in. Nothing is written unless all went well.

    Returns:
        `out`, or a new array like it.

    Raises:
        MediaError: another format, damaged, truncated, or over a limit.
    """
    _check_size("wanted", size_wh, limits)
    content = _bounded(data, limits)
    kind = _accepted_format(content, formats)
    try:
        _check_size("declared", _declared_size_wh(content, kind), limits)
        pixels = _decode(content, kind, layout.order, None if exact else size_wh, limits)
        result = layout.empty(size_wh) if out is None else out
        resize(pixels, result, resampling, exact=exact)
    except MediaError:
        raise
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise MediaError(f"{kind} cannot be decoded: {reason}", where=_WHERE) from error
    return result


def _check_size(what: str, size_wh: tuple[int, int], limits: ImageLimits) -> None:
    width, height = size_wh
    if min(size_wh) < 1 or max(size_wh) > MAX_SIDE or width * height > limits.max_pixels:
        raise MediaError(
            f"{what} size: got {width}x{height}, expected 1x1 or more, at most {limits.max_pixels} pixels and "
            f"{MAX_SIDE} a side",
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


def _decode(content: bytes, kind: str, order: str, least_wh: tuple[int, int] | None, limits: ImageLimits) -> Pixels:
    match kind:
        case "jpeg":
            size_wh = jpeg_size_wh(content)
            _check_scans(jpeg_scans(content), size_wh, limits)
            return decode_jpeg(content, size_wh, least_wh or size_wh, order)
        case "png":
            return decode_png(content, order)
        case _:
            return decode_webp(content, order)


def _check_scans(scans: int, size_wh: tuple[int, int], limits: ImageLimits) -> None:
    pixels = size_wh[0] * size_wh[1]
    most = min(limits.max_scans, max(1, _SCANS_OF_LARGEST * limits.max_pixels // pixels))
    if scans > most:
        raise MediaError(f"jpeg scans: got {scans}, expected at most {most} at {pixels} pixels", where=_WHERE)
