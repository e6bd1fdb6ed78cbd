"""Plain data to the types of `schema`, with every problem found, not only the first."""

from __future__ import annotations

import difflib
import functools
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from msgspec import inspect

from nearfield.config.findings import DataPath, Finding, format_path, line_of, show
from nearfield.config.quantities import DURATION_EXPECTED, SIZE_EXPECTED, parse_duration, parse_size
from nearfield.config.schema import NAME_EXPECTED, Workflow
from nearfield.config.yaml import Document
from nearfield.errors import UsageError
from nearfield.frame.names import is_name
from nearfield.frame.tag import MAX_TAG, parse_tag
from nearfield.frame.token import TOKEN_EXPECTED, HiddenText, is_secret
from nearfield.signing import is_key_text, is_sha256_text

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\-.]{0,252})", re.ASCII)
_BAD: Final[Any] = object()  # stands for a value that gave a finding


def convert_workflow(document: Document, base: Path) -> tuple[Workflow | None, list[Finding]]:
    """Build a workflow.

    Args:
        base: absolute; paths in the document are relative to it.

    Returns:
        The workflow, or None and at least one finding of level error.
    """
    converter = _Converter(document, base)
    if document.data is None:
        return None, [Finding("error", None, "", "the file is empty, expected a mapping with `name` and `functions`")]
    workflow = converter.convert(document.data, _workflow_type(), ())
    return (None if workflow is _BAD else workflow), converter.findings


@functools.cache
def _workflow_type() -> inspect.Type:
    return inspect.type_info(Workflow)


class _Converter:
    """One conversion. Methods return the value, or `_BAD` after they have noted why."""

    def __init__(self, document: Document, base: Path) -> None:
        self.document = document
        self.base = base
        self.findings: list[Finding] = []

    def convert(self, value: Any, kind: inspect.Type, path: DataPath) -> Any:
        reads = None
        if isinstance(kind, inspect.Metadata):
            reads = _reads(kind)
            kind = kind.type
        if isinstance(kind, inspect.UnionType):
            return self.union(value, kind, path)
        if isinstance(kind, inspect.StructType):
            return self.struct(value, kind, path)
        if isinstance(kind, inspect.VarTupleType):
            return self.sequence(value, kind, path)
        if isinstance(kind, inspect.DictType):
            return self.mapping(value, kind, path)
        result = self.scalar(value, kind, reads)
        return self.refuse(value, expected(kind, reads), path) if result is _BAD else result

    def union(self, value: Any, kind: inspect.UnionType, path: DataPath) -> Any:
        """`X | None`, or a list or something short instead: the schema has no other ones."""
        others = _without_none(kind)
        if value is None and len(others) < len(kind.types):
            return None
        if len(others) == 1:
            return self.convert(value, others[0], path)
        listed, short = others
        if isinstance(value, list):
            return self.convert(value, listed, path)
        reads, short = (_reads(short), short.type) if isinstance(short, inspect.Metadata) else (None, short)
        result = self.scalar(value, short, reads)
        return self.refuse(value, expected(kind), path) if result is _BAD else result

    def scalar(self, value: Any, kind: inspect.Type, reads: str | None) -> Any:
        if reads is not None:
            value = _READERS[reads](value)
            if reads == "path" and value is not _BAD:
                return self.base / value
            if reads == "signer" and value is not _BAD:
                return value if is_key_text(value) else str(self.base / value)
        return value if value is not _BAD and _fits(value, kind) else _BAD

    def struct(self, value: Any, kind: inspect.StructType, path: DataPath) -> Any:
        if not isinstance(value, dict):
            return self.refuse(value, expected(kind), path)
        fields = {field.encode_name: field for field in kind.fields}
        guesses = {key: self.unknown_key(key, list(fields), path) for key in value if key not in fields}
        arguments: dict[str, Any] = {}
        for key, field in fields.items():
            if key in value:
                arguments[field.name] = self.convert(value[key], field.type, (*path, key))
            elif field.required:
                arguments[field.name] = _BAD
                if key not in guesses.values():  # a misspelt key is not missing as well
                    self.note((*path, key), f"missing, expected {expected(field.type)}")
        if guesses or any(argument is _BAD for argument in arguments.values()):
            return _BAD
        return kind.cls(**arguments)

    def unknown_key(self, key: str, known: list[str], path: DataPath) -> str | None:
        close = difflib.get_close_matches(key, known, 1)
        guess = f"; did you mean `{close[0]}`?" if close else ";"
        self.note((*path, key), f"unknown key{guess} known: {', '.join(f'`{name}`' for name in known)}")
        return close[0] if close else None

    def sequence(self, value: Any, kind: inspect.VarTupleType, path: DataPath) -> Any:
        if not isinstance(value, list):
            return self.refuse(value, expected(kind), path)
        if len(value) < (kind.min_length or 0):
            self.note(path, f"got an empty list, expected at least one entry; or leave `{path[-1]}` out")
            return _BAD
        items = [self.convert(item, kind.item_type, (*path, index)) for index, item in enumerate(value)]
        return _BAD if any(item is _BAD for item in items) else tuple(items)

    def mapping(self, value: Any, kind: inspect.DictType, path: DataPath) -> Any:
        if not isinstance(value, dict):
            return self.refuse(value, expected(kind), path)
        result = {}
        for key, item in value.items():
            if not is_name(key):
                self.note((*path, key), f"got {show(key)} as a name, expected {NAME_EXPECTED}")
            result[key] = self.convert(item, kind.value_type, (*path, key))
        return _BAD if any(item is _BAD for item in result.values()) or not all(map(is_name, result)) else result

    def refuse(self, value: Any, wanted: str, path: DataPath) -> Any:
        # Whatever stands under `auth` may be a token that was put into the wrong place.
        given = "something else" if path[:1] == ("auth",) else self.document.written.get(path) or show(value)
        self.note(path, f"got {given}, expected {wanted}")
        return _BAD

    def note(self, path: DataPath, text: str) -> None:
        self.findings.append(Finding("error", line_of(self.document.lines, path), format_path(path), text))


