"""Numbers for tensor types: the two tables of wasi-nn that guests were built with, and ours. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np

# wasi-nn's table since f64 and i64 (WasmEdge >= 0.15, wasmedge-wasi-nn 0.8); 16 and up are ours.
F16, F32, F64, U8, I32, I64, I8, I16, BOOL, OTHER = 0, 1, 2, 3, 4, 5, 16, 17, 18, 255

# The older table (WasmEdge <= 0.14.1, crate wasi-nn <= 0.6), where it differs.
OLD_U8, OLD_I32 = 2, 3

_NUMBERS: dict[np.dtype[Any], int] = {
    np.dtype(np.float16): F16,
    np.dtype(np.float32): F32,
    np.dtype(np.float64): F64,
    np.dtype(np.uint8): U8,
    np.dtype(np.int32): I32,
    np.dtype(np.int64): I64,
    np.dtype(np.int8): I8,
    np.dtype(np.int16): I16,
    np.dtype(np.bool_): BOOL,
}

# What each type answers to besides its own number. Signed bytes and booleans have none in wasi-nn, so guests say u8.
_ALSO: dict[np.dtype[Any], frozenset[int]] = {
    np.dtype(np.uint8): frozenset({OLD_U8}),
    np.dtype(np.int8): frozenset({U8, OLD_U8}),
    np.dtype(np.bool_): frozenset({U8, OLD_U8}),
    np.dtype(np.int32): frozenset({OLD_I32}),
}


def type_number(dtype: np.dtype[Any]) -> int:
    """Number of a type in docs/abi.md; `OTHER` for one without."""
    return _NUMBERS.get(dtype, OTHER)


def number_fits(number: int, dtype: np.dtype[Any]) -> bool:
    """Whether a guest that says type `number` may mean `dtype`, by either table.

    No number is read two ways for one tensor: the size in bytes is checked against the model as well.
    """
    return number == type_number(dtype) != OTHER or number in _ALSO.get(dtype, ())
