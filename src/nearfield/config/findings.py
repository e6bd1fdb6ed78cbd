"""What a check of a workflow found: one place, one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

#: Where a value stands in a document: keys and list positions from the root, as in ("functions", 1, "name").
DataPath: TypeAlias = tuple[str | int, ...]
#: The line, counted from 1, of every value in a document.
Lines: TypeAlias = Mapping[DataPath, int]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_\-]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem of a workflow.

    Attributes:
        level: an error keeps the workflow from being used; a warning does not.
        line: counted from 1; None when the workflow did not come from a file, or the whole file is meant.
        path: the field as `format_path` writes it, "" for the whole file.
        text: what is wrong, with expectation and hint, without the path.
    """

    level: Literal["error", "warning"]
    line: int | None
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" if self.path else self.text

    def located(self, name: str) -> str:
        """The line a person reads: `workflow.yaml:14: functions[1].name: got ...`; warnings say that they are one."""
        mark = "warning: " if self.level == "warning" else ""
        return f"{location(name, self.line)}: {mark}{self}"


def location(name: str, line: int | None) -> str:
    """`workflow.yaml:14`, or the bare name when no line is known."""
    return name if line is None else f"{name}:{line}"


def format_path(path: DataPath) -> str:
    """Write a path as people do: `functions[1].observe[0]`; keys with unusual characters in quotes."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{show(step)}]"
    return text


def line_of(lines: Lines, path: DataPath) -> int | None:
    """The line of a value, or of the nearest mapping or list around it when the value itself was left out."""
    for length in range(len(path), -1, -1):
        if (line := lines.get(path[:length])) is not None:
            return line
    return None


def show(value: object) -> str:
    """A value in a message: text in quotes, escaped and cut at 60 characters; collections by kind only."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shortened = value if len(value) <= 60 else value[:57] + "..."
        escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shortened)
        return f'"{escaped}"'
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, dict) else str(value)
