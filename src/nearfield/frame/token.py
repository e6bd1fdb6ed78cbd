"""The form of tokens: secrets that stand for a name, where a zipper asks for them instead of certificates."""

from __future__ import annotations

import re

DEFAULT_TOKEN_NAME = "default"
"""Whose token it is when no name stands before it, as with the workflow's `auth.token`."""

TOKEN_EXPECTED = "1 to 256 visible ASCII characters without `:`"
TOKEN_PATTERN = "[!-9;-~]{1,256}"
# Shorter ones can be guessed: 16 random letters and digits are 95 bits.
MIN_SAFE_CHARACTERS = 16

# No colon: it ends the name. No space, no line end: tokens stand in files and variables.
_SECRET = re.compile(TOKEN_PATTERN, re.ASCII)


def is_secret(text: str) -> bool:
    """Whether a token may have this form."""
    return _SECRET.fullmatch(text) is not None


class HiddenText(str):
    """Text that shows itself to nobody by accident: its representation, and so that of all that holds it, is `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"
