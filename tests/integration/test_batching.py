"""Frames of several sources, put together for one inference: real processes, an ONNX network, wasi-nn."""

from __future__ import annotations

import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from nearfield import Source
from nearfield.sink import Sink
from tests.integration.network_guest import I64, write_network_guest
from tests.processes import Command, Commands, Node
from tests.unit.inference import batch_models

SOURCES = 3
FRAMES = 60
Eventually = Callable[..., None]


@pytest.fixture
def dense(tmp_path: Path) -> tuple[Path, Path]:
    """A guest, and the network that it runs."""
    model = tmp_path / "dense.onnx"
    model.write_bytes(batch_models.dense(width=512, hidden=2048))
    guest = write_network_guest(tmp_path / "net.wasm", width=512, out_bytes=4 * batch_models.CLASSES)
    return guest, model


def results_of(node: Node, payloads: dict[str, list[bytes]], expected: int) -> dict[str, list[tuple[int, bytes]]]:
    """Send each source's payloads at once, all sources side by side; results by source, in the order of arrival."""
    seen: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    with Sink(node.address, [0x11]) as sink:
        threads = [threading.Thread(target=_send, args=(node, name, given)) for name, given in payloads.items()]
        for thread in threads:
            thread.start()
        for _ in range(expected):
            frame = sink.receive(timeout_s=30.0)
            assert frame is not None, f"{sum(map(len, seen.values()))} of {expected} results"
            seen[frame.origin].append((frame.header.sequence, frame.payload))
        for thread in threads:
            thread.join()
    return seen


def _send(node: Node, name: str, payloads: Sequence[bytes]) -> None:
    with Source(name, node.address, mode="complete") as source:
        for payload in payloads:
            source.send(payload, tag=0x10)


def batches_of(run: Command) -> tuple[int, int, int, int]:
    """Computes, frames, the largest batch, and frames computed alone after a failure, as the worker says at its end."""
    found = re.search(
        r"BatchStatistics\(computes=(\d+), frames=(\d+), largest=(\d+), late=\d+, alone=(\d+)\)", run.stderr
    )
    assert found is not None, run.stderr
    return tuple(map(int, found.groups()))  # type: ignore[return-value]


def test_results_are_those_of_frames_computed_alone_in_the_order_of_each_source(
    commands: Commands, dense: tuple[Path, Path]
) -> None:
    guest, model = dense
    frames = batch_models.frames_for(512, SOURCES * FRAMES)
    payloads = {f"cam-{n}": frames[n * FRAMES : (n + 1) * FRAMES] for n in range(SOURCES)}
    function = {"name": "net", "observe": ["0x10"], "delivery": {"mode": "complete"}}
    answers = {}
    for batch in ((), ("--batch", "net=4:200ms")):
        node = commands.node([function])
        run = node.run(guest, "--name", "net", "--emit", "0x11", "--model", f"net={model}", *batch, "--deadline", "20s")
        answers[bool(batch)] = results_of(node, payloads, SOURCES * FRAMES)
        group = node.until_settled("net", SOURCES * FRAMES)
        assert (group["completed"], group["failed"]) == (SOURCES * FRAMES, {})
        assert run.stop() == 0
    computes, computed, largest, alone = batches_of(run)
    assert (computed, alone) == (SOURCES * FRAMES, 0)
    assert 1 < largest <= 4
    assert computes < computed
    for name in payloads:
        unbatched, batched = answers[False][name], answers[True][name]
        assert [sequence for sequence, _ in batched] == [sequence for sequence, _ in unbatched]
        for (_, one), (_, other) in zip(unbatched, batched, strict=True):
            np.testing.assert_allclose(np.frombuffer(other, np.float32), np.frombuffer(one, np.float32), rtol=1e-5)


