"""Resizing by both rules, against the published formulas one value at a time in plain Python."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from nearfield.media import Layout, Resampling
from nearfield.media.resize import Pixels, resize

SIZES = [
    ((64, 36), (24, 24)),
    ((13, 7), (29, 31)),
    ((5, 40), (40, 5)),
    ((40, 30), (40, 11)),
    ((40, 30), (13, 30)),
    ((1, 1), (4, 3)),
    ((1, 9), (3, 3)),
    ((9, 1), (3, 3)),
    ((9, 9), (1, 1)),
    ((9, 9), (9, 1)),
    ((2, 2), (3, 3)),
    ((3, 300), (2, 3)),
    ((7, 5), (6, 71)),
    ((6, 5), (150, 2)),
]
sizes = pytest.mark.parametrize(("source_wh", "target_wh"), SIZES)
LAYOUTS = [Layout.RGB8, Layout.RGB32F]

Value = Callable[[Pixels, int, int, int, tuple[int, int]], float]


def noise(size_wh: tuple[int, int], seed: int = 7) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (size_wh[1], size_wh[0], 3), dtype=np.uint8)


def resized(
    image: Pixels, size_wh: tuple[int, int], rule: Resampling, *, exact: bool = False, layout: Layout = Layout.RGB8
) -> npt.NDArray[Any]:
    out = layout.empty(size_wh)
    out.fill(77)
    resize(image, out, rule, exact=exact)
    return out


def expected(value: Value, image: Pixels, size_wh: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The value of each pixel and channel, one by one."""
    width, height = size_wh
    return np.array(
        [[[value(image, x, y, c, size_wh) for c in range(3)] for x in range(width)] for y in range(height)], np.float64
    )


def aligned_value(image: Pixels, x: int, y: int, channel: int, size_wh: tuple[int, int]) -> float:
    """abis.md 3C: bilinear at src = dst * (S - 1) / (D - 1), not rounded."""
    height, width = image.shape[:2]
    source_x = x * (width - 1) / (size_wh[0] - 1) if size_wh[0] > 1 else 0.0
    source_y = y * (height - 1) / (size_wh[1] - 1) if size_wh[1] > 1 else 0.0
    left, top = math.floor(source_x), math.floor(source_y)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    across, down = source_x - left, source_y - top
    above = float(image[top, left, channel]) * (1 - across) + float(image[top, right, channel]) * across
    below = float(image[bottom, left, channel]) * (1 - across) + float(image[bottom, right, channel]) * across
    return above * (1 - down) + below * down


@functools.cache
def gil_taps(place: int, source: int, target: int) -> list[tuple[int, float]]:
    """Source positions and weights along one axis: Boost.GIL's scaling about the middles of both pictures."""
    width, wanted = max(source - 1, 1) * 1.0, max(target - 1, 1) * 1.0
    factor = width / wanted
    offset = -wanted / 2.0 * factor + width / 2.0
    position = factor * place + offset
    lower = math.floor(position)
    fraction = position - lower
    if lower == -1:
        return [(0, 1.0)]
    if lower + 1 < source:
        return [(lower, 1.0 - fraction), (lower + 1, fraction)]
    return [(source - 1, 1.0)]


def gil_value(image: Pixels, x: int, y: int, channel: int, size_wh: tuple[int, int]) -> float:
    """Sums in the order of its bilinear sampler, then what a C++ cast to an 8-bit integer leaves."""
    result = 0.0
    for row, down in gil_taps(y, image.shape[0], size_wh[1]):
        for column, across in gil_taps(x, image.shape[1], size_wh[0]):
            result += float(image[row, column, channel]) * (across * down)
    return int(result)


def mitchell(x: float) -> float:
    """Mitchell and Netravali's cubic with B = C = 1/3, in the form that textbooks print."""
    x = abs(x)
    if x < 1:
        return (7 * x**3 - 12 * x**2 + 16 / 3) / 6
    return (-7 / 3 * x**3 + 12 * x**2 - 20 * x + 32 / 3) / 6 if x < 2 else 0.0


def catmull_rom(x: float) -> float:
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


@functools.cache
def cubic_taps(place: int, source: int, target: int) -> list[tuple[int, float]]:
    """Pixels are points at halves; shrinking widens Mitchell's cubic, enlarging interpolates; edges go on."""
    if source == target:
        return [(place, 1.0)]
    scale = target / source
    centre = (place + 0.5) / scale
    kernel, narrowing = (catmull_rom, 1.0) if scale > 1 else (mitchell, scale)
    reach = math.ceil(2 / narrowing) + 2
    taps = [
        (min(max(each, 0), source - 1), kernel((each + 0.5 - centre) * narrowing))
        for each in range(math.floor(centre) - reach, math.floor(centre) + reach + 1)
    ]
    total = sum(weight for _, weight in taps)
    return [(each, weight / total) for each, weight in taps if weight]


def cubic_value(image: Pixels, x: int, y: int, channel: int, size_wh: tuple[int, int]) -> float:
    columns = cubic_taps(x, image.shape[1], size_wh[0])
    return sum(
        down * sum(across * float(image[row, column, channel]) for column, across in columns)
        for row, down in cubic_taps(y, image.shape[0], size_wh[1])
    )


@sizes
def test_aligned_values_are_the_nearest_integers_to_the_formula(
    source_wh: tuple[int, int], target_wh: tuple[int, int]
) -> None:
    image = noise(source_wh)
    result = resized(image, target_wh, Resampling.ALIGN_CORNERS)
    # 0.501: single precision may tip an exact half either way.
    assert np.abs(result - expected(aligned_value, image, target_wh)).max() <= 0.501


