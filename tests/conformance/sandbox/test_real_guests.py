"""Guests as compilers make them, from `guests/`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from nearfield.errors import GuestFailed
from nearfield.inference import ModelSource, ModelStore
from nearfield.media import Resampling, encode_jpeg
from nearfield.sandbox import Emission, Guest, Invocation, PictureRules, inspect_guest
from tests.unit.sandbox.kit import ROOT, TESTDATA

GUESTS = ROOT / "guests"
MODEL = TESTDATA / "mobilenet_v1_0.75_192_quant.tflite"
LABELS = TESTDATA / "imagenet_labels.txt"
PICTURE = TESTDATA / "hot_dog.jpg"

HOT_DOG = 935


def guest_file(name: str) -> Path:
    path = GUESTS / name / f"{name}.wasm"
    if not path.exists():
        pytest.skip(f"guests/{name}/{name}.wasm is not built")
    return path


def needs_test_data() -> None:
    for path in (MODEL, LABELS, PICTURE):
        if not path.exists():
            pytest.skip(f"{path.name} is not at hand")


def frame(payload: bytes) -> Invocation:
    return Invocation(0x10, payload, "cam-1", 1, 0)


@pytest.mark.parametrize("instance", ["frame", "worker"])
@pytest.mark.parametrize(("name", "abi"), [("uppercase", "nearfield-v1"), ("bindgen-upper", "wasmedge-bindgen-0.4")])
def test_text_comes_back_in_upper_case(name: str, abi: str, instance: str) -> None:
    guest = Guest.load(guest_file(name), name=name, models=ModelStore({}), result_tag=0x11, instance=instance)
    assert guest.abi == abi
    for text in (b"hello", b"x" * 50_000, b"hello again"):
        assert guest.handle(frame(text)).emissions == (Emission(0x11, text.upper()),)
    guest.close()


def test_a_rust_error_is_a_failure_with_its_text() -> None:
    guest = Guest.load(guest_file("bindgen-upper"), name="upper", models=ModelStore({}), result_tag=0x11)
    with pytest.raises(GuestFailed, match="function `upper`: `infer` failed: payload: got 0 bytes"):
        guest.handle(frame(b""))
    assert guest.handle(frame(b"a")).emissions == (Emission(0x11, b"A"),)


def test_a_picture_is_recognised_with_a_model_of_the_host() -> None:
    needs_test_data()
    store = ModelStore({"food": ModelSource(MODEL, LABELS)}, probe=False)
    guest = Guest.load(guest_file("recognise"), name="recognise", models=store)
    outcome = guest.handle(frame(PICTURE.read_bytes()))
    (emission,) = outcome.emissions
    found = json.loads(emission.payload)
    assert (emission.tag, found["index"]) == (0x11, HOT_DOG)
    assert "hot dog" in found["label"]
    assert outcome.model_ns > 0
    with pytest.raises(GuestFailed, match="payload is no JPEG"):
        guest.handle(frame(b"no picture"))
    assert guest.handle(frame(PICTURE.read_bytes())).emissions == (emission,)


@pytest.mark.parametrize("label", ["", "x", "y" * 127 + "z", "y" * 128 + "z", "é" * 2000])
def test_a_label_of_any_length_reaches_the_guest_whole(label: str, tmp_path: Path) -> None:
    factory_line = ROOT / "src/nearfield/assets/factory_line"
    labels = tmp_path / "labels.txt"
    # Not the last, whose emptiness would be the end of the file.
    labels.write_text(f"{label}\n" * 6 + "last\n")
    picture = encode_jpeg(np.full((96, 96, 3), 128, np.uint8))
    store = ModelStore({"parts": ModelSource(factory_line / "parts.tflite", labels)}, probe=False)
    guest = Guest.load(guest_file("recognise"), name="recognise", models=store)
    (emission,) = guest.handle(frame(picture)).emissions
    assert json.loads(emission.payload)["label"] == label
    guest.close()


def test_a_picture_is_recognised_with_a_model_inside_the_guest_in_both_generations() -> None:
    needs_test_data()
    labels = (ROOT / "src/nearfield/assets/factory_line/labels.txt").read_text().split("\n")
    found = []
    # Left to themselves, each would scale by the rule of its own generation.
    pictures = PictureRules(Resampling.ALIGN_CORNERS)
    for name in ("bindgen-classify-a", "bindgen-classify-b"):
        guest = Guest.load(guest_file(name), name=name, models=ModelStore({}), result_tag=0x11, pictures=pictures)
        found += [guest.handle(frame(PICTURE.read_bytes())).emissions for _ in range(3)]
        guest.close()
    assert all(emissions == found[0] for emissions in found)
    result = json.loads(found[0][0].payload)
    assert result["label"] == labels[result["index"]]


@pytest.mark.parametrize("path", sorted(GUESTS.glob("*/*.wasm")), ids=lambda path: path.stem)
def test_every_guest_of_this_repository_would_run(path: Path) -> None:
    report = inspect_guest(path)
    assert report.why_not is None
    assert report.would_run
