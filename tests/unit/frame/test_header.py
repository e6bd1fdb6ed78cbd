"""The header's own rules; bytes are in tests/conformance/wire, any bytes in tests/property."""

from __future__ import annotations

import struct

import pytest

from nearfield.frame import Frame, Header

HEADER = Header(tag=0x10, stream=1, sequence=1841, captured_ns=5_000, sent_ns=6_000)


@pytest.mark.parametrize("field", ["tag", "stream", "sequence", "captured_ns", "deadline_ns", "hops", "part"])
def test_field_that_does_not_fit_is_a_defect_of_the_caller(field: str) -> None:
    values = {"tag": 1, "stream": 1, "sequence": 1, "captured_ns": 1, "sent_ns": 1, field: -1}
    with pytest.raises(struct.error):
        Header(**values).encode()


def test_each_function_adds_a_hop() -> None:
    assert HEADER.emitted(0x11, 0, 7).emitted(0x12, 3, 8).hops == 2


def test_frame_tells_its_age_by_the_wall_clock() -> None:
    assert Frame("cam-1", "line-1", HEADER, b"").age_ns(5_250) == 250
    assert Frame("cam-1", "line-1", HEADER, b"").age_ns(4_000) == -1_000


def test_frame_shows_what_it_is_without_its_payload() -> None:
    assert repr(Frame("cam-1", "line-1", HEADER, b"secret")) == "<Frame cam-1/1841 tag 0x10 6 bytes>"
