"""The limits of a sandbox as `KEY=VALUE` texts, with the workflow file's keys: what `nearfield run --limit` takes."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from msgspec import inspect

from nearfield.config.quantities import format_duration, parse_duration, parse_size
from nearfield.config.schema import SandboxConfig
from nearfield.errors import UsageError

_NO_LIMITS = frozenset({"instance", "pixels", "exact_pixels", "allow_precompiled", "grants"})


def format_limits(sandbox: SandboxConfig) -> list[str]:
    """All limits of a function, so that `parse_limits` gives them back."""
    texts = []
    for key, (attribute, kind) in _kinds().items():
        value = getattr(sandbox, attribute)
        if value is not None:
            texts.append(f"{key}={format_duration(value) if kind == 'duration' else value}")
    return texts


def parse_limits(texts: Iterable[str]) -> dict[str, Any]:
    """Values by attribute of `SandboxConfig` (and of `nearfield.sandbox.Limits`); a later text replaces an earlier one.

    Raises:
        UsageError: no such limit, or not a value for it.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, _, given = text.partition("=")
        if key not in _kinds():
            known = ", ".join(_kinds())
            raise UsageError(f"--limit: got `{text[:60]}`, expected KEY=VALUE with one of {known}")
        attribute, kind = _kinds()[key]
        try:
            value = _READERS[kind](given)
        except UsageError as error:
            raise UsageError(error.what, where=f"--limit {key}") from error
        if value <= 0:
            raise UsageError(f"got `{given}`, expected more than 0", where=f"--limit {key}")
        values[attribute] = value
    return values


@functools.cache
def _kinds() -> dict[str, tuple[str, str]]:
    """Attribute and kind of value by key."""
    kinds = {}
    described = inspect.type_info(SandboxConfig)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        if field.name not in _NO_LIMITS:
            kinds[field.encode_name] = field.name, _kind(field.type)
    return kinds


def _kind(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.UnionType):
        kind = next(each for each in kind.types if not isinstance(each, inspect.NoneType))
    extra = kind.extra or {} if isinstance(kind, inspect.Metadata) else {}
    return str(extra.get("reads", "count"))


def _parse_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise UsageError(f"got `{text[:60]}`, expected a whole number")
    return int(text)


_READERS = {"duration": parse_duration, "size": parse_size, "count": _parse_count}
