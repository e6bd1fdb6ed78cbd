"""Several zippers as one mesh: real processes on the loopback interface, with certificates of one authority."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearfield import Sink, Source, StreamFunction
from nearfield.frame import Header, keys
from nearfield.frame.control import Capacity, encode
from nearfield.frame.delivery import DeliveryHeader
from nearfield.transport import Lane
from nearfield.transport.homing import Homing
from tests.processes import UPPERCASE, Commands, Node, free_port, poll

TEXT, RESULT = 0x10, 0x11
UPPER = {"name": "upper", "observe": [TEXT], "emit": [RESULT], "delivery": {"mode": "complete"}}
HERE = {**UPPER, "run": str(UPPERCASE)}

# Takes its time, so that one instance alone cannot keep up.
SLOW = """
import time
from nearfield import StreamFunction

slow = StreamFunction("upper", observe=[0x10], emit=[0x11])

@slow
def handle(context):
    time.sleep(0.02)
    context.emit(0x11, context.payload.upper())
"""


class Mesh:
    """Zippers that name each other as peers."""

    def __init__(self, commands: Commands, folder: Path, names: Sequence[str]) -> None:
        self.commands = commands
        self.folder = folder
        self.ports = {name: free_port() for name in names}
        self.nodes: dict[str, Node] = {}

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def serve(self, name: str, *functions: Mapping[str, Any], peers: Sequence[str] | None = None) -> Node:
        """Start one of them. None: it names all others as peers."""
        others = [other for other in self.ports if other != name] if peers is None else peers
        content = {
            "name": name,
            "host": "127.0.0.1",
            "port": self.ports[name],
            "peers": [f"quic/127.0.0.1:{self.ports[other]}" for other in others],
            "functions": list(functions),
        }
        workflow = self.folder / f"{name}.yaml"
        workflow.write_text(yaml.safe_dump(content))
        node = self.nodes[name] = self.commands.serve(workflow, f"127.0.0.1:{self.ports[name]}")
        return node

    def until_linked(self, *names: str) -> None:
        """Wait until each of these knows all the others, and how far they are."""

        def linked() -> bool:
            for name in names:
                peers = self[name].ledger()["peers"]
                if any(other not in peers or peers[other]["round_trip_ms"] is None for other in names if other != name):
                    return False
            return True

        poll(linked, "every zipper knows the others")

    def until_offered(self, at: str, by: str, function: str = "upper") -> None:
        """Wait until one of them knows that another has instances of a function."""
        poll(lambda: function in self[at].ledger()["peers"].get(by, {}).get("free", {}), f"`{by}` offers `{function}`")

    def total(self, name: str) -> int:
        return sum(node.group("upper")[name] for node in self.nodes.values())


MakeMesh = Callable[..., Mesh]


@pytest.fixture
def mesh(commands: Commands, tmp_path: Path) -> MakeMesh:
    return lambda *names: Mesh(commands, tmp_path, names)


def send(address: str, count: int, name: str = "cam", start: int = 0) -> Source:
    """A source whose frames are all confirmed."""
    with Source(name, address, tag=TEXT, mode="complete") as source:
        for number in range(start, start + count):
            source.send(b"text %d" % number)
        assert source.flush(30)
    return source


def texts(sink: Sink, count: int) -> list[bytes]:
    """So many payloads."""
    received: list[bytes] = []
    while len(received) < count and (frame := sink.receive(20)) is not None:
        received.append(frame.payload)
    assert len(received) == count, f"got {len(received)} of {count}; {sink.statistics()}"
    return received


def test_frames_go_to_the_zipper_that_has_instances_and_results_are_seen_everywhere(mesh: MakeMesh) -> None:
    pair = mesh("north", "south")
    north, south = pair.serve("north", UPPER), pair.serve("south", HERE)
    pair.until_linked("north", "south")
    pair.until_offered("north", by="south")
    with Sink(north.address, [RESULT]) as near, Sink(south.address, [RESULT]) as far:
        send(north.address, 50)
        assert sorted(texts(near, 50)) == sorted(texts(far, 50)) == sorted(b"TEXT %d" % n for n in range(50))
        assert near.receive(0.2) is None
    here, there = north.until_settled("upper", 50), south.until_settled("upper", 50)
    assert (here["completed"], here["forwarded"], here["from_peers"]) == (50, 50, 0)
    assert (there["completed"], there["forwarded"], there["from_peers"]) == (50, 0, 50)
    assert (here["failed"], here["dropped"], there["failed"], there["dropped"]) == ({}, {}, {}, {})


def test_function_that_only_a_peer_has_is_observed_too(mesh: MakeMesh) -> None:
    pair = mesh("north", "south")
    # One of the two names the other: that is enough.
    north, south = pair.serve("north", peers=[]), pair.serve("south", HERE)
    pair.until_offered("north", by="south")
    poll(lambda: TEXT in north.connection.state.observed, "the tag is observed at `north`")
    send(north.address, 20)
    assert north.until_settled("upper", 20)["completed"] == 20
    assert south.group("upper")["from_peers"] == 20


def test_instances_here_come_first_and_peers_take_what_is_too_much(mesh: MakeMesh, tmp_path: Path) -> None:
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    pair = mesh("north", "south")
    north, south = pair.serve("north", UPPER), pair.serve("south", UPPER)
    north.run(program)
    pair.until_linked("north", "south")
    send(north.address, 3)
    assert north.group("upper")["forwarded"] == 0
    south.run(program)
    pair.until_offered("north", by="south")
    send(north.address, 100)
    here, there = north.until_settled("upper", 103), south.group("upper")
    assert here["completed"] == 103
    assert here["forwarded"] == there["completed"] == there["from_peers"]
    assert 20 <= here["forwarded"] <= 80


def test_peer_that_comes_back_is_used_again(mesh: MakeMesh) -> None:
    pair = mesh("north", "south")
    north, south = pair.serve("north", UPPER), pair.serve("south", HERE)
    pair.until_offered("north", by="south")
    send(north.address, 10)
    south.close()
    os.kill(south.serve.pid, signal.SIGKILL)
    south.serve.finish()
    poll(lambda: north.ledger()["peers"] == {}, "`south` is gone")
    with Source("cam", north.address, tag=TEXT, mode="complete") as source:
        source.send(b"text 10")
        pair.serve("south", HERE)
        assert source.flush(30)
    assert north.until_settled("upper", 11)["completed"] == 11


def test_three_zippers_in_a_full_mesh_handle_each_frame_once(mesh: MakeMesh, tmp_path: Path) -> None:
    program = tmp_path / "slow.py"
    program.write_text(SLOW)
    three = mesh("north", "south", "west")
    for name in ("north", "south", "west"):
        three.serve(name, UPPER)
    three["south"].run(program)
    three["west"].run(program)
    three.until_linked("north", "south", "west")
    for name in ("south", "west"):
        three.until_offered("north", by=name)
    with Sink(three["west"].address, [RESULT], dedupe=True) as sink:
        send(three["north"].address, 60, "cam-1")
        send(three["south"].address, 60, "cam-2")
        assert Counter(texts(sink, 120)) == {b"TEXT %d" % n: 2 for n in range(60)}
        assert sink.receive(0.3) is None
    for name in ("north", "south"):
        three[name].until_settled("upper", 60)
    # Each frame was handed on once at most: what came from peers ended where it came to. One that a busy machine loses
    # on the way is handed on anew, and counted as such.
    poll(lambda: three.total("completed") == 120 + three.total("from_peers"), "every frame ended in one place")
    forwarded, from_peers = three.total("forwarded"), three.total("from_peers")
    assert forwarded - three.total("redelivered") <= from_peers <= forwarded
    assert three["north"].group("upper")["forwarded"] >= 60
    for name in ("south", "west"):
        assert three[name].group("upper")["from_peers"] > 0


def test_zipper_with_the_name_of_another_is_told_about(mesh: MakeMesh) -> None:
    pair = mesh("north", "south")
    north = pair.serve("north", UPPER)
    workflow = yaml.safe_load((pair.folder / "north.yaml").read_text())
    twin = pair.folder / "twin.yaml"
    twin.write_text(yaml.safe_dump({**workflow, "port": free_port(), "peers": [north.address]}))
    pair.commands.start("serve", "-c", twin).ready()
    north.serve.says("another zipper in this mesh is named `north` too")


def test_messages_between_zippers_that_are_meant_ill_are_refused(mesh: MakeMesh) -> None:
    north = mesh("north").serve("north", HERE)
    session = north.connection.session
    header = Header(TEXT, 1, 0, 0, 0)
    capacity = Capacity(protocol=1, zipper="rogue", epoch=1, stamp_ns=1)
    delivery = DeliveryHeader(header, 1, 1, 0, 0, "cam").encode()
    for payload in (b"", b"[]", b"\xff", encode(Capacity(protocol=1, zipper="a/b", epoch=1, stamp_ns=1))):
        session.publish(keys.capacity("default", "rogue"), payload, lane=Lane.CONTROL)
        session.publish(keys.forwarded("default", "north", "rogue"), payload, lane=Lane.CONTROL)
    session.publish(keys.capacity("default", "rogue"), encode(capacity), lane=Lane.CONTROL)
    poll(lambda: "rogue" in north.ledger()["peers"], "whoever has a certificate may call itself a zipper")
    for attachment in (b"", b"short", delivery[:-1]):
        session.publish(keys.forward("default", "north", "rogue", "upper"), b"text", attachment=attachment)
    session.publish(keys.forward("default", "north", "rogue", "unknown"), b"text", attachment=delivery)
    session.publish(keys.forward("default", "north", "nobody", "upper"), b"text", attachment=delivery)
    send(north.address, 3)
    group = north.until_settled("upper", 3)
    assert (group["completed"], group["from_peers"]) == (3, 0)
    north.serve.says("capacity refused: capacity message: ")
    north.serve.says("report of a peer refused: report message: ")
    north.serve.says("frame of a peer refused: delivery: got 0 bytes")
    poll(lambda: north.ledger()["peers"] == {}, "it is given up when it says nothing more")


def test_clients_go_back_to_their_first_zipper_when_it_is_steady_and_complete_sources_lose_nothing(
    mesh: MakeMesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfield.transport.connection.STEADY_S", 1.0)
    monkeypatch.setattr("nearfield.transport.connection.Homing", lambda: Homing(wait_s=0.5))
    pair = mesh("north", "south")
    north, south = pair.serve("north", UPPER), pair.serve("south", UPPER)
    both = f"{north.address},{south.address}"
    with (
        Sink(both, [RESULT], dedupe=True) as sink,
        StreamFunction("upper", both, handler=lambda context: context.emit(RESULT, context.payload.upper())),
        Source("files", both, tag=TEXT, mode="complete") as source,
    ):
        north.close()
        north.serve.send_signal(signal.SIGKILL)
        north.serve.finish()
        poll(lambda: source.connection.zipper == sink.connection.zipper == "south", "both are at the other")
        south.until_instances("upper", 1)
        north = pair.serve("north", UPPER)
        sent = 0
        # Frames flow all the time that they move.
        while not (source.connection.zipper == sink.connection.zipper == "north" and north.group("upper")["instances"]):
            source.send(b"text %d" % sent, timeout_s=30)
            sent += 1
            assert sent < 3_000, "they did not go back"
            time.sleep(0.01)
        for _ in range(20):
            source.send(b"text %d" % sent, timeout_s=30)
            sent += 1
        assert source.flush(30)
        assert sorted(texts(sink, sent)) == sorted(b"TEXT %d" % n for n in range(sent))
        statistics = source.statistics()
        assert statistics.released == statistics.offered == sent
        for node in (north, south):
            group = node.until_settled("upper", 1)
            # What one handed to the other while the function moved was given back to it, and handled there.
            assert group["completed"] == group["received"] - group["dropped"].pop("returned", 0)
            assert (group["failed"], group["dropped"]) == ({}, {})
