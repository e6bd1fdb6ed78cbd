"""Sources that are killed or stand still, in both modes: what arrived is finished, and the rest is accounted for."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.fault.traffic import COMPLETE, ROUTES, Results, Route, until_settled
from tests.processes import BELT, Command, Commands, Node, poll

FRAMES = 150


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with a function in each mode."""
    node = module_commands.node([{**route.entry(), "run": str(route.app(module_commands.folder))} for route in ROUTES])
    for route in ROUTES:
        node.until_instances(route.function, 1)
    return node


@pytest.fixture
def results(node: Node) -> Iterator[dict[Route, Results]]:
    with ExitStack() as stack:
        yield {route: stack.enter_context(Results(node.address, route.result)) for route in ROUTES}


def send(node: Node, route: Route, name: str, *options: str) -> Command:
    mode = ["--live"] if route.mode == "live" else []
    return node.send(BELT, "--tag", hex(route.tag), "--every", "3", "--name", name, *mode, *options)


def test_source_that_is_killed_leaves_what_arrived_finished_and_its_successor_is_heard(
    node: Node, results: dict[Route, Results]
) -> None:
    sending = {route: send(node, route, "killed", "--fps", "60") for route in ROUTES}
    for route, command in sending.items():
        poll(lambda route=route: len(results[route].frames) > 30, "results")  # type: ignore[misc]
        os.kill(command.pid, signal.SIGKILL)
        assert command.finish() == -signal.SIGKILL
    for route in ROUTES:
        entry = until_settled(node, route, "killed")
        assert (entry["completed"], entry["failed"], entry["dropped"]) == (entry["received"], {}, {})
        arrived = entry["completed"]
        poll(lambda route=route, n=arrived: len(results[route].seen("killed")) == n, "their results")  # type: ignore[misc]

        # The same name, counting from 0 again: its frames are not taken for repetitions.
        again = send(node, route, "killed", "--fps", "120")
        assert again.finish() == 0
        ended = again.event("ended")
        assert ended["sent"] + ended["replaced"] == FRAMES
        entry = until_settled(node, route, "killed")
        assert ended["confirmed"] == ended["sent"] == entry["received"] - arrived
        assert (entry["completed"], entry["failed"], entry["dropped"]) == (entry["received"], {}, {})
        frames = results[route].frames
        poll(lambda frames=frames, n=entry["completed"]: len(frames) == n, "results of both")  # type: ignore[misc]


def test_source_that_stands_still_goes_on_where_it_was(node: Node, results: dict[Route, Results]) -> None:
    sending = {route: send(node, route, "stopped", "--fps", "60") for route in ROUTES}
    for route in ROUTES:
        poll(lambda route=route: len(results[route].frames) > 30, "results")  # type: ignore[misc]
    for command in sending.values():
        command.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    poll(lambda: time.monotonic() - began > 2.5, "the zipper has given the connection up")
    for command in sending.values():
        command.send_signal(signal.SIGCONT)
    for route, command in sending.items():
        assert command.finish() == 0
        ended = command.event("ended")
        assert ended["sent"] + ended["replaced"] == FRAMES
        entry = until_settled(node, route, "stopped")
        assert ended["confirmed"] <= entry["received"] <= ended["sent"]
        assert (entry["completed"], entry["failed"], entry["dropped"]) == (entry["received"], {}, {})
        if route is COMPLETE:
            assert ended["confirmed"] == entry["received"] == FRAMES
        poll(
            lambda route=route, n=entry["completed"]: len(results[route].seen("stopped")) == n,  # type: ignore[misc]
            "a result of every frame that arrived",
        )
