"""Guests of other ABIs through the whole system: commands, zipper, ledger."""

from __future__ import annotations

import json

import pytest

from nearfield import Source
from tests.processes import GUESTS, Commands, nearfield

YOMO = GUESTS / "yomo-upper" / "yomo-upper.wasm"
COMMAND = GUESTS / "wasi-upper-c" / "wasi-upper-c.wasm"


@pytest.mark.parametrize(
    ("path", "abi", "failure", "arguments"),
    [
        (YOMO, "yomo", "payload: got 0 bytes, expected some text", []),
        (
            COMMAND,
            "wasi-command",
            "exited with status 2: payload: got 0 bytes, expected some text",
            ["--observe", "0x10", "--emit", "0x11"],
        ),
    ],
    ids=["yomo", "wasi-command"],
)
def test_an_unmodified_guest_serves_a_zipper(
    commands: Commands, path: object, abi: str, failure: str, arguments: list[str]
) -> None:
    """The YoMo guest brings its own tags; the command is told which to observe and emit."""
    node = commands.node([{"name": "upper"}])
    run = node.run(str(path), "--name", "upper", *arguments)
    assert run.lines[0]["abi"] == abi
    assert run.lines[0]["observe"] == ["0x10"]
    watch = node.watch("--tag", "0x11")
    with Source("texts", node.address, mode="complete") as source:
        for text in (b"one", b"", b"two", b"x" * 50_000):
            source.send(text, tag=0x10)
        group = node.until_settled("upper", 4)
        watch.until(lambda: len(watch.frames) == 3, "a result for each text")
    assert (group["completed"], sum(group["failed"].values())) == (3, 1)
    assert [line["text"] for line in watch.frames[:2]] == ["ONE", "TWO"]
    (failed,) = (line for line in run.frames if line["error"] is not None)
    assert failure in failed["error"]
    assert run.stop() == 0


def test_inspection_names_the_abi_of_every_guest() -> None:
    names = ("yomo-upper", "yomo-fetch", "bindgen-upper", "bindgen-imports-upper", "wasi-upper-c", "wasi-upper-rust")
    done = nearfield("inspect", "--json", *(GUESTS / name / f"{name}.wasm" for name in names))
    assert done.status == 0
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert [report["abi"] for report in reports] == [
        "yomo",
        "yomo",
        "wasmedge-bindgen-0.4",
        "wasmedge-bindgen-0.1",
        "wasi-command",
        "wasi-command",
    ]
    fetching = {entry["name"]: entry["satisfied_by"] for entry in reports[1]["imports"]}
    assert fetching["yomo_http_send"] == "env (hosts must be granted)"
