"""What the workflow says about sandboxes reaches the workers, which are contained: grants, limits, compiled files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nearfield import Source
from tests.processes import GUESTS, RECOGNISE, UPPERCASE, Commands, Node, nearfield
from tests.unit.sandbox.kit import own_guest, write

FILES = GUESTS / "wasi-files" / "wasi-files.wasm"


def function(run: Path, **sandbox: Any) -> dict[str, Any]:
    return {
        "name": "f",
        "observe": ["0x10"],
        "emit": ["0x11"],
        "run": str(run),
        "delivery": {"mode": "complete", "retries": 0},
        "sandbox": sandbox,
    }


def answer(node: Node, payload: str) -> str:
    """What comes back for one frame."""
    watch = node.watch("--tag", "0x11")
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        source.send(payload.encode())
        assert source.flush(timeout_s=30.0)
    watch.until(lambda: len(watch.frames) == 1, "a result")
    text: str = watch.frames[0]["text"]
    return text


def test_a_contained_worker_gives_its_guest_what_the_workflow_grants_and_nothing_else(
    commands: Commands, tmp_path: Path
) -> None:
    for name in ("data", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "data/parts.txt").write_text("bolt")
    (tmp_path / "secret").write_text("secret")
    grants = {
        "environment": {"LINE": "three", "TOKEN": "not for ps"},
        "directories": [
            {"host": str(tmp_path / "data"), "guest": "/data"},
            {"host": str(tmp_path / "out"), "guest": "/out", "write": True},
        ],
    }
    node = commands.node([function(FILES, grants=grants)])
    node.until_instances("f", 1)
    orders = (
        "env LINE", "env HOME", "env NEARFIELD_GUEST_ENVIRONMENT", "read /data/parts.txt", "write /out/new text",
        "list /out", "read /data/../secret", "write /data/new text",
    )  # fmt: skip
    said = answer(node, "\n".join(orders)).splitlines()
    assert said[:6] == ["three", "unset", "unset", "bolt", "written", "new"]
    assert all(line.startswith("error: ") for line in said[6:])
    assert (tmp_path / "out/new").read_text() == "text"


def test_a_granted_directory_that_is_missing_ends_the_worker_for_good(commands: Commands, tmp_path: Path) -> None:
    missing = {"directories": [{"host": str(tmp_path / "none"), "guest": "/data"}]}
    node = commands.node([function(FILES, grants=missing)])
    node.serve.says("cannot be opened: No such file or directory")
    node.serve.says("cannot run as configured")


def test_a_limit_of_the_workflow_holds_in_the_worker(commands: Commands, tmp_path: Path) -> None:
    looping = write(tmp_path, own_guest("(loop (br 0)) i32.const 0"))
    node = commands.node([function(looping, deadline="50ms")])
    node.until_instances("f", 1)
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        source.send(b"x")
        source.flush(timeout_s=30.0)
    node.until_group("f", lambda group: group["failed"] == {"timeout": 1}, "one timeout")
    node.serve.says("used up its deadline of 0.05 s")


@pytest.fixture
def precompiled(tmp_path: Path) -> Path:
    path = tmp_path / "upper.precompiled"
    done = nearfield("compile", UPPERCASE, "-o", path, "--json")
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    assert Path(report["cache_file"]).exists()
    assert (report["sha256"], report["output"]) == (report["sha256"].lower(), str(path))
    return path


def test_a_precompiled_file_runs_where_the_workflow_allows_it(commands: Commands, precompiled: Path) -> None:
    node = commands.node([function(precompiled, allow_precompiled=True)])
    node.until_instances("f", 1)
    assert answer(node, "text") == "TEXT"


def test_a_precompiled_file_is_refused_otherwise(commands: Commands, precompiled: Path) -> None:
    node = commands.node([function(precompiled)])
    node.serve.says("not allowed, because loading compiled code is running native code")
    node.serve.says("cannot run as configured")


def test_a_compiled_guest_is_found_in_the_cache(tmp_path: Path) -> None:
    environment = {"NEARFIELD_STATE_DIR": str(tmp_path / "state")}
    sources = []
    for _ in range(2):
        done = nearfield("compile", RECOGNISE, "--json", environment=environment)
        assert (done.status, done.stderr) == (0, "")
        sources.append(json.loads(done.stdout)["source"])
    assert sources == ["compiled", "cache"]
    shown = nearfield("compile", RECOGNISE, environment=environment)
    assert "was compiled already: read in" in shown.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "content: got 0 bytes"), (b"\0asm\x01\0\0\0\xff", "not a valid module"), (b"<html>", "got a web page")],
)
def test_what_is_no_guest_cannot_be_compiled(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(content)
    done = nearfield("compile", path)
    assert (done.status, done.stdout) == (2, "")
    assert message in done.error
