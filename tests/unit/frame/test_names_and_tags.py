"""What may be a name, what may be a tag."""

from __future__ import annotations

import pytest

from nearfield.errors import UsageError
from nearfield.frame import RESERVED_TAGS, check_name, format_tag, is_name, name_from, parse_tag


@pytest.mark.parametrize("name", ["a", "_", "0", "cam-1", "a.b_c-D", "x" * 64])
def test_plain_name_is_accepted(name: str) -> None:
    assert check_name("source", name) == name


@pytest.mark.parametrize("name", ["", "x" * 65, "-a", ".a", "@a", "a/b", "a*", "a b", "ä", "a\n", "a$", "a?", "a#"])
def test_name_that_would_change_a_key_is_refused(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(UsageError, match=r"^source name: got .*, expected 1 to 64 letters, digits, `-`, `_` or `\.`"):
        check_name("source", name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Line 1 (north)", "Line-1-north"), ("--", "unnamed"), ("", "unnamed"), ("ä", "unnamed"), ("a/b", "a-b")],
)
def test_any_text_becomes_the_nearest_name(text: str, name: str) -> None:
    assert name_from(text) == name


@pytest.mark.parametrize(
    ("written", "tag"), [("16", 16), ("0x10", 16), (" 0X1F ", 31), (0, 0), ("4294967295", 2**32 - 1)]
)
def test_tag_is_read_as_people_write_it(written: str | int, tag: int) -> None:
    assert parse_tag(written) == tag


@pytest.mark.parametrize("written", ["", "0x", "x10", "-1", -1, 2**32, "4294967296", "0x100000000", "1.0", "1_6", True])
def test_what_is_no_tag_is_refused(written: str | int) -> None:
    with pytest.raises(UsageError, match="expected a tag from 0 to 4294967295, such as 0x10 or 16"):
        parse_tag(written)


def test_tag_is_written_in_lower_case_with_two_digits() -> None:
    assert [format_tag(tag) for tag in (0, 10, 0x1AB, 2**32 - 1)] == ["0x00", "0x0a", "0x1ab", "0xffffffff"]


def test_reserved_tags_are_f000_to_ffff() -> None:
    assert 0xEFFF not in RESERVED_TAGS
    assert 0xF000 in RESERVED_TAGS
    assert 0xFFFF in RESERVED_TAGS
    assert 0x10000 not in RESERVED_TAGS
