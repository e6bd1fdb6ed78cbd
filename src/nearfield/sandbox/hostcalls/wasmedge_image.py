"""Pictures for guests: module `wasmedge_image`, both generations (their names differ, so both are offered).

Generation A (WasmEdge up to 0.12) has one function for each file format and pixel layout, B (from 0.13) takes the
layout as a parameter. f32 values are the 8-bit ones divided by 255, without gamma, in both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nearfield.errors import MediaError
from nearfield.media import Resampling, decode_image
from nearfield.sandbox.call import WARNING
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.signature import Signature

if TYPE_CHECKING:
    import numpy.typing as npt

MODULE = "wasmedge_image"

SUCCESS, FAIL = 0, 1

# Numbers of generation B's parameter `type`.
RGB8, BGR8, RGB32F, BGR32F = range(4)
_LAYOUTS = {"rgb8": RGB8, "bgr8": BGR8, "rgb32f": RGB32F, "bgr32f": BGR32F}
_CHANNELS = 3

_JPEG, _PNG = frozenset({"jpeg"}), frozenset({"png"})
_ANY = _JPEG | _PNG


def arrange(rgb: npt.NDArray[np.uint8], layout: int) -> npt.NDArray[Any]:
    """Pixels in one of the four layouts.

    Args:
        rgb: uint8, shape (height, width, 3), RGB.
        layout: `RGB8`, `BGR8`, `RGB32F` or `BGR32F`.

    Returns:
        uint8 or float32 (0.0 to 1.0), same shape, C order.
    """
    ordered = rgb[:, :, ::-1] if layout in (BGR8, BGR32F) else rgb
    if layout in (RGB32F, BGR32F):
        return np.ascontiguousarray(ordered, dtype=np.float32) / np.float32(255)
    return np.ascontiguousarray(ordered)


def size_bytes(width: int, height: int, layout: int) -> int:
    """Bytes of a picture in a layout."""
    return width * height * _CHANNELS * (4 if layout in (RGB32F, BGR32F) else 1)


def _decode_into(
    host: Host, source: tuple[int, int], size_wh: tuple[int, int], layout: int, target: int,
    formats: frozenset[str], resampling: Resampling,
) -> int:  # fmt: skip
    width, height = size_wh
    if width == 0 or height == 0:
        return FAIL
    # Before anything is decoded: a picture that does not fit into the guest is not worth the work.
    host.memory.check(target, size_bytes(width, height, layout))
    try:
        with host.timed("pictures"):
            rgb = decode_image(host.memory.read(*source), size_wh, formats=formats, resampling=resampling)
            pixels = arrange(rgb, layout)
    except MediaError as exc:
        host.call.log(WARNING, f"wasmedge_image: {exc}")
        return FAIL
    host.memory.write(target, pixels.data)
    return SUCCESS


def _generation_a(formats: frozenset[str], layout: int) -> Any:
    def load(host: Host, pointer: int, length: int, width: int, height: int, target: int) -> int:
        source = (pointer, length)
        return _decode_into(host, source, (width, height), layout, target, formats, Resampling.ALIGN_CORNERS)

    return load


def _load_b(
    host: Host, pointer: int, length: int, width: int, height: int, layout: int, target: int, limit: int
) -> int:
    # From 0.15 on the format is sniffed by all three functions; stricter guests cannot tell the difference.
    if layout not in _LAYOUTS.values() or limit < size_bytes(width, height, layout):
        return FAIL
    return _decode_into(host, (pointer, length), (width, height), layout, target, _ANY, host.resampling)


_A = tuple(
    HostImport(
        MODULE,
        f"wasmedge_image_load_{name}_to_{layout}",
        Signature.of("i32 i32 i32 i32 i32 -> i32"),
        _generation_a(formats, number),
        FAIL,
    )
    for name, formats in (("jpg", _JPEG), ("png", _PNG))
    for layout, number in _LAYOUTS.items()
)
_B = tuple(
    HostImport(MODULE, name, Signature.of("i32 " * 7 + "-> i32"), _load_b, FAIL)
    for name in ("load_jpg", "load_png", "load_image")
)

FUNCTIONS = _A + _B
