"""What commands print: lines for people, JSON for programs, and quiet ends of pipes."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import pytest

from nearfield import Source
from tests.processes import (
    BELT,
    UPPERCASE,
    Commands,
    Node,
    command_line,
    environment_with,
    nearfield,
    poll,
)


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with one instance that answers in upper case."""
    node = module_commands.node([{"name": "upper", "observe": ["0x10"]}])
    node.run(UPPERCASE, "--name", "upper")
    return node


def sends_until_ended(source: Source, process: subprocess.Popen[str], payload: bytes = b"some text") -> None:
    def step() -> bool:
        source.send(payload)
        return process.poll() is not None

    poll(step, "the end of the command")


def started(*arguments: str, shell: str = "") -> subprocess.Popen[str]:
    """A command with its output in a pipe of ours, or first through a shell's."""
    command = shlex.join(command_line(arguments)) + shell
    return subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {command}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment_with({}),
    )


def test_a_reader_that_has_seen_enough_ends_the_sink_quietly(node: Node) -> None:
    with (
        started("watch", "--tag", "0x11", "--json", "--zipper", node.address, shell=" | head -2") as pipe,
        Source("texts", node.address, tag=0x10) as source,
    ):
        sends_until_ended(source, pipe)
        stdout, stderr = pipe.communicate()
    assert stderr == ""
    ready, first = [json.loads(line) for line in stdout.splitlines()]
    assert ready == {"event": "ready", "zipper": "node", "tags": ["0x11"]}
    assert set(first) == {"origin", "sequence", "tag", "captured_ns", "latency_ms", "text"}
    assert (first["origin"], first["tag"], first["text"]) == ("texts", "0x11", "SOME TEXT")


def test_people_get_time_frame_tag_latency_and_payload(node: Node) -> None:
    arguments = ("watch", "--tag", "0x11", "--count", "2", "--zipper", node.address)
    with started(*arguments) as process, Source("texts", node.address, tag=0x10) as source:
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready == "watching 0x11 at zipper `node`; Ctrl-C ends it.\n"
        sends_until_ended(source, process, b"a\x1b[31m\nb")
        stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (0, "")
    lines = stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        # Control characters of the payload never reach the terminal.
        assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  texts/\d+ +0x11 +\d+\.\d ms  A·\[31M·B", line), line


def test_bytes_are_summed_up_for_people_and_encoded_for_programs(node: Node) -> None:
    arguments = ("--tag", "0x11", "--count", "1", "--zipper", node.address)
    with (
        started("watch", *arguments) as people,
        started("watch", *arguments, "--json") as program,
        Source("bytes", node.address, tag=0x10) as source,
    ):
        for process in (people, program):
            assert process.stdout is not None
            process.stdout.readline()
        sends_until_ended(source, people, b"\xff\xd8\xff\xe0")
        sends_until_ended(source, program, b"\xff\xd8\xff\xe0")
        assert people.communicate()[0].rstrip().endswith("4 bytes (ff d8 ff e0…)")
        frame, ended = map(json.loads, program.communicate()[0].splitlines())
        assert frame["base64"] == "/9j/4A=="
        assert ended == {"event": "ended", "received": 1, "dropped": 0, "missed": 0, "recovered": 0}


def test_a_sink_ends_after_so_many_frames_or_so_long_a_silence(node: Node) -> None:
    counting = node.watch("--tag", "0x11", "--count", "3")
    waiting = node.watch("--tag", "0x99", "--timeout", "0.5")
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        for _ in range(5):
            source.send(b"text")
    assert counting.finish() == 0
    assert len(counting.frames) == 3
    assert waiting.finish() == 0
    assert waiting.frames == []


def test_a_sink_without_tags_gets_every_frame(node: Node) -> None:
    watch = node.watch("--count", "2")
    assert watch.lines[0]["tags"] == []
    with Source("texts", node.address, tag=0x10) as source:
        source.send(b"text")
        assert watch.finish() == 0
    assert sorted(line["tag"] for line in watch.frames) == ["0x10", "0x11"]


def test_send_prints_number_hash_and_size_when_verbose(node: Node) -> None:
    done = nearfield(
        "send", BELT, "--tag", "0x10", "--every", "150", "--fps", "max", "--verbose", "--zipper", node.address
    )
    assert (done.status, done.stderr) == (0, "")
    first, *sent, last = done.stdout.splitlines()
    assert first == "sending `belt.mp4` as source `belt`, tag 0x10, to zipper `node`; Ctrl-C ends it."
    assert len(sent) == 3
    for number, line in enumerate(sent):
        assert re.fullmatch(rf"sent frame {number}, sha256 [0-9a-f]{{16}}…, [\d,]+ bytes", line), line
    assert re.fullmatch(
        r"sent 3 frames \([\d.]+ MB\) in [\d.]+ s, [\d.]+ frames/s; "
        r"3 confirmed by the zipper, 0 replaced by newer ones",
        last,
    ), last


def test_send_says_when_no_function_observes_the_tag(node: Node) -> None:
    done = nearfield("send", BELT, "--tag", "0x77", "--every", "400", "--fps", "max", "--zipper", node.address)
    assert (done.status, done.stderr) == (0, "")
    assert "no function there observes 0x77: only sinks receive these frames, and none is confirmed." in done.stdout


def test_help_names_the_commands() -> None:
    done = nearfield("--help")
    assert (done.status, done.stderr) == (0, "")
    for command in ("demo", "serve", "run", "send", "watch", "inspect", "validate", "version"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_a_command_loads_no_engine_that_it_does_not_need() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "nearfield", "watch", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env=environment_with({}),
    )
    assert "--timeout" in done.stdout
    assert re.search(r"\| +zenoh$", done.stderr, re.MULTILINE)
    assert not re.search(r"\| +(wasmtime|av|ai_edge_litert|numpy)$", done.stderr, re.MULTILINE)


def test_the_ledger_is_readable_at_any_moment(node: Node) -> None:
    with Source("books", node.address, tag=0x10, mode="complete") as source:
        source.send(b"one")
    shown = nearfield("top", "--once", "--json", "--zipper", node.address)
    assert (shown.status, shown.stderr) == (0, "")
    group = json.loads(shown.stdout)["groups"]["upper"]
    settled = group["completed"] + sum(group["failed"].values()) + sum(group["dropped"].values())
    assert group["received"] == settled + group["queued"] + group["in_flight"] >= 1
    text = nearfield("top", "--once", "--zipper", node.address).stdout
    assert text.startswith("zipper node: ")
    assert re.search(r"^upper +live +1 ", text, re.MULTILINE)


def test_top_looks_again_until_it_is_interrupted(node: Node) -> None:
    with started("top", "--interval", "0.1", "--json", "--zipper", node.address, shell=" | head -3") as process:
        stdout, stderr = process.communicate(timeout=60)
    assert stderr == ""
    assert len({json.loads(line)["epoch"] for line in stdout.splitlines()}) == 1
    assert len(stdout.splitlines()) == 3
