"""Instances that are killed or stand still, one of two or all, while frames flow in both modes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fault.traffic import COMPLETE, LIVE, ROUTES, Route, Traffic
from tests.processes import Commands, Node, children_of, poll

CREDITS = 2


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with a function in each mode, two instances each. A live frame is wanted for half a second."""
    more = {COMPLETE: {}, LIVE: {"delivery": {"max_age": "500ms"}}}
    return module_commands.node(
        [
            {**route.entry(**more[route]), "run": str(route.app(module_commands.folder)), "instances": 2}
            for route in ROUTES
        ]
    )


@pytest.fixture
def flowing(node: Node) -> Iterator[dict[Route, Traffic]]:
    """Frames of one source in each mode, with results of all four instances."""
    with ExitStack() as stack:
        for route in ROUTES:
            node.until_instances(route.function, 2)
        traffic = {route: stack.enter_context(Traffic(route, node.address)) for route in ROUTES}
        for each in traffic.values():
            poll(lambda each=each: len(each.by_instance()) == 2, "results of both instances")  # type: ignore[misc]
        yield traffic


def victims(flowing: dict[Route, Traffic], *, all_of_them: bool) -> list[int]:
    """Process ids of one instance of each function, or of all."""
    return [pid for traffic in flowing.values() for pid in sorted(traffic.by_instance())[: 2 if all_of_them else 1]]


def send_signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


@pytest.mark.parametrize("all_of_them", [False, True], ids=["one of two", "all"])
def test_killed_instances_cost_complete_nothing_and_live_what_is_counted(
    node: Node, flowing: dict[Route, Traffic], all_of_them: bool
) -> None:
    killed = victims(flowing, all_of_them=all_of_them)
    send_signal(killed, signal.SIGKILL)
    for traffic in flowing.values():
        known = 4 if all_of_them else 3
        poll(
            lambda traffic=traffic, known=known: len(traffic.by_instance()) == known,  # type: ignore[misc]
            lambda traffic=traffic: (
                f"results of those that were started anew: {traffic.by_instance()}, {traffic.source.statistics()}"
            ),
        )
    complete = flowing[COMPLETE].account(node)
    complete.lost_nothing()
    live = flowing[LIVE].account(node)
    live.losses_are_counted(late=CREDITS)
    assert live.failed == {}


@pytest.mark.parametrize("all_of_them", [False, True], ids=["one of two", "all"])
def test_instances_that_stand_still_cost_complete_nothing_and_live_what_is_counted_and_come_back(
    node: Node, flowing: dict[Route, Traffic], all_of_them: bool
) -> None:
    before = children_of(node.serve.pid)
    stopped = victims(flowing, all_of_them=all_of_them)
    send_signal(stopped, signal.SIGSTOP)
    for route, traffic in flowing.items():
        node.until_instances(route.function, 0 if all_of_them else 1)
        if not all_of_them:
            traffic.until_more()
    send_signal(stopped, signal.SIGCONT)
    for route, traffic in flowing.items():
        node.until_instances(route.function, 2)
        seen = len(traffic.results.frames)
        poll(
            lambda traffic=traffic, seen=seen: (  # type: ignore[misc]
                {int(frame.payload) for frame in traffic.results.frames[seen:]} >= set(traffic.by_instance())
            ),
            "results of those that stood still",
        )
    complete = flowing[COMPLETE].account(node)
    complete.lost_nothing()
    live = flowing[LIVE].account(node)
    live.losses_are_counted(late=2 * CREDITS)
    assert live.failed == {}
    assert set(live.dropped) <= {"stale", "overflow"}
    if all_of_them:
        assert live.dropped.keys() & {"stale", "overflow"}, "frames waited for longer than they are wanted"
    assert children_of(node.serve.pid) == before, "none was started anew"
