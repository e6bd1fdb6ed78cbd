from __future__ import annotations

import pytest

from nearfield.errors import ConfigError
from nearfield.sandbox.abi import AbiOptions
from nearfield.sandbox.abi.result_tag import result_tag_of


@pytest.mark.parametrize(
    ("result_tag", "emit", "expected"),
    [(5, None, 5), (5, frozenset({5, 6}), 5), (None, frozenset({6}), 6)],
)
def test_the_result_tag_is_the_given_or_the_only_one(
    result_tag: int | None, emit: frozenset[int] | None, expected: int
) -> None:
    assert result_tag_of(AbiOptions(None, result_tag, emit), "wasi-command") == expected


@pytest.mark.parametrize(
    ("result_tag", "emit", "message"),
    [
        (None, None, "result tag: got none, expected one: results of wasi-command guests carry no tag"),
        (None, frozenset({5, 6}), "result tag: got none"),
        (7, frozenset({5, 6}), "result tag: got 0x7, expected a tag that the function may emit"),
        (0xF001, None, "result tag: got 0xf001"),
    ],
)
def test_an_unclear_result_tag_is_refused(result_tag: int | None, emit: frozenset[int] | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        result_tag_of(AbiOptions(None, result_tag, emit), "wasi-command")
