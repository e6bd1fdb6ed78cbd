"""Zippers with rights as one mesh: real processes, of one user and of two, with certificates and with tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearfield import Sink, Source
from nearfield.transport import StateDirectory, ensure_server_certificate
from tests.processes import UPPERCASE, Commands, Node, free_port, nearfield, poll

TEXT, RESULT = 0x10, 0x11
UPPER = {"name": "upper", "observe": [TEXT], "emit": [RESULT], "delivery": {"mode": "complete"}}
HERE = {**UPPER, "run": str(UPPERCASE)}
TOKENS = {"north": "north-0123456789abcdef", "south": "south-0123456789abcdef", "cam": "cam-0123456789abcdef"}


class Zippers:
    """`south` has the instances. `north` has none, and may name `south` as its peer, or the other way round."""

    def __init__(self, commands: Commands, folder: Path) -> None:
        self.commands = commands
        self.folder = folder
        self.nodes: list[Node] = []
        self.ports = {name: free_port() for name in ("north", "south")}

    def start(self, name: str, *, peer: str | None = None, state: Path | None = None, **more: Any) -> Node:
        content = {
            "name": name,
            "host": "127.0.0.1",
            "port": self.ports[name],
            "functions": [UPPER if name == "north" else HERE],
            "peers": [] if peer is None else [f"127.0.0.1:{self.ports[peer]}"],
            **more,
        }
        workflow = self.folder / f"{name}.yaml"
        workflow.write_text(yaml.safe_dump(content))
        environment = None if state is None else {"NEARFIELD_STATE_DIR": str(state)}
        serve = self.commands.start("serve", "-c", workflow, environment=environment)
        self.nodes.append(Node(self.commands, serve, f"127.0.0.1:{self.ports[name]}"))
        return self.nodes[-1]

    def close(self) -> None:
        for node in self.nodes:
            node.close()


@pytest.fixture
def zippers(commands: Commands, tmp_path: Path) -> Iterator[Zippers]:
    with closing(Zippers(commands, tmp_path)) as zippers:
        yield zippers


def frames_pass(north: Node) -> None:
    """Frames that enter at `north` are handled at `south`, and their results arrive at `north`."""
    north.serve.ready()
    poll(lambda: "upper" in north.ledger()["peers"].get("south", {}).get("free", {}), "`south` offers `upper`")
    with Sink(north.address, [RESULT]) as sink, Source("cam", north.address, tag=TEXT, mode="complete") as source:
        results = source.results(20)
        for number in range(10):
            source.send(b"text %d" % number)
        assert source.flush(30)
        expected = [b"TEXT %d" % number for number in range(10)]
        assert sorted(next(results).payload for _ in range(10)) == expected
        assert sorted(frame.payload for _ in range(10) if (frame := sink.receive(20)) is not None) == expected
    group = north.until_settled("upper", 10)
    assert (group["completed"], group["forwarded"], group["failed"], group["dropped"]) == (10, 10, {}, {})


WAYS: Mapping[str, Mapping[str, Any]] = {
    "rights": {"rights": {"somebody-else": {"observe": "all"}}},
    "token": {"auth": {"type": "token", "token": "one-0123456789abcdef"}},
    "tokens and rights": {
        "auth": {"type": "token", "tokens": TOKENS},
        "rights": {"north": {"zipper": True}, "south": {"zipper": True}, "cam": {"send": [TEXT]}},
    },
}


@pytest.mark.parametrize(
    ("way", "dials"),
    [("rights", "south"), ("token", "north"), ("tokens and rights", "north")],
)
def test_zippers_of_one_user_are_peers_whichever_of_them_goes_to_the_other(
    zippers: Zippers, way: str, dials: str
) -> None:
    other = {"north": "south", "south": "north"}
    north, south = (
        zippers.start(name, peer=other[name] if name == dials else None, **WAYS[way]) for name in ("north", "south")
    )
    south.serve.ready()
    frames_pass(north)


def test_zipper_on_another_machine_is_a_peer_with_a_certificate_and_a_right(
    zippers: Zippers, commands: Commands, tmp_path: Path, state_directory: Path
) -> None:
    done = nearfield(
        *("cert", "issue", "south", "--role", "zipper", "--host", "127.0.0.1", "--out", tmp_path / "south", "--json")
    )
    assert done.status == 0, done.stderr
    issued = json.loads(done.stdout)
    machine = ensure_server_certificate(StateDirectory(state_directory)).name
    elsewhere = {
        "state": tmp_path / "elsewhere",
        "certificates": {kind: str(issued[kind]) for kind in ("ca", "certificate", "key")},
        "rights": {machine: {"zipper": True}},
    }
    north = zippers.start("north", rights={"south": {"zipper": True}})
    south = zippers.start("south", peer="north", **elsewhere)
    frames_pass(north)
    # What has no right there is not heard, whatever it may do here.
    refused = nearfield("watch", "--zipper", f"127.0.0.1:{zippers.ports['south']}", "--timeout", "0.1")
    assert refused.status == 1
    assert "no zipper answers in namespace `default`; `local-" in refused.error
    # Without its right here, nothing passes any more.
    assert nearfield("cert", "revoke", "south").status == 0
    south.serve.says("zipper `north` is gone")
    north.serve.says("every client was connected anew")
