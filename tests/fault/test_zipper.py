"""A zipper that stands still, or is killed and started again at its address, while frames flow in both modes."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.fault.traffic import COMPLETE, LIVE, ROUTES, Traffic
from tests.processes import Commands, Node, poll

CREDITS = 2


def node_with_functions_of_their_own(commands: Commands, folder: Path) -> Node:
    """A zipper with a function in each mode, whose instances do not end with it."""
    node = commands.node([route.entry() for route in ROUTES])
    for route in ROUTES:
        node.run(route.app(folder))
    return node


def test_zipper_that_stands_still_costs_complete_nothing_and_live_what_is_counted(
    commands: Commands, tmp_path: Path
) -> None:
    node = node_with_functions_of_their_own(commands, tmp_path)
    with Traffic(COMPLETE, node.address) as complete, Traffic(LIVE, node.address) as live:
        for traffic in (complete, live):
            traffic.until_more()
        node.serve.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        poll(lambda: time.monotonic() - began > 3, "everybody has given the connection up")
        node.serve.send_signal(signal.SIGCONT)
        for traffic in (complete, live):
            traffic.until_more()
        complete.account(node).lost_nothing()
        account = live.account(node)
        account.losses_are_counted(late=CREDITS)
        assert account.replaced > 0
        assert node.serve.status is None


@pytest.mark.timeout(180)
def test_zipper_that_is_killed_and_comes_back_costs_complete_nothing_and_live_what_it_had(
    commands: Commands, tmp_path: Path
) -> None:
    node = node_with_functions_of_their_own(commands, tmp_path)
    workflow = Path(node.serve.arguments[2])
    with Traffic(COMPLETE, node.address) as complete, Traffic(LIVE, node.address) as live:
        for traffic in (complete, live):
            traffic.until_more()
        node.serve.send_signal(signal.SIGKILL)
        node.serve.finish()
        node.close()
        again = commands.serve(workflow, node.address)
        for traffic in (complete, live):
            traffic.until_more()
        complete.stop()
        live.stop()
        counts = complete.source.statistics()
        assert counts.offered == counts.sent == counts.released
        poll(lambda: complete.unseen() == [], lambda: f"a result of every frame; without: {complete.unseen()}")

        # The first one's ledger is gone with it, and so is what its live function had: waiting, and with an instance.
        counts = live.source.statistics()
        assert counts.offered == counts.sent + counts.replaced
        assert counts.sent == counts.released + counts.unacknowledged
        group = again.until_settled(LIVE.function, 30)
        lost_there = group["received"] - group["completed"]
        assert sum(group["failed"].values()) == 0
        counted = counts.replaced + counts.unacknowledged + lost_there
        poll(lambda: len(live.unseen()) <= counted + 8 + CREDITS, "all other results")
