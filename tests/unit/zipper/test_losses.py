"""Lost frames are told about, once, and not too often."""

from typing import Any

from nearfield.zipper.losses import LossReporter, account


def group(**counts: Any) -> dict[str, Any]:
    return {
        "received": 10,
        "completed": 7,
        "failed": {},
        "dropped": {},
        "queued": 0,
        "in_flight": 0,
        "instances": 1,
        **counts,
    }


def test_nothing_lost_says_nothing() -> None:
    assert LossReporter().lines({"detect": group()}, 0) == []


def test_losses_are_told_by_reason_most_first() -> None:
    lines = LossReporter().lines({"detect": group(failed={"trapped": 1}, dropped={"overflow": 2})}, 0)
    assert lines == ["function `detect`: 3 frames lost: 2 overflow, 1 trapped (failed); instances: 1"]


def test_a_loss_is_told_once_and_later_ones_after_the_interval() -> None:
    reporter = LossReporter()
    assert len(reporter.lines({"detect": group(dropped={"stale": 1})}, 0)) == 1
    assert reporter.lines({"detect": group(dropped={"stale": 5})}, 9_000_000_000) == []
    (line,) = reporter.lines({"detect": group(dropped={"stale": 6})}, 10_000_000_000)
    assert "5 frames lost: 5 stale" in line
    assert reporter.lines({"detect": group(dropped={"stale": 6})}, 30_000_000_000) == []


def test_the_account_names_what_happened_only() -> None:
    assert account("detect", group(received=7)) == "function `detect`: 7 frames received, 7 completed"
    text = account("detect", group(failed={"trapped": 1}, dropped={"overflow": 1}, queued=1))
    assert text.endswith("10 frames received, 7 completed, failed: 1 trapped, dropped: 1 overflow, 1 not finished")