def expected(kind: inspect.Type, reads: str | None = None) -> str:
    """What a field wants, in words that fit after "expected"."""
    if isinstance(kind, inspect.Metadata):
        return expected(kind.type, _reads(kind))
    if isinstance(kind, inspect.UnionType):
        return " or ".join(expected(each) for each in _without_none(kind))
    if reads is not None:
        return _EXPECTED[reads]
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    if isinstance(kind, inspect.IntType):
        return f"a whole number from {kind.ge} to {kind.le}"
    if isinstance(kind, inspect.FloatType):
        return f"a number above {kind.gt}, up to {kind.le}"
    if isinstance(kind, inspect.StrType):
        return f"printable text of {kind.min_length or 0} to {kind.max_length} characters"
    if isinstance(kind, inspect.VarTupleType):
        return "a list"
    required = [f"`{f.encode_name}`" for f in kind.fields if f.required] if isinstance(kind, inspect.StructType) else []
    return f"a mapping with {' and '.join(required)}" if required else "a mapping"


def _without_none(kind: inspect.UnionType) -> list[inspect.Type]:
    """What it may be, a list first."""
    others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
    return sorted(others, key=lambda each: not isinstance(each, inspect.VarTupleType))


def _reads(kind: inspect.Metadata) -> str | None:
    name: str | None = (kind.extra or {}).get("reads")
    return name


def _fits(value: Any, kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.LiteralType):
        return isinstance(value, str) and value in kind.values
    if isinstance(kind, inspect.StrType):
        if not isinstance(value, str) or not value.isprintable():
            return False
        return (kind.min_length or 0) <= len(value) <= (kind.max_length or len(value))
    if isinstance(kind, inspect.IntType):
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return (kind.ge is None or value >= kind.ge) and (kind.le is None or value <= kind.le)
    if isinstance(kind, inspect.BoolType):
        return isinstance(value, bool)
    if isinstance(kind, inspect.FloatType):
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return False
        return (kind.gt is None or value > kind.gt) and (kind.le is None or value <= kind.le)
    return True


def _by(parse: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A reader from a parser of single values that raises UsageError."""

    def read(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            return _BAD
        try:
            return parse(value)
        except UsageError:
            return _BAD

    return read


def _read_tag(value: Any) -> Any:
    return _by(parse_tag)(value) if isinstance(value, (int, str)) else _BAD


def _read_name(value: Any) -> Any:
    return value if isinstance(value, str) and is_name(value) else _BAD


def _read_path(value: Any) -> Any:
    return value if isinstance(value, str) and value.strip() and value.isprintable() else _BAD


def _read_secret(value: Any) -> Any:
    return HiddenText(value) if isinstance(value, str) and is_secret(value) else _BAD


def _read_sha256(value: Any) -> Any:
    return value.lower() if isinstance(value, str) and is_sha256_text(value) else _BAD


def _read_host(value: Any) -> Any:
    if not isinstance(value, str):
        return _BAD
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value if _HOST.fullmatch(value) else _BAD


_READERS: dict[str, Callable[[Any], Any]] = {
    "name": _read_name,
    "tag": _read_tag,
    "duration": _by(parse_duration),
    "size": _by(parse_size),
    "path": _read_path,
    "host": _read_host,
    "secret": _read_secret,
    "sha256": _read_sha256,
    "signer": _read_path,
}
_EXPECTED = {
    "name": NAME_EXPECTED,
    "tag": f"a tag from 0 to {MAX_TAG}",
    "duration": f"{DURATION_EXPECTED}, above 0",
    "size": f"{SIZE_EXPECTED}, above 0",
    "path": "a path",
    "host": "an address or host name, without port",
    "secret": f"{TOKEN_EXPECTED}, in quotes",
    "sha256": "64 hexadecimal digits, in quotes",
    "signer": "a public key of `nearfield sign`: its base64, or the path of its file",
}
