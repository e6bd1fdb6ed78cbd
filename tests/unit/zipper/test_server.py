"""A zipper's namespaces by name. What it does with frames is in tests/integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nearfield.errors import UsageError
from nearfield.transport import Identity
from nearfield.zipper import Zipper, ZipperSettings

NOWHERE = Path("/nowhere")


def zipper(**settings: Any) -> Zipper:
    return Zipper(
        ZipperSettings("line-1", "bakery", [], Identity(NOWHERE, NOWHERE, NOWHERE), [], {"dairy": ()}, **settings)
    )


def test_namespace_of_the_settings_comes_first() -> None:
    assert zipper().namespaces == ("bakery", "dairy")


def test_unknown_namespace_is_told_which_are_known() -> None:
    for ask in (
        lambda: zipper().ledger(namespace="brewery"),
        lambda: zipper().set_policies([], namespace="brewery"),
        lambda: zipper().remove_function("label", namespace="brewery"),
        lambda: zipper().expect("label", frozenset(), namespace="brewery"),
        lambda: zipper().pids_of("label", namespace="brewery"),
    ):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == "namespace: got `brewery`, expected one of `bakery`, `dairy`"


def test_rights_of_a_zipper_that_does_not_run_are_not_changed() -> None:
    assert not zipper().set_rights([])
