from __future__ import annotations

import ctypes
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfield.sandbox.written_pages import PAGE_BYTES, PageMap, page_map, written_pages

PAGES = 64


class Mapping:
    """A file mapped privately, and where."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(range(256)) * (PAGES * PAGE_BYTES // 256))
        with path.open("rb") as file:
            self.memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self._first = ctypes.c_char.from_buffer(self.memory)
        self.address = ctypes.addressof(self._first)

    def page(self, number: int) -> tuple[int, int]:
        start = self.address + number * PAGE_BYTES
        return start, start + PAGE_BYTES

    def close(self) -> None:
        del self._first
        self.memory.close()


@pytest.fixture
def mapping(tmp_path: Path) -> Iterator[Mapping]:
    made = Mapping(tmp_path / "file")
    yield made
    made.close()


class WithoutScan(PageMap):
    """As on a kernel before 6.7."""

    def _ask_kernel(self, start: int, end: int) -> None:
        raise OSError("no such request")


@pytest.fixture(params=["scan", "entries"])
def pages(request: pytest.FixtureRequest) -> Iterator[PageMap]:
    if page_map() is None:
        pytest.skip("this kernel has no /proc/self/pagemap")
    descriptor = os.open("/proc/self/pagemap", os.O_RDONLY)
    yield PageMap(descriptor) if request.param == "scan" else WithoutScan(descriptor)
    os.close(descriptor)


def test_pages_that_were_only_read_do_not_count(pages: PageMap, mapping: Mapping) -> None:
    assert mapping.memory[::PAGE_BYTES].count(0) == PAGES
    assert pages.written(mapping.address, PAGES * PAGE_BYTES) == ()


def test_every_written_page_counts(pages: PageMap, mapping: Mapping) -> None:
    for number in (3, 4, 60):
        mapping.memory[number * PAGE_BYTES + 7] = 1
    found = pages.written(mapping.address, PAGES * PAGE_BYTES)
    assert found is not None
    covered = {
        page
        for start, end in found
        for page in range((start - mapping.address) // PAGE_BYTES, (end - mapping.address) // PAGE_BYTES)
    }
    assert covered == {3, 4, 60}


def test_a_write_of_what_was_there_counts_too(pages: PageMap, mapping: Mapping) -> None:
    mapping.memory[0] = mapping.memory[0]
    assert pages.written(mapping.address, PAGE_BYTES) == (mapping.page(0),)


def test_spans_are_cut_to_the_range(pages: PageMap, mapping: Mapping) -> None:
    mapping.memory[5 * PAGE_BYTES] = 1
    first, last = mapping.page(5)
    assert pages.written(first + 10, 20) == ((first + 10, first + 30),)
    assert pages.written(first - 1, 2) == ((first, first + 1),)
    assert pages.written(last, 1) == ()
    assert pages.written(first, 0) == ()


def test_more_written_places_than_are_kept_are_unknown_or_all_told(pages: PageMap, tmp_path: Path) -> None:
    size = 600 * PAGE_BYTES
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE) as memory:
        for number in range(0, 600, 2):
            memory[number * PAGE_BYTES] = 1
        first = ctypes.c_char.from_buffer(memory)
        found = pages.written(ctypes.addressof(first), size)
        del first
    assert found is None or len(found) == 300


def test_a_descriptor_that_is_no_page_map_says_nothing(tmp_path: Path, mapping: Mapping) -> None:
    (tmp_path / "empty").touch()
    descriptor = os.open(tmp_path / "empty", os.O_RDONLY)
    assert PageMap(descriptor).written(mapping.address, PAGE_BYTES) is None
    os.close(descriptor)
    assert PageMap(descriptor).written(mapping.address, PAGE_BYTES) is None


@pytest.mark.parametrize(
    ("bits", "counts"),
    [
        ((), False),
        ((61,), False),
        ((63, 61), False),
        ((63,), True),
        ((62,), True),
        ((62, 61), True),
        ((63, 55, 56), True),
        ((63, 61, 55, 56), False),
    ],
)
def test_entries_are_read_as_the_kernel_documents_them(bits: tuple[int, ...], counts: bool) -> None:
    entry = struct.pack("=Q", sum(1 << bit for bit in bits))
    assert bool(list(written_pages(entry, 0x5000))) is counts
