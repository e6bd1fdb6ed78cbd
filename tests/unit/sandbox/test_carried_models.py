from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nearfield.inference.contract import Device, Encoding
from nearfield.sandbox.carried_models import MOST_KNOWN, CarriedModels
from nearfield.sandbox.memory import GuestMemory, OutOfBounds
from nearfield.sandbox.written_pages import PAGE_BYTES, PageMap, page_map

PLACE = (Encoding.TENSORFLOWLITE, Device.CPU)
MODEL_AT, MODEL_BYTES = 100, 3 * PAGE_BYTES
REGION = [(MODEL_AT, MODEL_BYTES)]
GRAPH: Any = object()


class Instance(GuestMemory):
    """Memory as a fresh instance has it: an image, mapped copy-on-write."""

    def __init__(self, image: Path) -> None:
        with image.open("rb") as file:
            self.mapped = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._first = ctypes.c_char.from_buffer(self.mapped)
        self.compared: list[tuple[int, int]] = []

    def locate(self) -> tuple[int, int]:
        return ctypes.addressof(self._first), len(self.mapped)

    def holds(self, pointer: int, content: bytes) -> bool:
        self.compared.append((pointer, len(content)))
        return super().holds(pointer, content)

    def model(self) -> bytes:
        return self.read(MODEL_AT, MODEL_BYTES)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(bytes(number * 7 % 251 for number in range(8 * PAGE_BYTES)))
    return path


@pytest.fixture
def known(image: Path) -> Iterator[CarriedModels]:
    """Models, with one remembered that an instance had in its memory."""
    if page_map() is None:
        pytest.skip("this kernel has no /proc/self/pagemap")
    models, instance = CarriedModels(), Instance(image)
    models.remember(instance, REGION, *PLACE, GRAPH, (instance.model(),))
    yield models


def test_a_fresh_instance_has_the_model_without_being_read(known: CarriedModels, image: Path) -> None:
    instance = Instance(image)
    assert known.find(instance, REGION, *PLACE) is GRAPH
    assert instance.compared == []


def test_only_pages_that_were_written_to_are_compared(known: CarriedModels, image: Path) -> None:
    instance = Instance(image)
    instance.mapped[0] = 1  # the page on which the model begins
    assert known.find(instance, REGION, *PLACE) is GRAPH
    assert instance.compared == [(MODEL_AT, PAGE_BYTES - MODEL_AT)]


@pytest.mark.parametrize("at", [MODEL_AT, MODEL_AT + PAGE_BYTES, MODEL_AT + MODEL_BYTES - 1])
def test_one_changed_byte_is_another_model(known: CarriedModels, image: Path, at: int) -> None:
    instance = Instance(image)
    instance.mapped[at] ^= 1
    assert known.find(instance, REGION, *PLACE) is None


def test_a_byte_beside_the_model_does_not_matter(known: CarriedModels, image: Path) -> None:
    instance = Instance(image)
    instance.mapped[MODEL_AT - 1] ^= 1
    instance.mapped[MODEL_AT + MODEL_BYTES] ^= 1
    assert known.find(instance, REGION, *PLACE) is GRAPH


def test_a_model_that_was_written_at_first_is_not_taken_for_the_image(image: Path) -> None:
    models, first = CarriedModels(), Instance(image)
    first.mapped[MODEL_AT + PAGE_BYTES] ^= 1
    models.remember(first, REGION, *PLACE, GRAPH, (first.model(),))
    assert models.find(first, REGION, *PLACE) is GRAPH
    # This one never wrote there: it has the image's own byte.
    assert models.find(Instance(image), REGION, *PLACE) is None


def test_other_places_encodings_and_devices_are_others(known: CarriedModels, image: Path) -> None:
    instance = Instance(image)
    assert known.find(instance, [(MODEL_AT + 1, MODEL_BYTES)], *PLACE) is None
    assert known.find(instance, [(MODEL_AT, MODEL_BYTES - 1)], *PLACE) is None
    assert known.find(instance, REGION * 2, *PLACE) is None
    assert known.find(instance, REGION, Encoding.AUTODETECT, Device.CPU) is None
    assert known.find(instance, REGION, Encoding.TENSORFLOWLITE, Device.AUTO) is None


def test_a_memory_that_is_too_small_is_out_of_bounds(known: CarriedModels, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.write_bytes(bytes(PAGE_BYTES))
    with pytest.raises(OutOfBounds):
        known.find(Instance(small), REGION, *PLACE)


def test_the_oldest_are_forgotten(image: Path) -> None:
    models, instance = CarriedModels(), Instance(image)
    for length in range(1, MOST_KNOWN + 2):
        models.remember(instance, [(0, length)], *PLACE, GRAPH, (instance.read(0, length),))
    assert models.find(instance, [(0, 1)], *PLACE) is None
    assert models.find(instance, [(0, 2)], *PLACE) is GRAPH


def test_without_the_kernels_word_nothing_is_known(image: Path) -> None:
    with Path("/dev/null").open("rb") as nothing:
        models, instance = CarriedModels(PageMap(nothing.fileno())), Instance(image)
        models.remember(instance, REGION, *PLACE, GRAPH, (instance.model(),))
        assert models.find(instance, REGION, *PLACE) is None
