"""Pictures for guests: module `wasmedge_image`, both generations (their names differ, so both are offered).

Generation A (WasmEdge up to 0.12) has one function for each file format and pixel layout, B (from 0.13) takes the
layout as a parameter. f32 values are the 8-bit ones divided by 255, without gamma, in both. Which rule makes the pixels
is the operator's choice (`PictureRules`); left open, A follows WasmEdge 0.12 and B the newest one.
"""

from __future__ import annotations

from typing import Any

from nearfield.errors import MediaError
from nearfield.media import ImageLimits, Layout, Resampling, decode_image
from nearfield.sandbox.call import WARNING
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.signature import Signature

MODULE = "wasmedge_image"

SUCCESS, FAIL = 0, 1

# Generation B's parameter `type` is the place in this row.
LAYOUTS = (Layout.RGB8, Layout.BGR8, Layout.RGB32F, Layout.BGR32F)

_JPEG, _PNG = frozenset({"jpeg"}), frozenset({"png"})

# What is told by the file's first bytes, whatever the function's name says. WebP is our addition.
_SNIFFED = _JPEG | _PNG | {"webp"}


def _decode_into(
    host: Host, source: tuple[int, int], size_wh: tuple[int, int], layout: Layout, target: int,
    formats: frozenset[str], resampling: Resampling,
) -> int:  # fmt: skip
    if 0 in size_wh:
        return FAIL
    # Before anything is decoded: a picture that does not fit into the guest is not worth the work.
    room = host.memory.room(target, layout.size_bytes(size_wh))
    content = host.memory.read(*source)
    try:
        with host.timed("pictures"):
            decode_image(
                content,
                size_wh,
                formats=formats,
                resampling=resampling,
                exact=host.pictures.exact,
                layout=layout,
                limits=_limits_of(host),
                out=layout.over(room, size_wh),
            )
    except MediaError as exc:
        host.call.log(WARNING, f"wasmedge_image: {exc}")
        return FAIL
    return SUCCESS


def _limits_of(host: Host) -> ImageLimits:
    limits = host.limits
    return ImageLimits(limits.picture_bytes, limits.picture_pixels, limits.picture_scans)


def _generation_a(formats: frozenset[str], layout: Layout) -> Any:
    def load(host: Host, pointer: int, length: int, width: int, height: int, target: int) -> int:
        resampling = host.pictures.resampling or Resampling.ALIGN_CORNERS
        return _decode_into(host, (pointer, length), (width, height), layout, target, formats, resampling)

    return load


def _generation_b(formats: frozenset[str]) -> Any:
    """A function that takes these formats by the rule of WasmEdge up to 0.14, and sniffs by that of 0.15."""

    def load(
        host: Host, pointer: int, length: int, width: int, height: int, layout: int, target: int, limit: int
    ) -> int:
        if layout >= len(LAYOUTS) or limit < LAYOUTS[layout].size_bytes((width, height)):
            return FAIL
        host.memory.check(target, limit)
        resampling = host.pictures.resampling or Resampling.SMOOTH
        taken = _SNIFFED if resampling is Resampling.SMOOTH else formats
        return _decode_into(host, (pointer, length), (width, height), LAYOUTS[layout], target, taken, resampling)

    return load


_A = tuple(
    HostImport(
        MODULE,
        f"wasmedge_image_load_{name}_to_{layout.value}",
        Signature.of("i32 i32 i32 i32 i32 -> i32"),
        _generation_a(formats, layout),
        FAIL,
    )
    for name, formats in (("jpg", _JPEG), ("png", _PNG))
    for layout in LAYOUTS
)
_B = tuple(
    HostImport(MODULE, name, Signature.of("i32 " * 7 + "-> i32"), _generation_b(formats), FAIL)
    for name, formats in (("load_jpg", _JPEG), ("load_png", _PNG), ("load_image", _SNIFFED))
)

FUNCTIONS = _A + _B
