"""The guests in the repository, end to end: each ABI, on text and on pictures of the factory line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfield import Source
from nearfield.media import open_video
from tests.processes import (
    BELT,
    FACTORY_LINE,
    GUESTS,
    PARTS,
    PARTS_LABELS,
    RECOGNISE,
    UPPERCASE,
    Commands,
    Node,
    nearfield,
)

BINDGEN = GUESTS / "bindgen-upper" / "bindgen-upper.wasm"
GENERATION_A = GUESTS / "bindgen-classify-a" / "bindgen-classify-a.wasm"
GENERATION_B = GUESTS / "bindgen-classify-b" / "bindgen-classify-b.wasm"

ABIS = {
    UPPERCASE: "nearfield-v1",
    RECOGNISE: "nearfield-v1",
    BINDGEN: "wasmedge-bindgen-0.4",
    GENERATION_A: "wasmedge-bindgen-0.4",
    GENERATION_B: "wasmedge-bindgen-0.4",
}

# One picture of each part and of the empty belt, and a few more.
PICTURES = 20


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper whose functions connect by themselves."""
    complete = {"mode": "complete"}
    return module_commands.node(
        [
            {"name": "text", "observe": ["0x10"], "delivery": complete},
            {"name": "pictures", "observe": ["0x20"], "delivery": complete},
        ]
    )


@pytest.fixture(scope="module")
def belt() -> tuple[list[bytes], list[str]]:
    """Pictures of the belt that show one thing clearly, as JPEG, and what they show."""
    truth = [frame for frame in json.loads((FACTORY_LINE / "truth.json").read_text())["frames"] if frame["label"]]
    wanted = {frame["index"]: frame["label"] for frame in truth[:: len(truth) // PICTURES]}
    with open_video(BELT) as video:
        pictures = {frame.index: frame.jpeg() for frame in video if frame.index in wanted}
    assert set(wanted.values()) == set(PARTS_LABELS.read_text().split())
    return list(pictures.values()), [wanted[index] for index in pictures]


@pytest.fixture
def source(node: Node) -> Iterator[Source]:
    with Source("here", node.address, mode="complete") as source:
        yield source


@pytest.mark.parametrize("guest", [UPPERCASE, BINDGEN], ids=lambda guest: guest.stem)
def test_a_guest_answers_text_on_the_next_tag(node: Node, source: Source, guest: Path) -> None:
    run = node.run(guest, "--name", "text", "--observe", "0x10")
    assert run.lines[0]["abi"] == ABIS[guest]
    watch = node.watch("--tag", "0x11")
    for text in ("straße 1", "HOT dog", "ok\n"):
        source.send(text.encode(), tag=0x10)
    watch.until(lambda: len(watch.frames) == 3, "three results")
    # ASCII letters only: neither guest knows about the others.
    assert [line["text"] for line in watch.frames] == ["STRAßE 1", "HOT DOG", "OK\n"]
    assert run.stop() == 0


def test_an_error_that_a_bindgen_guest_returns_fails_that_frame_only(node: Node, source: Source) -> None:
    run = node.run(BINDGEN, "--name", "text", "--observe", "0x10")
    watch = node.watch("--tag", "0x11")
    before = node.group("text")
    for payload in (b"one", b"", b"two"):
        source.send(payload, tag=0x10)
    after = node.until_settled("text", before["received"] + 3)
    assert after["completed"] - before["completed"] == 2
    assert after["failed"] == {"reported": 1}
    watch.until(lambda: len(watch.frames) == 2, "two results")
    assert [line["text"] for line in watch.frames] == ["ONE", "TWO"]
    assert "payload: got 0 bytes, expected some text" in run.stderr
    assert run.stop() == 0


@pytest.mark.parametrize(
    ("guest", "options"),
    [
        (RECOGNISE, ("--model", PARTS, "--labels", PARTS_LABELS)),
        (RECOGNISE, ("--model", f"parts={PARTS}", "--labels", f"parts={PARTS_LABELS}", "--instance", "worker")),
        (GENERATION_A, ()),
        (GENERATION_B, ()),
    ],
    ids=["by-name", "one-sandbox-for-all-frames", "generation-a", "generation-b"],
)
def test_a_guest_recognises_the_parts_on_the_belt(
    node: Node, source: Source, belt: tuple[list[bytes], list[str]], guest: Path, options: tuple[str | Path, ...]
) -> None:
    pictures, labels = belt
    run = node.run(guest, "--name", "pictures", "--observe", "0x20", *options)
    assert run.lines[0]["abi"] == ABIS[guest]
    watch = node.watch("--tag", "0x21")
    first = node.group("pictures")
    for picture in pictures:
        source.send(picture, tag=0x20)
    group = node.until_settled("pictures", first["received"] + len(pictures))
    assert group["completed"] - first["completed"] == len(pictures)
    watch.until(lambda: len(watch.frames) == len(pictures), "a result for each picture")
    seen = [line["json"]["label"] for line in watch.frames]
    agreeing = sum(label == expected for label, expected in zip(seen, labels, strict=True))
    assert agreeing >= len(labels) - 1, list(zip(seen, labels, strict=True))
    assert all(0.0 < line["json"]["confidence"] <= 1.0 for line in watch.frames)
    assert run.stop() == 0


def test_inspect_names_the_abi_of_each_guest() -> None:
    done = nearfield("inspect", *ABIS, "--json")
    assert done.status == 0
    assert done.stderr == ""
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert {Path(report["path"]): report["abi"] for report in reports} == ABIS
    assert all(report["would_run"] for report in reports)

    shown = nearfield("inspect", *ABIS)
    assert shown.status == 0
    for guest, abi in ABIS.items():
        assert str(guest) in shown.stdout
        assert abi in shown.stdout
