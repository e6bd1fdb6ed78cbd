from __future__ import annotations

import pytest

from nearfield.sandbox.signature import Signature


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("->", "() -> ()"),
        ("-> i32", "() -> i32"),
        ("i32 i64 -> i32", "(i32, i64) -> i32"),
        ("i32 -> i32 i32", "(i32) -> (i32, i32)"),
    ],
)
def test_shows_parameters_and_results(text: str, shown: str) -> None:
    assert str(Signature.of(text)) == shown
