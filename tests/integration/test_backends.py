"""Models of every format in a worker that the workflow starts: contained, batched, on several threads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg

from nearfield import Source
from tests.conformance.inference.networks import Parts, onnx_colours, openvino_colours
from tests.processes import RECOGNISE, Commands

SIDE = 32
COLOURS = {"red": (220, 10, 10), "green": (10, 220, 10), "blue": (10, 10, 220)}


def picture(colour: str) -> bytes:
    pixels = np.full((SIDE, SIDE, 3), COLOURS[colour], np.uint8)
    jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=95, colorsubsampling="444")
    return jpeg


@pytest.mark.parametrize(
    ("name", "parts"),
    [("colours.onnx", onnx_colours(SIDE)), ("colours.xml", openvino_colours(SIDE))],
    ids=["onnxruntime", "openvino"],
)
def test_a_guest_uses_a_model_of_the_workflow(commands: Commands, name: str, parts: Parts) -> None:
    path = commands.folder / name
    path.write_bytes(parts[0])
    if len(parts) > 1:
        path.with_suffix(".bin").write_bytes(parts[1])
    (commands.folder / "labels.txt").write_text("\n".join(COLOURS))
    model = {
        "path": str(path),
        "labels": str(commands.folder / "labels.txt"),
        "sha256": hashlib.sha256(b"".join(parts)).hexdigest(),
        "device": "auto",
        "threads": 2,
        "batch": {"max": 4, "wait": "1ms"},
    }
    function = {
        "name": "pictures",
        "observe": ["0x20"],
        "emit": ["0x21"],
        "run": str(RECOGNISE),
        "delivery": {"mode": "complete"},
    }
    node = commands.node([function], models={"colours": model})
    node.until_instances("pictures", 1)
    watch = node.watch("--tag", "0x21")
    wanted = [colour for _ in range(5) for colour in COLOURS]
    with Source("here", node.address, mode="complete") as source:
        for colour in wanted:
            source.send(picture(colour), tag=0x20)
        watch.until(lambda: len(watch.frames) == len(wanted), f"{len(wanted)} results")
    assert {line["sequence"]: line["json"]["label"] for line in watch.frames} == dict(enumerate(wanted))


def test_a_model_with_another_digest_is_reported_once_with_both(commands: Commands) -> None:
    path = commands.folder / "colours.onnx"
    path.write_bytes(onnx_colours(SIDE)[0])
    run = commands.start("run", RECOGNISE, "--model", path, "--sha256", "0" * 64, "--name", "f", "--observe", "0x20")
    assert run.finish() == 2
    told = f"error: model `default` (`{path}`): content: got sha256 {digest_of(path)}, expected {'0' * 64}"
    assert told in run.stderr


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
