"""Values that wasmedge-bindgen guests take and return: a type number and little-endian bytes."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from nearfield.errors import GuestFailed, GuestOutputExceeded
from nearfield.sandbox.memory import GuestMemory

_TRIPLE = Struct("<III")

# A tuple of 64 values is more than the macro can return.
_MOST_VALUES = 64


@dataclass(frozen=True, slots=True)
class ValueType:
    """One type of the table in `bindgen/rust/macro`.

    Attributes:
        name: as in Rust.
        width: bytes of one element.
        is_array: whether there may be any number of elements, none included.
    """

    name: str
    width: int
    is_array: bool = False


_SCALARS = (
    ("u8", 1), ("i8", 1), ("u16", 2), ("i16", 2), ("u32", 4), ("i32", 4), ("u64", 8), ("i64", 8),
    ("f32", 4), ("f64", 8), ("bool", 1), ("char", 4),
)  # fmt: skip

# Scalars count from 1; arrays of the first eight from 21.
TYPES: dict[int, ValueType] = {
    **{1 + place: ValueType(name, width) for place, (name, width) in enumerate(_SCALARS)},
    **{21 + place: ValueType(f"Vec<{name}>", width, True) for place, (name, width) in enumerate(_SCALARS[:8])},
    31: ValueType("String", 1, True),
}

_BOOL, _CHAR, _STRING = 11, 12, 31


def check_value(kind: int, content: bytes) -> bytes:
    """A returned value's bytes, which become the payload as they are, once they are what their type says.

    Raises:
        GuestFailed: an unknown type, a size that is not a multiple of the type's, or no such value of the type.
    """
    known = TYPES.get(kind)
    if known is None:
        raise GuestFailed(f"result: got a value of type {kind}, expected one of {', '.join(map(str, sorted(TYPES)))}")
    size = len(content)
    if size % known.width if known.is_array else size != known.width:
        expected = f"a multiple of {known.width}" if known.is_array else str(known.width)
        raise GuestFailed(f"result: got {size} bytes for a {known.name}, expected {expected}")
    if not is_valid(kind, content):
        raise GuestFailed(f"result: got {content[:8].hex(' ')}, expected a valid {known.name}")
    return content


def is_valid(kind: int, content: bytes) -> bool:
    """Whether bytes of the right size are a value of this type: not every bool, char and string is."""
    if kind == _BOOL:
        return content[0] <= 1
    try:
        if kind == _STRING:
            content.decode()
        elif kind == _CHAR:
            chr(int.from_bytes(content, "little")).encode()
    except (ValueError, OverflowError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class ReturnedValue:
    """A value that a function returned.

    Attributes:
        pointer: where it lies in the guest's memory.
        content: a copy of its bytes.
    """

    pointer: int
    kind: int
    content: bytes

    @property
    def is_on_the_heap(self) -> bool:
        """Whether it is a vector or string; scalars of versions before 0.4 lie on the guest's stack."""
        return TYPES[self.kind].is_array


def read_values(memory: GuestMemory, table: int, count: int, limit: int) -> list[ReturnedValue]:
    """Copy what a table of (pointer, type, bytes) triples points at.

    Args:
        limit: bytes of all values together.

    Raises:
        GuestFailed: an absurd number of values, or one that is not what its type says.
        GuestOutputExceeded: they are larger than the limit; nothing was copied.
        OutOfBounds: the table or a value is not in memory.
    """
    if count > _MOST_VALUES:
        raise GuestFailed(f"result: got {count} values, expected at most {_MOST_VALUES}")
    triples = list(_TRIPLE.iter_unpack(memory.read(table, count * _TRIPLE.size)))
    total = sum(size for _, _, size in triples)
    if total > limit:
        raise GuestOutputExceeded(f"result: got {total} bytes, expected at most {limit} bytes")
    return [
        ReturnedValue(pointer, kind, check_value(kind, memory.read(pointer, size))) for pointer, kind, size in triples
    ]


def table_bytes(count: int) -> int:
    """Size of a table of triples."""
    return count * _TRIPLE.size
