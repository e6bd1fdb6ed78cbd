from __future__ import annotations

from typing import Any

import pytest

from nearfield.cli.top import COLUMNS, ask_ledger, rates, rows
from nearfield.errors import RefusedError
from nearfield.frame.control import Granted
from tests.doubles import MemoryZipper


def group(completed: int = 0, **more: Any) -> dict[str, Any]:
    counts = {"received": completed, "completed": completed, "failed": {}, "dropped": {}, "queued": 0, "in_flight": 0}
    return {**counts, "mode": "live", "instances": 1, "handler_ms_mean": None, **more}


def ledger(epoch: int = 1, **groups: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": epoch, "groups": groups}


def test_rates_are_completed_frames_a_second() -> None:
    before, now = ledger(upper=group(10)), ledger(upper=group(40), late=group(5))
    assert rates(before, now, 2.0) == {"upper": 15.0}


@pytest.mark.parametrize("before", [None, ledger(epoch=2, upper=group(100))])
def test_the_first_look_and_a_zipper_that_started_anew_have_no_rates(before: dict[str, Any] | None) -> None:
    assert rates(before, ledger(upper=group(10)), 1.0) == {}


def test_rows_name_every_reason() -> None:
    lost = group(3, failed={"trap": 1}, dropped={"overflow": 1200, "stale": 2}, handler_ms_mean=4.25, queued=7)
    (row,) = rows(ledger(upper=lost), {"upper": 30.0})
    shown = dict(zip(COLUMNS, row, strict=True))
    assert shown["failed"] == "1 (trap 1)"
    assert shown["dropped"] == "1,202 (overflow 1,200, stale 2)"
    assert (shown["per s"], shown["queued"], shown["ms"]) == ("30.0", "7", "4.2")


def test_a_function_that_did_nothing_has_zeros() -> None:
    (row,) = rows(ledger(upper=group()), {})
    shown = dict(zip(COLUMNS, row, strict=True))
    assert (shown["failed"], shown["dropped"], shown["per s"], shown["ms"]) == ("0", "0", "", "")


def test_ledger_is_not_asked_for_without_a_right() -> None:
    zipper = MemoryZipper.granting(Granted(ledger=False))
    with pytest.raises(RefusedError, match=r"^zipper `line-1`: `me` may not read the ledger; see"):
        ask_ledger(zipper.connection)
    assert zipper.session.questions == []
