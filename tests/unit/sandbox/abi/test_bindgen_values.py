from __future__ import annotations

import struct

import pytest

from nearfield.errors import GuestFailed
from nearfield.sandbox.abi.bindgen_values import TYPES, check_value

SCALARS = [
    (1, "u8", struct.pack("<B", 255)),
    (2, "i8", struct.pack("<b", -1)),
    (3, "u16", struct.pack("<H", 65535)),
    (4, "i16", struct.pack("<h", -1)),
    (5, "u32", struct.pack("<I", 2**32 - 1)),
    (6, "i32", struct.pack("<i", -1)),
    (7, "u64", struct.pack("<Q", 2**64 - 1)),
    (8, "i64", struct.pack("<q", -1)),
    (9, "f32", struct.pack("<f", 0.5)),
    (10, "f64", struct.pack("<d", 0.5)),
    (11, "bool", b"\1"),
    (12, "char", "漢".encode("utf-32-le")),
]
ARRAYS = [
    (21, "Vec<u8>", 1),
    (22, "Vec<i8>", 1),
    (23, "Vec<u16>", 2),
    (24, "Vec<i16>", 2),
    (25, "Vec<u32>", 4),
    (26, "Vec<i32>", 4),
    (27, "Vec<u64>", 8),
    (28, "Vec<i64>", 8),
    (31, "String", 1),
]


@pytest.mark.parametrize(("kind", "name", "content"), SCALARS)
def test_a_scalar_becomes_its_bytes(kind: int, name: str, content: bytes) -> None:
    assert TYPES[kind].name == name
    assert check_value(kind, content) == content


@pytest.mark.parametrize(("kind", "name", "content"), SCALARS)
def test_a_scalar_of_another_size_is_refused(kind: int, name: str, content: bytes) -> None:
    for wrong in (b"", content + b"\0"):
        with pytest.raises(GuestFailed, match=f"got {len(wrong)} bytes for a {name}, expected {len(content)}"):
            check_value(kind, wrong)


@pytest.mark.parametrize(("kind", "name", "width"), ARRAYS)
def test_an_array_becomes_its_bytes(kind: int, name: str, width: int) -> None:
    assert TYPES[kind].name == name
    for elements in range(4):
        assert check_value(kind, b"a" * width * elements) == b"a" * width * elements


@pytest.mark.parametrize(("kind", "name", "width"), [array for array in ARRAYS if array[2] > 1])
def test_an_array_with_half_an_element_is_refused(kind: int, name: str, width: int) -> None:
    with pytest.raises(GuestFailed, match=f"bytes for a {name}, expected a multiple of {width}"):
        check_value(kind, bytes(width + 1))


@pytest.mark.parametrize(
    ("kind", "content"),
    [(11, b"\2"), (12, b"\xff\xff\xff\xff"), (12, (0xD800).to_bytes(4, "little")), (31, b"a\xff")],
)
def test_what_is_no_value_of_its_type_is_refused(kind: int, content: bytes) -> None:
    with pytest.raises(GuestFailed, match=f"expected a valid {TYPES[kind].name}"):
        check_value(kind, content)


@pytest.mark.parametrize("kind", [0, 13, 20, 29, 30, 32, 2**32 - 1])
def test_an_unknown_type_is_refused(kind: int) -> None:
    with pytest.raises(GuestFailed, match=f"got a value of type {kind}, expected one of 1, 2"):
        check_value(kind, b"")


def test_there_is_no_other_type() -> None:
    assert sorted(TYPES) == [kind for kind, *_ in SCALARS] + [kind for kind, *_ in ARRAYS]
