"""Any bytes give a picture of the wanted shape or one MediaError."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from nearfield.errors import MediaError
from nearfield.media import ImageLimits, Layout, Resampling, decode_image

ALL = frozenset({"jpeg", "png", "webp"})

# A flipped bit may declare a large picture, which is allowed, and takes long.
LIMITS = ImageLimits(max_pixels=1_000_000)

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))


# The same examples each time; and speed is measured elsewhere.
REPEATABLE = settings(derandomize=True, deadline=None)


def _pictures() -> list[bytes]:
    noise = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)
    picture, found = Image.fromarray(noise), []
    for form, kind, options in (
        (picture, "JPEG", {}),
        (picture, "JPEG", {"progressive": True}),
        (picture.convert("L"), "JPEG", {}),
        (picture.convert("CMYK"), "JPEG", {}),
        (picture, "PNG", {}),
        (picture.convert("P"), "PNG", {"transparency": 3}),
        (picture.convert("I;16"), "PNG", {}),
        (picture, "WEBP", {}),
        (picture, "WEBP", {"lossless": True}),
    ):
        file = io.BytesIO()
        form.save(file, kind, **options)
        found.append(file.getvalue())
    return found


PICTURES = _pictures()

# By number, so that a failure does not print the whole file.
PICTURE_NUMBERS = st.integers(0, len(PICTURES) - 1)


def decodes_or_refuses(data: bytes, size_wh: tuple[int, int], resampling: Resampling) -> None:
    """The invariant. Any other exception, and any warning, fails the test."""
    for exact, layout in ((False, Layout.RGB8), (True, Layout.BGR32F)):
        try:
            result = decode_image(
                data, size_wh, formats=ALL, resampling=resampling, exact=exact, layout=layout, limits=LIMITS
            )
        except MediaError:
            continue
        assert (result.shape, result.dtype) == ((size_wh[1], size_wh[0], 3), layout.dtype)


@REPEATABLE
@given(st.binary(max_size=300), SIZES, st.sampled_from(Resampling))
@example(b"\xff\xd8\xff\xd9", (1, 1), Resampling.ALIGN_CORNERS)
@example(b"\x89PNG\r\n\x1a\n" + bytes(40), (1, 1), Resampling.ALIGN_CORNERS)
@example(b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(40), (1, 1), Resampling.ALIGN_CORNERS)
def test_any_bytes_give_a_picture_or_a_media_error(
    data: bytes, size_wh: tuple[int, int], resampling: Resampling
) -> None:
    decodes_or_refuses(data, size_wh, resampling)


@REPEATABLE
@given(
    PICTURE_NUMBERS,
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    st.floats(0, 1),
    SIZES,
    st.sampled_from(Resampling),
)
def test_damaged_pictures_give_a_picture_or_a_media_error(
    number: int,
    changes: list[tuple[float, int]],
    keep: float,
    size_wh: tuple[int, int],
    resampling: Resampling,
) -> None:
    damaged = bytearray(PICTURES[number])
    for place, value in changes:
        damaged[int(place * len(damaged))] = value
    decodes_or_refuses(bytes(damaged), size_wh, resampling)
    decodes_or_refuses(bytes(damaged[: int(keep * len(damaged))]), size_wh, resampling)


@REPEATABLE
@given(
    PICTURE_NUMBERS, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20), st.sampled_from(Resampling)
)
def test_flipped_bits_give_a_picture_or_a_media_error(number: int, places: list[float], resampling: Resampling) -> None:
    damaged = bytearray(PICTURES[number])
    for place in places:
        bit = int(place * len(damaged) * 8)
        damaged[bit // 8] ^= 1 << bit % 8
    decodes_or_refuses(bytes(damaged), (9, 7), resampling)


@REPEATABLE
@given(PICTURE_NUMBERS, SIZES, st.sampled_from(Resampling))
def test_whole_pictures_are_always_decoded(number: int, size_wh: tuple[int, int], resampling: Resampling) -> None:
    assert decode_image(PICTURES[number], size_wh, formats=ALL, resampling=resampling).shape == (
        size_wh[1],
        size_wh[0],
        3,
    )
