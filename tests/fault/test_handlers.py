"""Handlers that fail or hang, in both modes."""

from __future__ import annotations

import pytest

from tests.fault.traffic import COMPLETE, LIVE, ROUTES, Traffic
from tests.processes import Commands, Node


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with a function in each mode, two instances each. One that is at a frame for a second is stuck."""
    delivery = {"timeout": "1s", "retries": 0}
    node = module_commands.node(
        [
            {**route.entry(delivery=delivery), "run": str(route.app(module_commands.folder)), "instances": 2}
            for route in ROUTES
        ]
    )
    for route in ROUTES:
        node.until_instances(route.function, 2)
    return node


def test_handler_that_fails_on_one_frame_in_ten_fails_these_and_no_other(node: Node) -> None:
    def payload(number: int) -> bytes:
        return b"fail" if number % 10 == 9 else b"work"

    with (
        Traffic(COMPLETE, node.address, payload=payload) as complete,
        Traffic(LIVE, node.address, payload=payload) as live,
    ):
        complete.until_more(90)
        live.until_more(90)
        account = complete.account(node)
        account.lost_nothing(failed={"handler": account.offered // 10})
        assert set(complete.unseen()) >= set(range(9, account.offered, 10))
        account = live.account(node)
        account.losses_are_counted()
        # A frame that was to fail may have been replaced or dropped before.
        assert account.offered // 10 - account.replaced - sum(account.dropped.values()) <= account.failed["handler"]
        assert account.failed.keys() == {"handler"}


def test_handler_that_hangs_costs_its_frame_only(node: Node) -> None:
    def payload(number: int) -> bytes:
        return b"hang" if number == 50 else b"work"

    with (
        Traffic(COMPLETE, node.address, payload=payload) as complete,
        Traffic(LIVE, node.address, payload=payload) as live,
    ):
        node.until_group("audit", lambda group: group["dropped"] == {"instance-stuck": 1}, "the frame is given up")
        node.until_group("show", lambda group: group["dropped"].get("instance-stuck") == 1, "the frame is given up")
        for traffic in (complete, live):
            traffic.until_more()
        account = complete.account(node)
        assert complete.unseen() == [50]
        assert account.offered == account.sent == account.released == account.received == account.completed + 1
        assert (account.failed, account.dropped) == ({}, {"instance-stuck": 1})
        account = live.account(node)
        account.losses_are_counted()
        assert 50 in live.unseen()
        assert account.failed == {}
        node.serve.says("hangs, and is killed", times=2)
