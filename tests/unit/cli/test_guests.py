"""From options to models and tags."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.cli.guests import model_sources, result_tag
from nearfield.errors import ConfigError, UsageError
from nearfield.inference import ModelSource


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a.tflite", "b=c.tflite", "labels.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_model_without_a_name_is_the_default_one(files: Path) -> None:
    sources = model_sources([f"{files}/b=c.tflite"], [f"{files}/labels.txt"], ["2"])
    assert sources == {"default": ModelSource(files / "b=c.tflite", files / "labels.txt", 2)}


def test_models_keep_their_names_and_order(files: Path) -> None:
    sources = model_sources([f"one={files}/a.tflite", f"two={files}/b=c.tflite"], [], ["two=4"])
    assert list(sources) == ["one", "two"]
    assert (sources["one"].threads, sources["two"].threads) == (1, 4)


@pytest.mark.parametrize(
    ("labels", "threads", "message"),
    [
        (["x=/l"], [], "^--labels: no model `x`; given: `one`$"),
        (["/l"], [], "^--labels: no model `default`; given: `one`$"),
        ([], ["one=0"], "^--threads: got `0`, expected 1 to 256$"),
        ([], ["one=many"], "^--threads: got `many`, expected"),
        ([], ["one=1", "one=2"], "^--threads: `one` is given twice$"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    files: Path, labels: list[str], threads: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        model_sources([f"one={files}/a.tflite"], labels, threads)


def test_missing_file_is_named(files: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model `one`: cannot read `.*/none`: no such file$"):
        model_sources([f"one={files}/none"], [], [])


@pytest.mark.parametrize(
    ("observe", "emit", "tag"),
    [
        ((16,), (), 17),
        ((16, 5), (), 17),
        ((16,), (40, 41), 40),
        ((), (), None),
        ((2**32 - 1,), (), None),
        ((0xEFFF,), (), None),
    ],
)
def test_results_without_a_tag_get_the_first_emitted_or_the_next(
    observe: tuple[int, ...], emit: tuple[int, ...], tag: int | None
) -> None:
    assert result_tag(observe, emit) == tag
