"""What goes into one call of a guest and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Invocation:
    """One frame as a guest sees it.

    Attributes:
        tag: kind of data, u32.
        payload: the frame's bytes.
        origin: name of the source where the frame began.
        sequence: number given by that source, u64.
        captured_ns: capture time, nanoseconds since the Unix epoch.
        ends_at_s: of `time.monotonic`, when the frame becomes worthless; None: never. The guest is not told.
    """

    tag: int
    payload: bytes
    origin: str
    sequence: int
    captured_ns: int
    ends_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Emission:
    """One frame that a guest emitted.

    Attributes:
        tag: u32.
        to: name of the source that is meant; None: the one where the data began.
    """

    tag: int
    payload: bytes
    to: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a guest logged.

    Attributes:
        level: 0 debug, 1 info, 2 warning, 3 error.
        text: at most `MAX_LOG_CHARACTERS` characters, control characters replaced: safe to print on a terminal.
    """

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a successful call left behind.

    Attributes:
        emissions: in the order in which the guest emitted them.
        logs: in order; a last line says how many more were dropped.
        refused_emits: how often `emit` or `emit_to` said no: a tag that is not allowed, no name, a limit used up.
        model_ns: nanoseconds spent inside models' `compute`.
        host_ns: nanoseconds inside each kind of work that takes long in host functions: `inference`, `pictures`.
    """

    emissions: tuple[Emission, ...]
    logs: tuple[LogLine, ...]
    refused_emits: int
    model_ns: int
    host_ns: Mapping[str, int]


# 1,024 characters hold a panic message with its path; a terminal shows about ten rows of it.
MAX_LOG_CHARACTERS = 1024

# Everything that moves the cursor, rings, or changes the reading direction would let a guest forge a log.
_PRINTABLE_EXCEPTIONS = {"\t": " "}


def clean_text(text: str, limit: int = MAX_LOG_CHARACTERS) -> str:
    """`text` cut to `limit` characters, with each unprintable one replaced by U+FFFD (a tab by a space)."""
    cut = text[: limit + 1]
    if cut.isprintable():
        clean = cut
    else:
        clean = "".join(c if c.isprintable() else _PRINTABLE_EXCEPTIONS.get(c, "�") for c in cut)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
