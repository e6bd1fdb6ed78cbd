"""From options to models."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.cli.model_options import ModelOptions, model_sources
from nearfield.errors import ConfigError, UsageError
from nearfield.inference import BatchSettings, Device, ModelSource

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("a.tflite", "b=c.tflite", "labels.txt"):
        (tmp_path / name).touch()
    return tmp_path


def test_model_without_a_name_is_the_default_one(files: Path) -> None:
    given = ModelOptions((f"{files}/b=c.tflite",), labels=(f"{files}/labels.txt",), threads=("2",))
    assert model_sources(given) == {"default": ModelSource(files / "b=c.tflite", files / "labels.txt", 2)}


def test_models_keep_their_names_and_order(files: Path) -> None:
    sources = model_sources(ModelOptions((f"one={files}/a.tflite", f"two={files}/b=c.tflite"), threads=("two=4",)))
    assert list(sources) == ["one", "two"]
    assert (sources["one"].threads, sources["two"].threads) == (1, 4)


def test_every_option_reaches_its_model(files: Path) -> None:
    given = ModelOptions(
        models=(f"one={files}/a.tflite",),
        sha256=(f"one={DIGEST}",),
        backend=("one=litert",),
        device=("one=auto",),
        batch=("one=16:500us",),
    )
    assert model_sources(given) == {
        "one": ModelSource(
            files / "a.tflite", None, 1, DIGEST, "litert", Device.AUTO, BatchSettings(max_frames=16, wait_s=0.0005)
        )
    }


def test_a_batch_without_a_time_waits_two_milliseconds(files: Path) -> None:
    sources = model_sources(ModelOptions((f"{files}/a.tflite",), batch=("8",)))
    assert sources["default"].batch == BatchSettings(8, 0.002)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"labels": ("x=/l",)}, r"^--labels: no model `x`; given: `one`$"),
        ({"labels": ("/l",)}, r"^--labels: no model `default`; given: `one`$"),
        ({"threads": ("one=0",)}, r"^--threads: got `0`, expected 1 to 256$"),
        ({"threads": ("one=many",)}, r"^--threads: got `many`, expected"),
        ({"threads": ("one=1", "one=2")}, r"^--threads: `one` is given twice$"),
        ({"device": ("one=gpu",)}, r"^--device: got `gpu`, expected one of cpu, cuda, auto$"),
        ({"device": ("cpu",)}, r"^--device: no model `default`; given: `one`$"),
        ({"batch": ("one=0",)}, r"^--batch: got `0`, expected 1 to 256$"),
        ({"batch": ("one=8:soon",)}, r"^--batch: got `soon`, expected a duration"),
        ({"sha256": ("two=00",)}, r"^--sha256: no model `two`; given: `one`$"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    files: Path, given: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        model_sources(ModelOptions((f"one={files}/a.tflite",), **given))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"backend": ("one=torch",)}, r"^model `one`: backend: got `torch`, expected one of `litert`, `onnxruntime`, "),
        ({"sha256": ("one=00",)}, r"^model `one`: sha256: got `00`, expected 64 hexadecimal digits$"),
    ],
)
def test_what_no_model_can_have_is_refused(files: Path, given: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_sources(ModelOptions((f"one={files}/a.tflite",), **given))


def test_missing_file_is_named(files: Path) -> None:
    with pytest.raises(ConfigError, match=r"^model `one`: cannot read `.*/none`: no such file$"):
        model_sources(ModelOptions((f"one={files}/none",)))
