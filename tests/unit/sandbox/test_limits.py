from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nearfield.sandbox import Limits


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_limit_that_is_not_positive_is_refused(name: str, value: float) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"limits.{name}: got {value}, expected a number greater than 0"):
        Limits(**given)
