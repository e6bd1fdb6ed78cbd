"""A YAML reader that loses nothing in silence.

PyYAML scans and parses; what its nodes mean is decided here, after the core schema of YAML 1.2: only `true` and
`false` are booleans, `12:30` and `on` are text, `0o17` is octal and `017` is not. Refused: duplicate keys, tags (`!x`),
merge keys (`<<`), keys that are not text, several documents, more than 1 MiB, and aliases that expand to too much.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import yaml

from nearfield.config.findings import DataPath, Finding, format_path, show

MAX_BYTES = 1024 * 1024
MAX_ALIASES = 64
#: Far above any workflow. PyYAML takes up to a minute for the 500,000 values that 1 MiB can hold, 2 s for these.
MAX_VALUES = 20_000
MAX_DEPTH = 64
MAX_NUMBER_LENGTH = 64

_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_HEX = re.compile(r"0x[0-9a-fA-F]+", re.ASCII)
_OCTAL = re.compile(r"0o[0-7]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_CONSTANTS = {"": None, "~": None, "null": None, "true": True, "false": False}


class YamlRefused(Exception):
    """The text is not YAML that we accept. Carries the one finding that says why."""

    def __init__(self, line: int | None, text: str, path: DataPath = ()) -> None:
        super().__init__(text)
        self.finding = Finding("error", line, format_path(path), text)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data, and where each part of it came from.

    Attributes:
        data: dicts with text keys, lists, str, int, float, bool, None.
        lines: the line of each value, counted from 1; for an entry of a mapping, the line of its key.
        written: numbers and constants as they were typed, for messages: 0x10 rather than 16.
    """

    data: Any
    lines: dict[DataPath, int] = field(default_factory=dict)
    written: dict[DataPath, str] = field(default_factory=dict)


def read_yaml(content: bytes) -> Document:
    """Read one document.

    Raises:
        YamlRefused: with the line and the cause.
    """
    if len(content) > MAX_BYTES:
        raise YamlRefused(None, f"got more than {MAX_BYTES} bytes, expected a file of at most 1 MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlRefused(line, f"got byte 0x{content[error.start]:02x}, expected UTF-8 text") from error
    try:
        root = _compose(text)
        return _Builder().build(root)
    except RecursionError as error:
        raise YamlRefused(None, "nested too deeply") from error


class _Composer(yaml.SafeLoader):
    """PyYAML's composer, refusing tags, and counting aliases and levels before it follows them."""

    aliases = 0
    depth = 0
    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        line = None if event.start_mark is None else event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise YamlRefused(line, f"got more than {MAX_ALIASES} aliases, expected at most that many")
        elif isinstance(event, yaml.NodeEvent) and (tag := getattr(event, "tag", None)) is not None:
            raise YamlRefused(line, f"got the tag {show(tag)}, expected plain values; tags are not supported")
        self.values += 1
        _check_count(self.values, line)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise YamlRefused(line, f"nested more than {MAX_DEPTH} levels deep")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(text: str) -> yaml.Node | None:
    try:
        composer = _Composer(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlRefused(line, f"got the character U+{_code_point(error):04X}, which YAML does not allow") from error
    try:
        node: yaml.Node | None = composer.get_single_node()
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlRefused(None if mark is None else mark.line + 1, _syntax_text(error)) from error
    except (ValueError, OverflowError) as error:
        raise YamlRefused(composer.line + 1, "got an escape that names no character") from error
    finally:
        composer.dispose()


def _check_count(values: int, line: int | None) -> None:
    if values > MAX_VALUES:
        raise YamlRefused(line, f"got more than {MAX_VALUES} values, expected at most that many")


def _code_point(error: yaml.reader.ReaderError) -> int:
    return error.character if isinstance(error.character, int) else ord(error.character[:1])


def _syntax_text(error: yaml.MarkedYAMLError) -> str:
    context = error.context or ""
    if context == "expected a single document in the stream":
        return "got a second document, expected one"
    problem = error.problem or "cannot be parsed"
    during = f" ({context})" if context.startswith("while ") else ""
    hint = "; indent with spaces, not tabs" if "'\\t'" in problem else ""
    return f"not valid YAML: {problem}{during}{hint}".replace("\n", " ")


class _Builder:
    """Turns nodes into plain data, with the line of each value."""

    def __init__(self) -> None:
        self.lines: dict[DataPath, int] = {}
        self.written: dict[DataPath, str] = {}

    def build(self, root: yaml.Node | None) -> Document:
        if root is None:
            return Document(None, {(): 1}, {})
        self.lines[()] = root.start_mark.line + 1
        data = self.value(root, ())
        return Document(data, self.lines, self.written)

    def value(self, node: yaml.Node, path: DataPath) -> Any:
        _check_count(len(self.lines), None)
        if len(path) > MAX_DEPTH:
            raise YamlRefused(node.start_mark.line + 1, f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.item(child, (*path, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        raise AssertionError(node)  # the composer makes no other kind

    def item(self, node: yaml.Node, path: DataPath) -> Any:
        self.lines[path] = node.start_mark.line + 1
        return self.value(node, path)

    def mapping(self, node: yaml.MappingNode, path: DataPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, path)
            entry = (*path, key)
            line = key_node.start_mark.line + 1
            if key in result:
                raise YamlRefused(line, f"duplicate key; it stands in line {self.lines[entry]} already", entry)
            self.lines[entry] = line
            result[key] = self.value(value_node, entry)
        return result

    def key(self, node: yaml.Node, path: DataPath) -> str:
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            raise YamlRefused(line, "got a list or mapping as a key, expected text", path)
        key = self.plain(node, path)
        if not isinstance(key, str):
            given = "nothing" if key is None else node.value
            raise YamlRefused(line, f"got {given} as a key, expected text; put it in quotes", path)
        if key == "<<" and node.style is None:
            raise YamlRefused(line, "got the merge key `<<`, expected plain keys; merging is not supported", path)
        return key

    def scalar(self, node: yaml.ScalarNode, path: DataPath) -> Any:
        value = self.plain(node, path)
        if value is not None and not isinstance(value, str):
            self.written[path] = node.value
        return value

    def plain(self, node: yaml.ScalarNode, path: DataPath) -> str | int | float | bool | None:
        if any("\ud800" <= character <= "\udfff" for character in node.value):  # from an escape such as "\uD800"
            raise YamlRefused(node.start_mark.line + 1, "got half of a surrogate pair, expected characters", path)
        if node.style is not None:  # quoted, or a block: always text
            return str(node.value)
        try:
            return plain_scalar(node.value)
        except ValueError as error:
            raise YamlRefused(node.start_mark.line + 1, str(error), path) from error


def plain_scalar(text: str) -> str | int | float | bool | None:
    """What an unquoted scalar means.

    Raises:
        ValueError: a number of more than 64 characters.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    number = next((read for pattern, read in _NUMBERS if pattern.fullmatch(text)), None)
    if number is None:
        return text
    if len(text) > MAX_NUMBER_LENGTH:
        raise ValueError(f"got a number of {len(text)} characters, expected at most {MAX_NUMBER_LENGTH}")
    return number(text)


def _hexadecimal(text: str) -> int:
    return int(text, 16)


def _octal(text: str) -> int:
    return int(text, 8)


_NUMBERS: tuple[tuple[re.Pattern[str], Callable[[str], int | float]], ...] = (
    (_INT, int),
    (_HEX, _hexadecimal),
    (_OCTAL, _octal),
    (_FLOAT, float),
)