@sizes
def test_exact_aligned_values_are_those_of_boost_gil_bit_by_bit(
    source_wh: tuple[int, int], target_wh: tuple[int, int]
) -> None:
    image = noise(source_wh, seed=8)
    result = resized(image, target_wh, Resampling.ALIGN_CORNERS, exact=True)
    assert (result == expected(gil_value, image, target_wh)).all()


@pytest.mark.parametrize("exact", [False, True])
@sizes
def test_aligned_float_values_are_the_8_bit_ones_divided_by_255(
    source_wh: tuple[int, int], target_wh: tuple[int, int], exact: bool
) -> None:
    image = noise(source_wh)
    bits = resized(image, target_wh, Resampling.ALIGN_CORNERS, exact=exact)
    floats = resized(image, target_wh, Resampling.ALIGN_CORNERS, exact=exact, layout=Layout.RGB32F)
    assert floats.dtype == np.float32
    assert floats.tolist() == [[[float(np.float32(v / 255.0)) for v in p] for p in row] for row in bits.tolist()]


@sizes
def test_smooth_values_are_the_nearest_integers_to_the_formula(
    source_wh: tuple[int, int], target_wh: tuple[int, int]
) -> None:
    image = noise(source_wh)
    result = resized(image, target_wh, Resampling.SMOOTH)
    assert np.abs(result - expected(cubic_value, image, target_wh).clip(0, 255)).max() <= 0.501


@sizes
def test_smooth_float_values_are_the_formula_itself(source_wh: tuple[int, int], target_wh: tuple[int, int]) -> None:
    image = noise(source_wh)
    result = resized(image, target_wh, Resampling.SMOOTH, layout=Layout.RGB32F)
    np.testing.assert_allclose(result, expected(cubic_value, image, target_wh) / 255, atol=2e-6)


def test_what_is_truncated_and_what_is_rounded_differ_by_less_than_one() -> None:
    image = noise((40, 30))
    exact = resized(image, (17, 19), Resampling.ALIGN_CORNERS, exact=True).astype(int)
    rounded = resized(image, (17, 19), Resampling.ALIGN_CORNERS).astype(int)
    assert set(np.unique(rounded - exact)) == {0, 1}


def test_corners_keep_their_values() -> None:
    image = noise((17, 31))
    result = resized(image, (5, 7), Resampling.ALIGN_CORNERS)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        assert result[row, column].tolist() == image[row, column].tolist()


@pytest.mark.parametrize("rule", Resampling)
@pytest.mark.parametrize("exact", [False, True])
def test_one_colour_stays_that_colour(rule: Resampling, exact: bool) -> None:
    image = np.full((50, 70, 3), 199, np.uint8)
    result = resized(image, (31, 120), rule, exact=exact).astype(int)
    # Weights that add up to a little less than 1 cost the truncating original a whole step.
    assert np.abs(result - 199).max() <= (1 if exact else 0)


def test_halves_are_rounded_up() -> None:
    image = np.array([[[0, 1, 255], [1, 2, 254]]], np.uint8)
    assert resized(image, (3, 1), Resampling.ALIGN_CORNERS)[0, 1].tolist() == [1, 2, 255]
    assert resized(image, (3, 1), Resampling.ALIGN_CORNERS, exact=True)[0, 1].tolist() == [0, 1, 254]


def test_values_beyond_black_and_white_are_cut_in_8_bits_and_kept_in_floats() -> None:
    image = np.zeros((1, 8, 3), np.uint8)
    image[:, 4:] = 255
    floats = resized(image, (21, 1), Resampling.SMOOTH, layout=Layout.RGB32F)
    assert -0.1 < floats.min() < -0.01 < 1.01 < floats.max() < 1.1
    bits = resized(image, (21, 1), Resampling.SMOOTH)
    assert (bits[floats < 0] == 0).all()
    assert (bits[floats > 1] == 255).all()


@pytest.mark.parametrize("rule", Resampling)
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_picture_of_the_right_size_keeps_its_values(rule: Resampling, exact: bool, layout: Layout) -> None:
    image = noise((6, 4))
    result = resized(image, (6, 4), rule, exact=exact, layout=layout)
    assert (result == (image / np.float32(255) if layout.is_float else image)).all()


@pytest.mark.parametrize("rule", Resampling)
@pytest.mark.parametrize("exact", [False, True])
def test_the_source_is_left_alone_and_read_only_sources_work(rule: Resampling, exact: bool) -> None:
    image = noise((8, 8))
    before = image.copy()
    image.setflags(write=False)
    resized(image, (5, 5), rule, exact=exact)
    assert (image == before).all()


@pytest.mark.parametrize("rule", Resampling)
@pytest.mark.parametrize("exact", [False, True])
def test_floats_are_written_at_odd_addresses_too(rule: Resampling, exact: bool) -> None:
    room = bytearray(1 + Layout.RGB32F.size_bytes((5, 7)) + 1)
    out = Layout.RGB32F.over(memoryview(room)[1:-1], (5, 7))
    assert not out.flags.aligned
    resize(noise((9, 9)), out, rule, exact=exact)
    assert (out == resized(noise((9, 9)), (5, 7), rule, exact=exact, layout=Layout.RGB32F)).all()
    assert (room[0], room[-1]) == (0, 0)


def test_tables_of_long_pictures_give_the_same_as_kept_ones() -> None:
    image = noise((3000, 2))
    result = resized(image, (31, 2), Resampling.SMOOTH)
    assert np.abs(result - expected(cubic_value, image, (31, 2)).clip(0, 255)).max() <= 0.501
