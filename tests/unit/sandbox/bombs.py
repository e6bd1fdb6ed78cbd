"""Small valid modules that take very long, or very much memory, to compile."""

from __future__ import annotations

_I32 = b"\x7f"
_BLOCK_VOID = b"\x40"


def module(bodies: list[bytes]) -> bytes:
    """A module of functions without parameters and results; each body ends with its `end`."""
    count = len(bodies)
    return (
        b"\0asm\x01\0\0\0"
        + _section(1, b"\x01\x60\0\0")
        + _section(3, _leb(count) + b"\0" * count)
        + _section(10, _leb(count) + b"".join(_leb(len(body)) + body for body in bodies))
    )


def padded(size: int) -> bytes:
    """A harmless module of a little more than `size` bytes."""
    return module([b"\0" + b"\x01" * size + b"\x0b"])


def many_locals(functions: int) -> bytes:
    """8 bytes and 5 ms for each function, which does nothing but declare 50,000 locals."""
    return module([_LOCALS + b"\x0b"] * functions)


def nested_ifs(count: int) -> bytes:
    """3,000: 45 kB, 20 s, 0.5 GB: a loop over that many conditional changes of as many locals."""
    ifs = (
        b"\x20" + _leb(n) + b"\x04" + _BLOCK_VOID + b"\x20" + _leb(n) + b"\x41\x01\x6a\x21" + _leb(n) + b"\x0b"
        for n in range(count)
    )
    return module([_LOCALS + b"\x03" + _BLOCK_VOID + b"".join(ifs) + b"\x41\x01\x0d\x00\x0b\x0b"])


def _leb(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*encoded, number])


def _section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + _leb(len(content)) + content


_LOCALS = b"\x01" + _leb(50_000) + _I32
