"""What a handler may emit."""

from __future__ import annotations

import pytest

from nearfield.errors import UsageError
from nearfield.frame import Header
from nearfield.function import Context

HEADER = Header(tag=0x10, stream=1, sequence=3, captured_ns=1_000, sent_ns=2_000)


def context(allowed: frozenset[int] | None = None) -> Context:
    return Context(b"in", HEADER, "cam", allowed)


def test_handler_sees_the_frame() -> None:
    seen = context()
    assert (seen.tag, seen.sequence, seen.captured_ns, seen.origin, seen.payload) == (0x10, 3, 1_000, "cam", b"in")


def test_emissions_are_kept_in_order_as_bytes() -> None:
    emitting = context()
    emitting.emit(0x11, b"bytes")
    emitting.emit("0x12", "text ü")
    emitting.emit(17, bytearray(b"more"))
    emitting.emit(0x11, b"order", to="cam-2")
    assert emitting.emissions == [
        (0x11, b"bytes", None),
        (0x12, "text ü".encode(), None),
        (0x11, b"more", None),
        (0x11, b"order", "cam-2"),
    ]


@pytest.mark.parametrize("to", ["", "*", "a/b", "cam 2", "x" * 65])
def test_addressee_that_is_no_name_is_refused(to: str) -> None:
    emitting = context()
    with pytest.raises(UsageError, match=r"^source name: got "):
        emitting.emit(0x11, b"", to=to)
    assert emitting.emissions == []


@pytest.mark.parametrize("tag", [0xF000, 0xFFFF, "0xf123"])
def test_reserved_tag_is_refused(tag: int | str) -> None:
    with pytest.raises(UsageError, match=r"^emit: tag 0xf.* is reserved; 0xf000 to 0xffff belong to the framework$"):
        context().emit(tag, b"")


def test_tag_that_was_not_declared_is_refused_with_those_that_were() -> None:
    emitting = context(frozenset({0x12, 0x11}))
    emitting.emit(0x11, b"")
    with pytest.raises(UsageError, match=r"^emit: got tag 0x13, expected one of those .* declares: 0x11, 0x12$"):
        emitting.emit(0x13, b"")
    with pytest.raises(UsageError, match="declares: none"):
        context(frozenset()).emit(0x11, b"")
    assert len(emitting.emissions) == 1
