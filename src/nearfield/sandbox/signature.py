"""Types of WebAssembly functions as plain values."""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameter and result types, each `i32`, `i64`, `f32`, `f64` or whatever else a module may name."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    @classmethod
    @functools.cache
    def of(cls, text: str) -> Signature:
        """Read the form `i32 i32 -> i32`; either side may be empty."""
        params, _, results = text.partition("->")
        return cls(tuple(params.split()), tuple(results.split()))

    def __str__(self) -> str:
        results = ", ".join(self.results)
        if len(self.results) != 1:
            results = f"({results})"
        return f"({', '.join(self.params)}) -> {results}"
