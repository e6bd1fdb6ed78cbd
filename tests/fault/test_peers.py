"""A peer zipper that is killed or stands still while frames flow in both modes: what it held is handled here."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fault.traffic import COMPLETE, LIVE, ROUTES, Traffic
from tests.processes import Commands, Node, free_port, poll


def serve_pair(commands: Commands, folder: Path) -> tuple[Node, Node]:
    """Two zippers that name each other, each with one slow instance of both functions."""
    ports = {name: free_port() for name in ("north", "south")}
    nodes = []
    for name, port in ports.items():
        workflow = folder / f"{name}.yaml"
        content: dict[str, Any] = {
            "name": name,
            "host": "127.0.0.1",
            "port": port,
            "peers": [f"quic/127.0.0.1:{other}" for other in ports.values() if other != port],
            "functions": [{**route.entry(), "run": str(route.app(folder, work_s=0.015))} for route in ROUTES],
        }
        workflow.write_text(yaml.safe_dump(content))
        nodes.append(commands.serve(workflow, f"127.0.0.1:{port}"))
    return nodes[0], nodes[1]


def is_offered(node: Node, by: str) -> bool:
    """Whether a zipper knows that another has instances of both functions."""
    return node.ledger()["peers"].get(by, {}).get("free", {}).keys() >= {route.function for route in ROUTES}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_peer_that_is_lost_costs_complete_nothing_and_live_what_is_counted(
    commands: Commands, tmp_path: Path, number: signal.Signals
) -> None:
    north, south = serve_pair(commands, tmp_path)
    poll(lambda: is_offered(north, "south"), "`south` offers both functions")
    for route in ROUTES:
        north.until_instances(route.function, 1)
    with Traffic(COMPLETE, north.address) as complete, Traffic(LIVE, north.address) as live:
        for route in ROUTES:
            north.until_group(route.function, lambda group: group["forwarded"] > 10, "frames are handed on")
        os.kill(south.serve.pid, number)
        poll(lambda: north.ledger()["peers"] == {}, "`south` is given up")
        for traffic in (complete, live):
            traffic.until_more()
        north.serve.says("zipper `south`")
        if number == signal.SIGSTOP:
            os.kill(south.serve.pid, signal.SIGCONT)
            poll(lambda: is_offered(north, "south"), "`south` offers both functions again")
            forwarded = {route: north.group(route.function)["forwarded"] for route in ROUTES}
            for route in ROUTES:
                north.until_group(
                    route.function,
                    lambda group, before=forwarded[route]: group["forwarded"] > before,  # type: ignore[misc]
                    "it is used again",
                )
        complete.account(north).lost_nothing()
        account = live.account(north)
        account.losses_are_counted(late=8)
        assert account.failed == {}
