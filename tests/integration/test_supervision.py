"""What `serve` does with the functions it starts: starts them, starts them again, ends them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nearfield import Source
from tests.processes import UPPERCASE, Commands, Node, children_of, is_alive, poll, until_gone

FUNCTION = "upper"


def function(**more: Any) -> dict[str, Any]:
    """An entry of the workflow: two instances that never lose a frame."""
    return {
        "name": FUNCTION,
        "observe": ["0x10"],
        "emit": ["0x11"],
        "run": str(UPPERCASE),
        "instances": 2,
        "delivery": {"mode": "complete"},
        **more,
    }


def workers_of(node: Node, count: int) -> list[int]:
    """Process ids of the instances, once so many have joined."""
    node.until_instances(FUNCTION, count)
    workers = children_of(node.serve.pid)
    assert len(workers) == count
    return workers


def test_a_killed_instance_starts_again_and_the_stream_goes_on(commands: Commands) -> None:
    node = commands.node([function()])
    victim, other = workers_of(node, 2)
    watch = node.watch("--tag", "0x11")
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        for number in range(200):
            if number == 50:
                os.kill(victim, signal.SIGKILL)
            source.send(f"text {number}".encode())
        assert source.flush(timeout_s=30.0)
    node.serve.says("was killed by SIGKILL; starts again in 0.5 s")

    group = node.until_settled(FUNCTION, 200)
    assert (group["received"], group["completed"], group["failed"], group["dropped"]) == (200, 200, {}, {})
    watch.until(lambda: set(watch.sequences()) == set(range(200)), "a result for every frame")
    assert {line["sequence"]: line["text"] for line in watch.frames} == {n: f"TEXT {n}" for n in range(200)}

    node.until_instances(FUNCTION, 2)
    assert not is_alive(victim)
    assert is_alive(other)
    assert len(children_of(node.serve.pid)) == 2


def test_an_instance_that_keeps_dying_is_started_after_longer_and_longer_waits(commands: Commands) -> None:
    node = commands.node([function(instances=1)])
    for number, delay in enumerate(("0.5", "1.0", "2.0"), 1):
        node.serve.says("joined, observing 0x10", times=number)
        (worker,) = children_of(node.serve.pid)
        os.kill(worker, signal.SIGKILL)
        node.serve.says(f"{FUNCTION}#1: was killed by SIGKILL; starts again in {delay} s")


def test_a_program_that_hangs_is_killed_and_its_frame_becomes_a_dead_letter(commands: Commands, tmp_path: Path) -> None:
    program = tmp_path / "hang.py"
    program.write_text(
        "import time\n"
        "from nearfield import StreamFunction\n"
        "f = StreamFunction('upper', observe=[0x10], emit=[0x11])\n"
        "@f\n"
        "def handle(context):\n"
        "    if context.payload == b'hang':\n"
        "        time.sleep(3600)\n"
        "    context.emit(0x11, context.payload.upper())\n"
    )
    delivery = {"mode": "complete", "timeout": "1s", "retries": 1, "dead_letter": "0x12"}
    node = commands.node([function(run=str(program), instances=1, delivery=delivery)])
    node.until_instances(FUNCTION, 1)
    letters, results = node.watch("--tag", "0x12"), node.watch("--tag", "0x11")
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        for payload in (b"one", b"hang", b"two"):
            source.send(payload)
        assert source.flush(timeout_s=30.0)
    node.serve.says("upper#1: hangs, and is killed", times=2)
    group = node.until_settled(FUNCTION, 3)
    assert (group["completed"], group["dropped"]) == (2, {"instance-stuck": 1})
    letters.until(lambda: letters.sequences() == [1], "one dead letter")
    results.until(lambda: set(results.sequences()) == {0, 2}, "results for the others")


def test_a_killed_zipper_leaves_no_instance(commands: Commands) -> None:
    node = commands.node([function()])
    workers = workers_of(node, 2)
    os.kill(node.serve.pid, signal.SIGKILL)
    until_gone(workers)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_an_idle_zipper_ends_with_its_instances(commands: Commands, number: signal.Signals, status: int) -> None:
    node = commands.node([function()])
    workers = workers_of(node, 2)
    assert node.serve.stop(number) == status
    assert not any(map(is_alive, workers))
    assert node.serve.lines[-1]["event"] == "stopped"
    assert "Traceback" not in node.serve.stderr
    assert "killed" not in node.serve.stderr


def test_ctrl_c_ends_everything_within_two_seconds_while_frames_flow(commands: Commands) -> None:
    node = commands.node([function()])
    workers = workers_of(node, 2)
    watch = node.watch("--tag", "0x11")
    flood = Source("flood", node.address, tag=0x10)

    def sends_while(condition: Callable[[], bool]) -> Callable[[], bool]:
        def send() -> bool:
            flood.send(b"some text")
            return not condition()

        return send

    try:
        poll(sends_while(lambda: len(watch.frames) < 50), "results")
        node.serve.send_signal(signal.SIGINT)
        # The one promise about time that there is; twice of it, for machines that do other things meanwhile.
        poll(sends_while(lambda: node.serve.status is None), "the end of `serve`", timeout_s=4.0)
    finally:
        flood.close()
    assert node.serve.finish() == 130
    assert not any(map(is_alive, workers))
    assert "Traceback" not in node.serve.stderr


def test_a_function_that_cannot_work_is_reported_once_and_not_started_again(commands: Commands, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wasm"
    broken.write_bytes(b"this is no WebAssembly module")
    node = commands.node([function(), function(name="broken", observe=["0x20"], run=str(broken), instances=1)])
    node.serve.says("broken#1: cannot run as configured (see above); not started again")
    # Those that can work do, and long after the first restart would have come, none came.
    workers_of(node, 2)
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        source.send(b"text")
        assert source.flush(timeout_s=30.0)
    node.until_settled(FUNCTION, 1)
    reason, verdict = [line for line in node.serve.stderr.splitlines() if "broken" in line]
    assert reason.startswith("error: ")
    assert str(broken) in reason
    assert "starts again" not in verdict
    assert "Traceback" not in node.serve.stderr
