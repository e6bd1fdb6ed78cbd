"""What commands print: text for people, JSON lines for programs. Everything from outside is made safe to print."""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

import msgspec
from rich.console import Console

_encode = msgspec.json.Encoder().encode

# Width at which a payload is cut in text output.
MAX_TEXT_CHARACTERS = 2_000


def terminal() -> Console:
    """Standard output for people: colours on a terminal, plain text in a pipe."""
    return Console(highlight=False, markup=False)


def say(text: str) -> None:
    """One line for people, on standard output, at once."""
    print(text, flush=True)


def say_json(event: dict[str, Any]) -> None:
    """One JSON object on a line, at once."""
    sys.stdout.write(_encode(event).decode() + "\n")
    sys.stdout.flush()


def payload_as_json(payload: bytes) -> dict[str, Any]:
    """A payload as a field of a JSON object: `json` when it is JSON, else `text` when it is UTF-8, else `base64`."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(payload).decode()}
    try:
        value = json.loads(text, parse_constant=_refuse)
        _encode(value)  # not all that can be read can be written: half of a surrogate pair cannot
    except (ValueError, RecursionError):
        return {"text": text}
    return {"json": value}


def payload_as_text(payload: bytes) -> str:
    """A payload as text for a terminal: no control characters, at most 2,000 characters; bytes as a short summary."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return f"{len(payload):,} bytes ({payload[:12].hex(' ')}…)"
    shown = "".join(character if character.isprintable() else "·" for character in text[:MAX_TEXT_CHARACTERS])
    return shown if len(text) <= MAX_TEXT_CHARACTERS else f"{shown}… ({len(payload):,} bytes)"


def _refuse(constant: str) -> None:
    # NaN and Infinity are no JSON, though Python reads them.
    raise ValueError(constant)
