"""The kinds of payload that a function may declare. Pure.

`text`: UTF-8 without control characters (but tab and line feed) and without characters that nobody sees.
`json`: one value of JSON in UTF-8: nested at most 8 deep; strings and names of at most 128 characters; numbers of at
most 24; no name twice in one object.
`boxes`: JSON as above: a list of at most 64 objects, each with the numbers `x`, `y`, `w`, `h`, and perhaps `label`, a
string of at most 32 characters without control characters, and `score`, a number from 0 to 1; nothing else.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

EmitKind = Literal["text", "json", "boxes"]

MAX_DEPTH = 8
MAX_STRING_CHARACTERS = 128
# `-1.7976931348623157e+308`, the longest that a double needs.
MAX_NUMBER_CHARACTERS = 24
MAX_BOXES = 64
MAX_LABEL_CHARACTERS = 32

_SIDES = frozenset({"x", "y", "w", "h"})
_MEMBERS = _SIDES | {"label", "score"}
# Control and format characters (zero width, reading direction), surrogates, private use, unassigned.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


class _NotSo(Exception):
    """Why a payload is not of the kind; never quotes it."""


def problem_of(kind: EmitKind, payload: bytes) -> str | None:
    """What keeps a payload from being of this kind; None: nothing does."""
    try:
        text = payload.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return "bytes that are no UTF-8"
    if kind == "text":
        return None if _is_seen(text, "\t\n") else "control characters, or characters that nobody sees"
    try:
        value = _parse(text)
        if kind == "boxes":
            _check_boxes(value)
    except _NotSo as why:
        return str(why)
    return None


def _is_seen(text: str, allowed: str = "") -> bool:
    # Most texts take the quick way.
    return text.isprintable() or not any(
        unicodedata.category(character) in _UNSEEN and character not in allowed for character in text
    )


def _parse(text: str) -> Any:
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError:
        raise _NotSo(f"JSON nested more than {MAX_DEPTH} deep") from None
    except ValueError:
        raise _NotSo("something else than one value of JSON") from None
    _check_value(value, 1)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    # The one that is not kept would not be looked at.
    if len(members) != len(pairs):
        raise _NotSo("an object that names a member twice")
    return members


def _integer(digits: str) -> int:
    _check_number(digits)
    return int(digits)


def _float(digits: str) -> float:
    _check_number(digits)
    return float(digits)


def _check_number(digits: str) -> None:
    if len(digits) > MAX_NUMBER_CHARACTERS:
        raise _NotSo(f"a number of more than {MAX_NUMBER_CHARACTERS} characters")


def _constant(_: str) -> NoReturn:
    raise _NotSo("a number that JSON does not have")


def _check_value(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _NotSo(f"JSON nested more than {MAX_DEPTH} deep")
    inner: Sequence[Any] = ()
    if isinstance(value, str):
        _check_string(value)
    elif isinstance(value, list):
        inner = value
    elif isinstance(value, dict):
        for name in value:
            _check_string(name)
        inner = list(value.values())
    for each in inner:
        _check_value(each, depth + 1)


def _check_string(text: str) -> None:
    if len(text) > MAX_STRING_CHARACTERS:
        raise _NotSo(f"a string of more than {MAX_STRING_CHARACTERS} characters")


def _check_boxes(value: Any) -> None:
    if not isinstance(value, list) or len(value) > MAX_BOXES:
        raise _NotSo(f"something else than a list of at most {MAX_BOXES}")
    for box in value:
        if not isinstance(box, dict) or not _SIDES <= box.keys() <= _MEMBERS:
            raise _NotSo("a box with other members than x, y, w, h, and perhaps label and score")
        if not all(_is_number(box[side]) for side in _SIDES):
            raise _NotSo("a box with a side that is no number")
        if not (_is_number(box.get("score", 0)) and 0 <= box.get("score", 0) <= 1):
            raise _NotSo("a box with a score that is no number from 0 to 1")
        label = box.get("label", "")
        if not isinstance(label, str) or len(label) > MAX_LABEL_CHARACTERS or not _is_seen(label):
            raise _NotSo(f"a box with a label that is no plain text of at most {MAX_LABEL_CHARACTERS} characters")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
