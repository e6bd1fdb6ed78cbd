"""Durations and sizes as people write them: `500ms`, `1.5s`, `128MiB`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction

from nearfield.errors import UsageError

_NANOSECONDS_PER = {"us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_BYTES_PER = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}

DURATION_PATTERN = r"[0-9]{1,12}(\.[0-9]{1,9})? ?(us|ms|s|m|h)"
SIZE_PATTERN = r"[0-9]{1,15}(\.[0-9]{1,9})? ?(B|kB|KB|MB|GB|KiB|MiB|GiB)"
DURATION_EXPECTED = "a duration with its unit such as `500ms`, `1.5s` or `2m`"
SIZE_EXPECTED = "a size such as `64KiB`, `128MiB`, or a whole number of bytes"

_DURATION = re.compile(DURATION_PATTERN, re.ASCII)
_SIZE = re.compile(SIZE_PATTERN, re.ASCII)


def parse_duration(value: int | float | str) -> float:
    """Read a duration.

    Args:
        value: a number with one of the units us, ms, s, m (minutes), h; or 0, which needs no unit.

    Returns:
        Seconds, with a resolution of 1 ns.

    Raises:
        UsageError: any other number without a unit, an unknown unit, a negative duration.
    """
    if value in (0, "0") and not isinstance(value, bool):
        return 0.0
    if not isinstance(value, str):
        raise UsageError(f"got {value}, expected {DURATION_EXPECTED}")
    number = _amount(value, _DURATION, _NANOSECONDS_PER)
    if number is None:
        raise UsageError(f"got `{value[:60]}`, expected {DURATION_EXPECTED}")
    return round(number) / 10**9


def parse_size(value: int | float | str) -> int:
    """Read a size in bytes.

    Args:
        value: a whole number of bytes, or a number with a unit: kB, MB, GB count in thousands, KiB, MiB, GiB in 1024s.

    Raises:
        UsageError: an unknown unit, a negative size, or parts of a byte.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        if value.isascii() and value.isdigit() and len(value) <= 15:
            return int(value)
        number = _amount(value, _SIZE, _BYTES_PER)
        if number is not None and number.denominator == 1:
            return number.numerator
    given = f"`{value[:60]}`" if isinstance(value, str) else str(value)
    raise UsageError(f"got {given}, expected {SIZE_EXPECTED}")


def format_duration(seconds: float) -> str:
    """Write a duration so that `parse_duration` gives it back, to the nanosecond.

    Args:
        seconds: >= 0 and finite.
    """
    nanoseconds = round(Fraction(seconds) * 10**9)
    if nanoseconds == 0:
        return "0s"
    for unit in ("h", "m"):
        if nanoseconds % _NANOSECONDS_PER[unit] == 0:
            return f"{nanoseconds // _NANOSECONDS_PER[unit]}{unit}"
    unit = next((unit for unit in ("s", "ms") if nanoseconds >= _NANOSECONDS_PER[unit]), "us")
    whole, rest = divmod(nanoseconds, _NANOSECONDS_PER[unit])
    digits = len(str(_NANOSECONDS_PER[unit])) - 1
    decimals = f"{rest:0{digits}d}".rstrip("0")
    return f"{whole}.{decimals}{unit}" if decimals else f"{whole}{unit}"


def format_size(size_bytes: int) -> str:
    """Write a size so that `parse_size` gives it back, in the largest unit of 1024s that divides it."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _BYTES_PER[unit] == 0:
            return f"{size_bytes // _BYTES_PER[unit]}{unit}"
    return f"{size_bytes}B"


def _amount(text: str, pattern: re.Pattern[str], units: Mapping[str, int]) -> Fraction | None:
    match = pattern.fullmatch(text.strip())
    if match is None:
        return None
    unit = match.group(match.lastindex or 0)
    return Fraction(match.group()[: -len(unit)].strip()) * units[unit]
