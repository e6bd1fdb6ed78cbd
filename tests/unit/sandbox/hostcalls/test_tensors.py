from __future__ import annotations

import numpy as np
import pytest

from nearfield.sandbox.hostcalls.tensors import number_fits

FITTING = {
    "float16": {0},
    "float32": {1},
    "float64": {2},
    "uint8": {2, 3},
    "int32": {3, 4},
    "int64": {5},
    "int8": {2, 3, 16},
    "int16": {17},
    "bool": {2, 3, 18},
    "complex64": set(),
}


@pytest.mark.parametrize("name", FITTING)
def test_both_tables_of_numbers_are_understood(name: str) -> None:
    assert {number for number in range(256) if number_fits(number, np.dtype(name))} == FITTING[name]
