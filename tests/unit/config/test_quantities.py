"""Durations and sizes: what is read, what is refused, and how they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearfield.config.quantities import format_duration, format_size, parse_duration, parse_size
from nearfield.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("250us", 0.00025),
        (" 10 ms ", 0.01),
        ("0ms", 0.0),
        ("0", 0.0),
        (0, 0.0),
    ],
)
def test_duration_is_read_in_seconds(text: int | str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("value", [1, 500, 1.5, True, False])
def test_bare_number_is_no_duration_and_the_message_shows_the_form(value: float) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration(value)
    assert str(caught.value) == f"got {value}, expected a duration with its unit such as `500ms`, `1.5s` or `2m`"


@pytest.mark.parametrize(
    "text", ["", "ms", "5", "-1s", "1e3s", "5 minutes", "5S", "5ms5", "१s", "1_0s", "inf s", "5MS"]
)
def test_ill_formed_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected a duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        ("128MiB", 128 * 1024 * 1024),
        ("64KiB", 65536),
        ("10MB", 10_000_000),
        ("1.5KiB", 1536),
        ("2 GB", 2 * 10**9),
        ("1kB", 1000),
        ("7B", 7),
        ("512", 512),
        (512, 512),
        (0, 0),
    ],
)
def test_size_is_read_in_bytes(value: int | str, size_bytes: int) -> None:
    assert parse_size(value) == size_bytes


@pytest.mark.parametrize("value", ["", "MiB", "-1", -1, 1.5, True, "0.3B", "1.0001KiB", "10mb", "10 mib", "1TB", "٣"])
def test_ill_formed_size_is_refused(value: float | str) -> None:
    with pytest.raises(UsageError, match="expected a size"):
        parse_size(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.5, "500ms"),
        (1.5, "1.5s"),
        (90, "90s"),
        (120, "2m"),
        (7200, "2h"),
        (0.00025, "250us"),
        (1e-9, "0.001us"),
    ],
)
def test_duration_is_written_in_the_unit_people_use(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0B"), (1000, "1000B"), (1536, "1536B"), (2**20, "1MiB"), (3 * 2**30, "3GiB")]
)
def test_size_is_written_in_the_largest_whole_unit(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@given(st.integers(min_value=0, max_value=10**15))
def test_written_duration_reads_back_to_the_nanosecond(nanoseconds: int) -> None:
    assert round(parse_duration(format_duration(nanoseconds / 10**9)) * 10**9) == round(nanoseconds / 10**9 * 10**9)


@given(st.integers(min_value=0, max_value=2**49))
def test_written_size_reads_back(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes
