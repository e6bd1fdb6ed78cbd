"""Tags: the u32 that names a kind of data."""

from __future__ import annotations

import re

from nearfield.errors import UsageError

MAX_TAG = 2**32 - 1
_TAG = re.compile(r"0x[0-9a-f]{1,16}|0|[1-9][0-9]{0,19}", re.ASCII)
# YoMo 1.18 and later refuse these to functions; kept free for the framework's own frames (abis.md section 1).
RESERVED_TAGS = range(0xF000, 0x10000)


def parse_tag(value: int | str) -> int:
    """Read a tag as people write it: `16`, `0x10`, or an int.

    Raises:
        UsageError: not a whole number, or outside 0 to 4294967295.
    """
    number: int | None
    if isinstance(value, bool):
        number = None
    elif isinstance(value, int):
        number = value
    else:
        text = value.strip().lower()
        number = int(text, 0) if _TAG.fullmatch(text) else None
    if number is None or not 0 <= number <= MAX_TAG:
        raise UsageError(f"got {value!r}, expected a tag from 0 to {MAX_TAG}, such as 0x10 or 16")
    return number


def format_tag(tag: int) -> str:
    """The way a tag is written everywhere: lower-case hexadecimal, at least two digits."""
    return f"0x{tag:02x}"
