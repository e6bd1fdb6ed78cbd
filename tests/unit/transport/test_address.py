"""Addresses as people write them."""

from __future__ import annotations

import pytest

from nearfield.errors import UsageError
from nearfield.transport import Address, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("localhost", Address("localhost", 9900)),
        (" localhost:1 ", Address("localhost", 1)),
        ("quic/site-b.example:65535", Address("site-b.example", 65535)),
        ("10.0.0.7:9900", Address("10.0.0.7", 9900)),
        ("[::1]:9901", Address("::1", 9901)),
        ("[::1]", Address("::1", 9900)),
        ("::1", Address("::1", 9900)),
        ("quic/[fe80::1]:7", Address("fe80::1", 7)),
    ],
)
def test_address_is_read_as_people_write_it(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":9900",
        "quic/",
        "tcp/localhost:9900",
        "http://localhost:9900",
        "quic/quic/localhost",
        "localhost:",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "localhost:99x",
        "localhost:" + "9" * 5_000,
        "local host",
        "localhost?a#b",
        "[::1",
        "[::1]9900",
        "[::1]:",
        "[]:9900",
        "::1]",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^address: got "):
        parse_address(text)


def test_other_protocols_are_told_that_there_is_only_quic() -> None:
    with pytest.raises(UsageError, match=r"frames go over QUIC$"):
        parse_address("tcp/localhost:9900")


def test_endpoints_are_written_as_the_engine_wants_them() -> None:
    address = Address("::1", 9900)
    assert (str(address), address.quic, address.tls) == ("[::1]:9900", "quic/[::1]:9900", "tls/[::1]:9900")
