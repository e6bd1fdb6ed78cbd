"""Bilinear resizing with aligned corners, against the formula one pixel at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nearfield.media.resize import Pixels, resize_align_corners


def one_pixel(image: Pixels, x: int, y: int, size_wh: tuple[int, int]) -> list[float]:
    """The exact value at (x, y): written from the definition, without vectors, and not rounded."""
    height, width = image.shape[:2]
    source_x = x * (width - 1) / (size_wh[0] - 1) if size_wh[0] > 1 else 0.0
    source_y = y * (height - 1) / (size_wh[1] - 1) if size_wh[1] > 1 else 0.0
    left, top = math.floor(source_x), math.floor(source_y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    across, down = source_x - left, source_y - top
    result = []
    for channel in range(image.shape[2]):
        above = float(image[top, left, channel]) * (1 - across) + float(image[top, right, channel]) * across
        below = float(image[bottom, left, channel]) * (1 - across) + float(image[bottom, right, channel]) * across
        result.append(above * (1 - down) + below * down)
    return result


@pytest.mark.parametrize(
    ("source_wh", "target_wh"),
    [
        ((64, 36), (24, 24)),
        ((13, 7), (29, 31)),
        ((5, 40), (40, 5)),
        ((1, 1), (4, 3)),
        ((1, 9), (3, 3)),
        ((9, 1), (3, 3)),
        ((9, 9), (1, 1)),
        ((9, 9), (9, 1)),
        ((2, 2), (3, 3)),
    ],
)
def test_every_pixel_is_the_nearest_integer_to_the_exact_value(
    source_wh: tuple[int, int], target_wh: tuple[int, int]
) -> None:
    image = np.random.default_rng(7).integers(0, 256, (source_wh[1], source_wh[0], 3), dtype=np.uint8)
    result = resize_align_corners(image, target_wh)
    assert (result.shape, result.dtype) == ((target_wh[1], target_wh[0], 3), np.uint8)
    for y in range(target_wh[1]):
        for x in range(target_wh[0]):
            for got, exact in zip(result[y, x].tolist(), one_pixel(image, x, y, target_wh), strict=True):
                # 0.501: single precision may tip an exact half either way.
                assert abs(got - exact) <= 0.501


def test_corners_keep_their_values() -> None:
    image = np.random.default_rng(1).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    result = resize_align_corners(image, (7, 5))
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert result[row, column].tolist() == image[row, column].tolist()


def test_one_colour_stays_that_colour() -> None:
    image = np.full((50, 70, 3), 199, np.uint8)
    assert (resize_align_corners(image, (31, 29)) == 199).all()


def test_halves_are_rounded_up() -> None:
    image = np.array([[[0, 1, 255], [1, 2, 254]]], np.uint8)
    assert resize_align_corners(image, (3, 1))[0, 1].tolist() == [1, 2, 255]


def test_the_source_is_left_alone_and_read_only_sources_work() -> None:
    image = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    before = image.copy()
    image.setflags(write=False)
    resize_align_corners(image, (5, 5))
    assert (image == before).all()


def test_a_picture_of_the_right_size_comes_back_as_it_is() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    assert resize_align_corners(image, (6, 4)) is image
