"""Fenced blocks of a Markdown file, and the hidden comments that say what a test does with each. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>[\w+-]*)\s*")
_MARK = re.compile(r"\s*<!-- test: (?P<words>.*?) -->\s*")


@dataclass(frozen=True, slots=True)
class Mark:
    """`<!-- test: VERB argument key="value" -->`.

    Attributes:
        line: counted from 1.
    """

    verb: str
    arguments: tuple[str, ...]
    options: dict[str, str]
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block.

    Attributes:
        marks: those directly above it, with nothing but empty lines between.
        line: of its first content, counted from 1.
    """

    language: str
    text: str
    marks: tuple[Mark, ...]
    line: int


def read_blocks(path: Path) -> list[Block]:
    """All blocks of a file, in order."""
    return list(parse_blocks(path.read_text(encoding="utf-8").splitlines()))


def parse_blocks(lines: list[str]) -> Iterator[Block]:
    """Raises AssertionError for a mark with no block below it, or a block without an end."""
    marks: list[Mark] = []
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        fence = _FENCE.fullmatch(line)
        mark = _MARK.fullmatch(line)
        if mark is not None:
            marks.append(_read_mark(mark["words"], number))
        elif fence is not None:
            content = []
            for _, inner in numbered:
                if inner.strip() == "```":
                    break
                content.append(inner.removeprefix(fence["indent"]))
            else:
                raise AssertionError(f"line {number}: the block has no end")
            yield Block(fence["language"], "\n".join(content) + "\n", tuple(marks), number + 1)
            marks = []
        else:
            assert not (marks and line.strip()), f"line {marks[-1].line}: a mark without a block below it"
    assert not marks, f"line {marks[-1].line}: a mark without a block below it"


def _read_mark(words: str, line: int) -> Mark:
    verb, *rest = shlex.split(words)
    options = dict(word.split("=", 1) for word in rest if re.match(r"[a-z]+=", word))
    return Mark(verb, tuple(word for word in rest if not re.match(r"[a-z]+=", word)), options, line)


def pattern_of(shown: str) -> re.Pattern[str]:
    """What a printed line looks like in every run: any numbers, any amount of white space, anything for `…`."""
    parts = re.split(r"(\d+|…|\s+)", shown.strip())
    known = {"…": ".*?"}
    return re.compile("".join(known.get(p) or _loosely(p) for p in parts))


def _loosely(part: str) -> str:
    if part.isdigit():
        return "[0-9]+"
    return r"\s+" if part.isspace() else re.escape(part)
