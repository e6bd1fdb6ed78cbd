"""From options to tags."""

from __future__ import annotations

import pytest

from nearfield.cli.guests import result_tag


@pytest.mark.parametrize(
    ("observe", "emit", "tag"),
    [
        ((16,), (), 17),
        ((16, 5), (), 17),
        ((16,), (40, 41), 40),
        ((), (), None),
        ((2**32 - 1,), (), None),
        ((0xEFFF,), (), None),
    ],
)
def test_results_without_a_tag_get_the_first_emitted_or_the_next(
    observe: tuple[int, ...], emit: tuple[int, ...], tag: int | None
) -> None:
    assert result_tag(observe, emit) == tag
