from __future__ import annotations

import numpy as np
import pytest

from nearfield.sandbox.host import NoMemory
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.sandbox.kit import Buffer

SIZE = 64


def test_reads_what_was_written() -> None:
    memory = Buffer(SIZE)
    memory.write(3, b"hello")
    assert memory.read(3, 5) == b"hello"
    assert memory.read(0, SIZE) == b"\0\0\0hello" + bytes(SIZE - 8)


@pytest.mark.parametrize("data", [bytearray(b"abcd"), memoryview(b"abcd"), np.frombuffer(b"abcd", np.uint16)])
def test_writes_any_contiguous_buffer(data: object) -> None:
    memory = Buffer(SIZE)
    memory.write(60, data)
    assert memory.read(60, 4) == b"abcd"


@pytest.mark.parametrize(
    ("pointer", "length"),
    [(0, SIZE + 1), (SIZE, 1), (SIZE + 1, 0), (2**32 - 1, 1), (2**32 - 1, 2**32 - 1), (1, 2**32 - 1), (-1, 1), (0, -1)],
)
def test_refuses_ranges_outside(pointer: int, length: int) -> None:
    memory = Buffer(SIZE)
    with pytest.raises(OutOfBounds):
        memory.read(pointer, length)
    with pytest.raises(OutOfBounds):
        memory.check(pointer, length)
    with pytest.raises(OutOfBounds):
        memory.view(pointer, length)


@pytest.mark.parametrize(("pointer", "length"), [(0, 0), (SIZE, 0), (0, SIZE), (SIZE - 1, 1)])
def test_allows_ranges_up_to_the_last_byte(pointer: int, length: int) -> None:
    memory = Buffer(SIZE)
    memory.check(pointer, length)
    assert memory.read(pointer, length) == bytes(length)


def test_a_view_is_the_memory_itself_and_ends_with_its_block() -> None:
    memory = Buffer(SIZE)
    with memory.view(60, 4) as content:
        memory.write(60, b"abcd")
        assert (bytes(content), content.nbytes, content.readonly) == (b"abcd", 4, True)
    with pytest.raises(ValueError, match="released"):
        bytes(content)


@pytest.mark.parametrize(("pointer", "length"), [(0, 0), (SIZE, 0), (0, SIZE)])
def test_a_view_may_be_empty_or_everything(pointer: int, length: int) -> None:
    with Buffer(SIZE).view(pointer, length) as content:
        assert len(content) == length


@pytest.mark.parametrize("data", [b"12345", bytearray(b"12345")])
def test_writes_all_or_nothing(data: bytes) -> None:
    memory = Buffer(SIZE)
    with pytest.raises(OutOfBounds):
        memory.write(SIZE - 4, data)
    assert memory.read(SIZE - 4, 4) == bytes(4)


def test_integers_are_little_endian_and_wrap() -> None:
    memory = Buffer(SIZE)
    memory.write_u32(0, -1)
    memory.write_u32(4, 0x0102)
    memory.write_u64(8, 1 << 40)
    assert (memory.read_u32(0), memory.read_u32(4)) == (0xFFFF_FFFF, 0x0102)
    assert memory.read(4, 2) == b"\x02\x01"
    assert memory.read(8, 8) == (1 << 40).to_bytes(8, "little")


def test_no_memory_is_always_out_of_bounds() -> None:
    with pytest.raises(OutOfBounds):
        NoMemory().read(0, 0)
