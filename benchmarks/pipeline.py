"""The whole way as real processes on this machine: source, zipper, sandboxed workers, sink, over QUIC.

One `Pipeline` is one zipper with its own source and sink. It costs next to nothing while it has no frames, so several
can be up at a time and measured in turn.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.bare import RESAMPLING
from benchmarks.measure import ROOT
from nearfield.demo.child import Child
from nearfield.demo.line import free_port
from nearfield.frame import keys
from nearfield.transport import dial

FUNCTION = "recognise"
_TAG, _ANSWER_TAG = "0x10", "0x11"
_READY_S = 60.0
_FRAME_S = 20.0

# Results of the beginning (queues fill) and of the end (instances run dry) that are left out.
_FIRST, _LAST = 8, 8

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """What a number of frames took.

    Attributes:
        frame_s: seconds from one result to the next at the sink, in the steady middle.
        cpu_s: processor time of each process for one frame: `source`, `zipper`, `workers`, `sink`.
        handler_s: wall-clock time of one frame inside the function's handler, as the zipper's ledger has it.
        latency_s: median from capture to the sink. The source keeps 16 frames on their way.
    """

    frame_s: float
    cpu_s: Mapping[str, float]
    handler_s: float
    latency_s: float

    @property
    def whole_cpu_s(self) -> float:
        """Processor time of all processes for one frame."""
        return sum(self.cpu_s.values())


class Pipeline:
    """Made by `pipeline`."""

    def __init__(self, zipper: str, serve: Child, sink: Child, source: subprocess.Popen[str]) -> None:
        self._zipper, self._serve, self._sink, self._source = zipper, serve, sink, source
        self._connection = dial(zipper)

    def run(self, frames: int) -> Run:
        """Send so many frames and wait for their results.

        Args:
            frames: more than 16, of which the first and last results are only waited for.
        """
        processes = {"source": [self._source.pid], "sink": [self._sink.pid], "zipper": [self._serve.pid]}
        processes["workers"] = _descendants(self._serve.pid)
        cpu_before, ledger_before = _cpu_s(processes), self.ledger()
        assert self._source.stdin is not None and self._source.stdout is not None
        print(frames, file=self._source.stdin, flush=True)
        arrivals = [self._next_result() for _ in range(frames)]
        assert self._source.stdout.readline() == "done\n"
        cpu_after, ledger_after = _cpu_s(processes), self.ledger()
        steady = [arrived_s for arrived_s, _ in arrivals[_FIRST:-_LAST]]
        return Run(
            frame_s=(steady[-1] - steady[0]) / (len(steady) - 1),
            cpu_s={name: (cpu_after[name] - cpu_before[name]) / frames for name in processes},
            handler_s=(_handler_s(ledger_after) - _handler_s(ledger_before)) / frames,
            latency_s=statistics.median(latency_s for _, latency_s in arrivals[_FIRST:-_LAST]),
        )

    def ledger(self) -> dict[str, Any]:
        """The function's entry in the zipper's ledger."""
        answer = self._connection.session.ask(keys.ledger(self._connection.namespace, self._connection.zipper))
        assert answer is not None, "the zipper gives no ledger"
        group: dict[str, Any] = msgspec.json.decode(answer)["groups"][FUNCTION]
        return group

    def close(self) -> None:
        self._connection.close()

    def _next_result(self) -> tuple[float, float]:
        """When the next result reached the sink, and how old its picture was then; both in seconds."""
        while True:
            try:
                event = self._sink.events.get(timeout=_FRAME_S)
            except queue.Empty:
                raise SystemExit(f"no result within {_FRAME_S:g} s; the zipper says: {self._serve.errors()}") from None
            if event is None:
                raise self._sink.failure()
            if "sequence" in event:
                latency_s = event["latency_ms"] / 1e3
                return event["captured_ns"] / 1e9 + latency_s, latency_s


@contextlib.contextmanager
def pipeline(folder: Path, guest: Path, model: Mapping[str, object], jpeg: Path, instances: int) -> Iterator[Pipeline]:
    """Start everything and wait until it is ready; end it all.

    Args:
        folder: for the workflow file.
        guest: observes 0x10 and answers on 0x11.
        model: the only entry below `models:` of the workflow.
        jpeg: what the source sends.
    """
    port = free_port()
    zipper = f"127.0.0.1:{port}"
    function = {
        "name": FUNCTION,
        "observe": [_TAG],
        "emit": [_ANSWER_TAG],
        "run": str(guest),
        "instances": instances,
        "delivery": {"mode": "complete"},
        "sandbox": {"deadline": "10s", "pixels": RESAMPLING.value},
    }
    workflow = folder / f"workflow-{port}.yaml"
    content = {"name": "bench", "host": "127.0.0.1", "port": port, "functions": [function], "models": {"model": model}}
    workflow.write_text(json.dumps(content))
    with ExitStack() as stack:
        serve = _child(stack, "serve", "-c", str(workflow))
        sink = _child(stack, "watch", "--tag", _ANSWER_TAG, "--zipper", zipper)
        line = Pipeline(zipper, serve, sink, _source(stack, [zipper, _TAG, str(jpeg)]))
        stack.callback(line.close)
        give_up_at = time.monotonic() + _READY_S
        while line.ledger()["instances"] < instances:
            if time.monotonic() > give_up_at:
                raise SystemExit(f"{instances} instances did not join in {_READY_S:g} s: {serve.errors()}")
            time.sleep(0.1)
        yield line


def _child(stack: ExitStack, *arguments: str) -> Child:
    child = Child(*arguments)
    stack.callback(child.stop)
    child.expect("ready", _READY_S)
    return child


def _source(stack: ExitStack, arguments: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.still_source", *arguments]
    source = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    stack.callback(source.wait, 30.0)
    assert source.stdin is not None and source.stdout is not None
    stack.callback(source.stdin.close)
    assert source.stdout.readline() == "ready\n"
    return source


def _handler_s(group: Mapping[str, Any]) -> float:
    """Seconds inside the handler, of all frames so far."""
    return float(group["completed"] * (group["handler_ms_mean"] or 0.0) / 1e3)


def _descendants(pid: int) -> list[int]:
    """Processes that `pid` started, and those that they started."""
    found: list[int] = []
    parents = _parents()
    pending = [pid]
    while pending:
        parent = pending.pop()
        children = [child for child, of in parents.items() if of == parent]
        found += children
        pending += children
    return found


def _parents() -> dict[int, int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return parents


def _cpu_s(processes: Mapping[str, Sequence[int]]) -> dict[str, float]:
    return {name: sum(map(_cpu_of, pids)) for name, pids in processes.items()}


def _cpu_of(pid: int) -> float:
    """Processor time of a process so far, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
