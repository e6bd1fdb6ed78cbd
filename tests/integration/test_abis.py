"""Guests of other ABIs through the whole system: commands, zipper, ledger."""

from __future__ import annotations

import base64
import json

import pytest

from nearfield import Source
from tests.processes import GUESTS, Commands, nearfield
from tests.unit.sandbox.hostcalls.web_server import Server

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


def test_a_granted_host_is_reached_from_a_worker_and_no_other(commands: Commands) -> None:
    """By address and by name, under all that contains a worker."""
    with Server() as server:
        node = commands.node([{"name": "fetch"}])
        hosts = [f"127.0.0.1:{server.port}", f"localhost:{server.port}"]
        grants = [argument for host in hosts for argument in ("--http-host", host)]
        run = node.run(GUESTS / "yomo-fetch" / "yomo-fetch.wasm", "--name", "fetch", "--deadline", "20s", *grants)
        assert run.lines[0]["observe"] == ["0x20"]
        watch = node.watch("--tag", "0x21")
        with Source("addresses", node.address, mode="complete") as source:
            for host in (*hosts, "example.org"):
                source.send(f"http://{host}/a".encode(), tag=0x20)
            watch.until(lambda: len(watch.frames) == 3, "an answer for each address")
        fetched, named, refused = (line["json"] for line in watch.frames)
        assert (fetched["StatusCode"], fetched["Body"]) == (200, base64.b64encode(b"hello ").decode())
        assert named["Body"] == fetched["Body"]
        assert refused == {"error": 2}
        assert len(server.seen) == 2
        run.says("guest `fetch`: yomo_http_send: `example.org` port 80 is not granted")
