"""The factory line's renderer; needs numpy and Pillow only."""

import numpy as np
import pytest

from training.factory_line.belt import BeltLook
from training.factory_line.labels import EMPTY, LABELS, PART_LABELS
from training.factory_line.light import Lamp
from training.factory_line.parts import PARTS, Cut
from training.factory_line.scene import (
    Line,
    Optics,
    PlacedPart,
    draw_picture,
    visible_fraction,
)


def make_line(seed: int) -> Line:
    rng = np.random.default_rng(seed)
    return Line(BeltLook.draw(rng), Lamp.draw(rng), seed)


def make_part(label: str, centre_xy: tuple[float, float] = (320.0, 180.0)) -> PlacedPart:
    return PlacedPart(label, centre_xy, 80.0, 0.4, "steel", Cut(0.5, 0.5, 1), grain_seed=1)


@pytest.fixture(scope="module")
def line() -> Line:
    return make_line(7)


def test_labels_are_empty_and_the_drawable_parts() -> None:
    assert (EMPTY, *PART_LABELS) == LABELS
    assert set(PARTS) == set(PART_LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_picture_is_640_by_360_rgb(line: Line, label: str) -> None:
    picture = draw_picture(line, np.random.default_rng(1), label)
    assert picture.shape == (360, 640, 3)
    assert picture.dtype == np.uint8


def test_same_seed_draws_the_same_picture() -> None:
    first, second = (draw_picture(make_line(3), np.random.default_rng(5), "gear") for _ in "12")
    assert np.array_equal(first, second)


def test_other_seed_draws_another_picture(line: Line) -> None:
    first, second = (draw_picture(line, np.random.default_rng(seed), "nut") for seed in (1, 2))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("label", PART_LABELS)
def test_part_stands_out_from_the_empty_belt(line: Line, label: str) -> None:
    empty = line.photograph([], 0.0, Optics(), noise_seed=0)
    shown = line.photograph([make_part(label)], 0.0, Optics(), noise_seed=0)
    changed = np.abs(shown.astype(int) - empty.astype(int)).max(axis=2) > 16
    # The smallest part, a bolt of 160 pixels, still covers some 4,000 pixels.
    assert changed.sum() > 2500
    assert not changed[:, :150].any()


def test_belt_repeats_after_its_length() -> None:
    rng = np.random.default_rng(2)
    line = Line(BeltLook.draw(rng), Lamp.draw(rng), seed=2, belt_length=700)
    start = line.photograph([], 0.0, Optics(), noise_seed=0)
    assert np.array_equal(start, line.photograph([], 700.0, Optics(), noise_seed=0))
    assert not np.array_equal(start, line.photograph([], 350.0, Optics(), noise_seed=0))


@pytest.mark.parametrize(("x", "low", "high"), [(320.0, 1.0, 1.0), (0.0, 0.3, 0.7), (-200.0, 0.0, 0.0)])
def test_visible_fraction_follows_the_part_out_of_view(x: float, low: float, high: float) -> None:
    assert low <= visible_fraction(make_part("washer", (x, 180.0))) <= high
