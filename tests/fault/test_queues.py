"""Queues that are full while the only instance dies, in both modes."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack

from tests.fault.traffic import COMPLETE, LIVE, ROUTES, Traffic
from tests.processes import Commands, children_of, poll

SOURCES, PAYLOAD = 4, bytes(4_096)


def test_full_queues_while_an_instance_dies_cost_complete_nothing_and_live_what_is_counted(commands: Commands) -> None:
    # Half of what the windows of the sources hold may wait.
    limits = {"max_payload": "16KiB", "queue_bytes": "128KiB"}
    node = commands.node(
        [{**route.entry(), "run": str(route.app(commands.folder, work_s=0.004))} for route in ROUTES], limits=limits
    )
    with ExitStack() as stack:
        traffic = {
            route: [
                stack.enter_context(
                    Traffic(route, node.address, name=f"{route.mode}-{number}", payload=lambda number: PAYLOAD)
                )
                for number in range(SOURCES)
            ]
            for route in ROUTES
        }

        def is_full() -> bool:
            ledger = node.ledger()
            return ledger["ingress"]["rejected"].get("overflow", 0) > 0 and ledger["groups"]["show"]["queued"] > 0

        poll(is_full, "frames are refused, and come again")
        for pid in children_of(node.serve.pid):
            os.kill(pid, signal.SIGKILL)
        for route in ROUTES:
            node.serve.says(f"{route.function}#1: was killed")
            node.until_instances(route.function, 1)
            traffic[route][0].until_more(20)
        for each in (*traffic[LIVE], *traffic[COMPLETE]):
            each.stop_sending()
        for each in traffic[LIVE]:
            account = each.account(node)
            account.losses_are_counted(late=1)
            assert set(account.dropped) == {"overflow"}
        for each in traffic[COMPLETE]:
            each.account(node).lost_nothing()
