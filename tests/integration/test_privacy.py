"""`emit_kind` against a guest in its sandbox that tries every way to get a picture out."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nearfield import Frame, Sink, Source
from nearfield.media import open_video
from tests.integration.smuggler import smuggler
from tests.processes import BELT, Commands, Node, poll

TEXT, JSON, BOXES, PIECES, NAMES = 0x10, 0x20, 0x30, 0x40, 0x50
FUNCTIONS = {TEXT: "text", JSON: "json", BOXES: "boxes", PIECES: "pieces", NAMES: "names"}
RATE = 1024
MOST = 4096
# What may leave at once: one payload of the largest size, with what each frame is charged.
BURST = MOST + 8
# No shorter piece of the picture is looked for: it could stand in a message by chance.
PIECE = 24


@dataclass
class Site:
    node: Node
    sink: Sink
    picture: bytes
    started_s: float

    def send(self, tag: int, *modes: str) -> dict[str, Any]:
        """Give the guest this picture once for each mode, and wait for what the ledger says then."""
        name = FUNCTIONS[tag]
        before = self.node.group(name)["received"]
        with Source(f"camera-{name}", self.node.address, tag=tag, mode="complete") as source:
            for mode in modes:
                source.send(mode.encode() + self.picture)
            assert source.flush(timeout_s=30.0)
        return self.node.until_settled(name, before + len(modes))

    def left(self) -> list[bytes]:
        """Payloads that came out of the site since the last call."""
        return [bytes(frame.payload) for frame in self.frames()]

    def frames(self) -> list[Frame]:
        """What came out of the site since the last call."""
        frames = []
        while (frame := self.sink.receive(timeout_s=0.5)) is not None:
            frames.append(frame)
        return frames

    def is_in(self, text: str) -> bool:
        """Whether a piece of the picture is in this text."""
        encoded = base64.b64encode(self.picture).decode()
        return any(encoded[at : at + PIECE] in text for at in range(len(encoded) - PIECE))


@pytest.fixture(scope="module")
def site(module_commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    guest = str(smuggler(tmp_path_factory.mktemp("guest")))

    def function(tag: int, kind: str, **rules: int) -> dict[str, Any]:
        delivery = {"mode": "complete", "retries": 0}
        entry = {"name": FUNCTIONS[tag], "observe": [tag], "emit": [tag + 1], "run": guest, "delivery": delivery}
        return {**entry, "emit_kind": kind, **rules}

    slow = [function(tag, "text", emit_bytes=MOST, emit_rate=RATE) for tag in (PIECES, NAMES)]
    started_s = time.monotonic()
    node = module_commands.node([function(TEXT, "text"), function(JSON, "json"), function(BOXES, "boxes"), *slow])
    for name in FUNCTIONS.values():
        node.until_instances(name, 1)
    # Results, and whatever else somebody might invent.
    tags = [*(tag + 1 for tag in FUNCTIONS), *range(4096, 4096 + 256)]
    picture = next(iter(open_video(str(BELT)))).jpeg()
    with Sink(node.address, tags=tags) as sink:
        yield Site(node, sink, picture, started_s)


def test_a_picture_leaves_in_no_way_that_the_rules_name(site: Site) -> None:
    """Raw, as text, in JSON, in a label, in tags, in what it logs, in how it fails: refused, counted, unsaid."""
    assert site.send(TEXT, "x", "f", "r", "t", "g")["failed"] == {
        "emit_bytes": 2,
        "emit": 1,
        "reported": 1,
        "trapped": 1,
    }
    assert site.send(JSON, "r", "j", "b")["failed"] == {"emit_bytes": 2}
    assert site.send(BOXES, "r", "B", "b")["failed"] == {"emit_bytes": 1, "emit_kind": 1}
    assert site.send(TEXT, "l")["completed"] == 1
    payloads = site.left()
    # A box is JSON as well. What one label of a box can say is what may leave.
    assert sorted(map(len, payloads)) == [len(b"done"), 70, 70]
    said = site.node.serve.stderr
    assert not site.is_in(said)
    assert "what it says is withheld because of `emit_kind`" in said
    assert "its own words are withheld because of `emit_kind`" in said


def test_a_picture_in_small_pieces_is_slowed_down_to_the_rate(site: Site) -> None:
    """In many short texts, and in nothing but their number."""
    group = site.send(PIECES, *"p" * 20)
    assert group["failed"]["emit_rate"] >= 1
    assert group["completed"] >= 1
    numbers = site.send(PIECES, *"n" * 10)
    assert numbers["failed"]["emit_rate"] > group["failed"]["emit_rate"]
    payloads = site.left()
    elapsed_s = time.monotonic() - site.started_s
    assert sum(len(payload) + 8 for payload in payloads) <= BURST + RATE * elapsed_s
    # What a person would have got without the rule.
    assert sum(map(len, payloads)) < 20 * 16 * 64


def test_a_picture_in_names_that_frames_are_addressed_to_is_slowed_down_to_the_rate(site: Site) -> None:
    group = site.send(NAMES, *"a" * 20)
    assert group["failed"]["emit_rate"] >= 1
    assert group["completed"] >= 1
    frames = site.frames()
    elapsed_s = time.monotonic() - site.started_s
    encoded = base64.b64encode(site.picture).decode().replace("+", "_").replace("/", ".")
    assert frames
    assert all(frame.header.is_addressed and frame.origin[1:] in encoded for frame in frames)
    assert sum(len(frame.origin) + len(frame.payload) + 8 for frame in frames) <= BURST + RATE * elapsed_s
    assert len(frames) < 20 * 16


def test_a_program_is_held_to_its_kind_by_its_worker(commands: Commands, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "from nearfield import StreamFunction\n"
        "f = StreamFunction('f', observe=[0x10])\n"
        "@f\n"
        "def handle(context):\n"
        "    if context.payload == b'raise':\n"
        "        raise ValueError('the secret of ' + context.origin)\n"
        "    try:\n"
        "        context.emit(0x11, context.payload)\n"
        "    except Exception:\n"
        "        pass\n"
    )
    delivery = {"mode": "complete", "retries": 0}
    function = {"name": "f", "observe": [0x10], "emit": [0x11], "run": f"{app}:f", "delivery": delivery}
    node = commands.node([{**function, "emit_kind": "text"}])
    node.until_instances("f", 1)
    with Sink(node.address, tags=[0x11]) as sink, Source("s", node.address, tag=0x10, mode="complete") as source:
        for payload in (b"\xff\xd8\xff", b"fine", b"raise", b"zero\xe2\x80\x8bwidth"):
            source.send(payload)
        assert source.flush(timeout_s=30.0)
        frame = sink.receive(timeout_s=10.0)
        assert frame is not None
        assert bytes(frame.payload) == b"fine"
        assert sink.receive(timeout_s=0.5) is None
    assert node.until_settled("f", 4)["failed"] == {"emit_kind": 2, "handler": 1}
    assert "secret" not in node.serve.stderr


def test_a_function_may_say_the_same_of_itself(commands: Commands, tmp_path: Path) -> None:
    node = commands.node([{"name": "f", "observe": [0x10], "delivery": {"mode": "complete", "retries": 0}}])
    node.run(smuggler(tmp_path), "--name", "f", "--emit", "0x11", "--emit-kind", "json", "--emit-bytes", "100")
    with Source("s", node.address, tag=0x10, mode="complete") as source:
        source.send(b"r" + b"\xff" * 60)
        source.send(b"r" + b"1" * 101)
        source.send(b"r[1, 2]")
        assert source.flush(timeout_s=30.0)
    poll(lambda: node.group("f")["received"] == 3, "three frames")
    group = node.until_settled("f", 3)
    assert (group["failed"], group["completed"]) == ({"emit_kind": 1, "emit_bytes": 1}, 1)