def test_a_guest_that_hangs_or_traps_among_others_fails_its_frame_only(
    commands: Commands, dense: tuple[Path, Path]
) -> None:
    guest, model = dense
    frames = batch_models.frames_for(512, 30)
    frames[5], frames[12] = b"l", b"t"
    node = commands.node([{"name": "net", "observe": ["0x10"], "delivery": {"mode": "complete"}}])
    run = node.run(
        *(guest, "--name", "net", "--emit", "0x11", "--model", f"net={model}"),
        *("--batch", "net=4:5ms", "--deadline", "3s"),
    )
    results = results_of(node, {"cam": frames}, 28)["cam"]
    assert [sequence for sequence, _ in results] == [n for n in range(30) if n not in (5, 12)]
    group = node.until_settled("net", 30)
    assert (group["completed"], group["failed"]) == (28, {"timeout": 1, "trapped": 1})
    assert [line["sequence"] for line in run.frames] == list(range(30))
    failed = {line["sequence"]: line["error"] for line in run.frames if line["error"] is not None}
    assert "used up its deadline of 3 s" in failed[5]
    assert "guest trapped" in failed[12]
    assert run.stop() == 0


def test_a_frame_that_the_model_refuses_fails_alone(commands: Commands, tmp_path: Path) -> None:
    model = tmp_path / "picky.onnx"
    model.write_bytes(batch_models.picky())
    guest = write_network_guest(tmp_path / "net.wasm", width=1, element=I64, value_bytes=8, out_bytes=16)
    numbers = [n % 3 if n % 10 else 7 for n in range(1, 61)]
    node = commands.node([{"name": "net", "observe": ["0x10"], "delivery": {"mode": "complete"}}])
    run = node.run(
        guest,
        "--name",
        "net",
        "--emit",
        "0x11",
        "--model",
        f"net={model}",
        "--batch",
        "net=4:100ms",
        "--deadline",
        "20s",
    )
    results = results_of(node, {"cam": [n.to_bytes(8, "little") for n in numbers]}, 54)["cam"]
    group = node.until_settled("net", 60)
    assert (group["completed"], group["failed"]) == (54, {"reported": 6})
    rows: dict[int, set[bytes]] = defaultdict(set)
    for sequence, content in results:
        rows[numbers[sequence]].add(content)
    assert {number: len(contents) for number, contents in rows.items()} == {0: 1, 1: 1, 2: 1}
    assert run.stop() == 0
    assert batches_of(run)[3] > 0, "no bad frame was ever part of a batch"


def test_a_killed_worker_with_several_frames_at_hand_loses_none(commands: Commands, dense: tuple[Path, Path]) -> None:
    guest, model = dense
    node = commands.node([{"name": "net", "observe": ["0x10"], "delivery": {"mode": "complete"}}])
    arguments = (
        guest,
        "--name",
        "net",
        "--emit",
        "0x11",
        "--model",
        f"net={model}",
        "--batch",
        "net=4",
        "--deadline",
        "20s",
    )
    first = node.run(*arguments)
    frames = batch_models.frames_for(512, 100)
    sender = threading.Thread(target=_send, args=(node, "cam", frames))
    sender.start()
    node.until_group("net", lambda group: group["completed"] >= 10, "some frames handled")
    node.run(*arguments)
    first.close()
    group = node.until_settled("net", 100)
    sender.join()
    assert group["completed"] == 100


def test_frames_past_their_deadline_are_dropped_and_others_answered(
    commands: Commands, dense: tuple[Path, Path]
) -> None:
    guest, model = dense
    node = commands.node([{"name": "net", "observe": ["0x10"], "delivery": {"mode": "complete"}}])
    run = node.run(
        guest,
        "--name",
        "net",
        "--emit",
        "0x11",
        "--model",
        f"net={model}",
        "--batch",
        "net=4:100ms",
        "--deadline",
        "20s",
    )
    frames = batch_models.frames_for(512, 20)
    with Source("cam", node.address, mode="complete") as source:
        for number, frame in enumerate(frames):
            late_ns = -1_000_000_000 if number % 2 else 60_000_000_000
            source.send(frame, tag=0x10, deadline_ns=time.time_ns() + late_ns)
        group = node.until_settled("net", 20)
    assert (group["completed"], group["dropped"]) == (10, {"stale": 10})
    assert run.stop() == 0
    assert batches_of(run)[1] == 10
