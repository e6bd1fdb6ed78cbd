"""Sinks that are killed, stand still or do not read: nobody else notices, and what they miss is counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from nearfield import Sink
from tests.fault.traffic import COMPLETE, ROUTES, Route, Traffic
from tests.processes import Commands, Node, environment_with, poll

# With 100 frames a second of each source, 12 MB/s: what lies in buffers on the way to a sink is full at once.
PAYLOAD = bytes(60_000)
# What a frozen sink may hold up others for: it is cut off after 2 s, and until then each frame for it holds those
# behind it up for 10 ms; and a machine that is busy.
HELD_UP_S = 4.0


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper with a function in each mode."""
    node = module_commands.node([{**route.entry(), "run": str(route.app(module_commands.folder))} for route in ROUTES])
    for route in ROUTES:
        node.until_instances(route.function, 1)
    return node


@pytest.fixture
def flowing(node: Node) -> Iterator[dict[Route, Traffic]]:
    """Large frames of one source in each mode, with results."""
    with ExitStack() as stack:
        traffic = {
            route: stack.enter_context(Traffic(route, node.address, payload=lambda number: PAYLOAD)) for route in ROUTES
        }
        for each in traffic.values():
            each.until_more()
        yield traffic


def nobody_else_lost_anything(node: Node, flowing: dict[Route, Traffic]) -> None:
    """Neither of the sources, nor the sinks that worked; and they were not held up for long."""
    for route, traffic in flowing.items():
        account = traffic.account(node)
        account.lost_nothing() if route is COMPLETE else account.losses_are_counted()
        assert max(traffic.results.latencies_s) < HELD_UP_S


class SinkProcess:
    """A sink for every tag in a process of its own, which tells what it received when it is asked."""

    def __init__(self, address: str, folder: Path) -> None:
        program = folder / "sink.py"
        program.write_text(textwrap.dedent(PROGRAM))
        self._process = subprocess.Popen(
            [sys.executable, program, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_with({}),
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self) -> tuple[dict[str, int], dict[str, list[int]]]:
        """Its statistics, and the numbers that it received, in ascending order, by origin and tag."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("tell\n")
        self._process.stdin.flush()
        counts, sequences = json.loads(self._process.stdout.readline())
        return counts, sequences

    def until_received(self, least: dict[str, int]) -> None:
        """Wait for frames with higher numbers than these, by origin, of every tag."""

        def is_there() -> bool:
            _, sequences = self.ask()
            latest = {
                origin: [max(n) for key, n in sequences.items() if key.startswith(f"{origin}/")] for origin in least
            }
            return all(len(latest[origin]) == 2 and min(latest[origin]) > number for origin, number in least.items())

        poll(is_there, lambda: f"frames after {least}; {self.ask()[0]}")

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


PROGRAM = """
    import json, sys, threading
    from collections import defaultdict
    from nearfield import Sink

    sequences = defaultdict(set)
    with Sink(sys.argv[1], queue=100_000) as sink:
        def gather():
            for frame in sink:
                sequences[f"{frame.origin}/{frame.tag}"].add(frame.sequence)

        threading.Thread(target=gather, daemon=True).start()
        print("ready", flush=True)
        for _ in sys.stdin:
            told = {key: sorted(numbers.copy()) for key, numbers in sequences.copy().items()}
            counts = sink.statistics()
            say = {"missed": counts.missed, "recovered": counts.recovered, "queued": counts.queued}
            print(json.dumps([say, told]), flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_sink_that_is_gone_holds_nobody_up_for_long_and_counts_what_it_missed(
    node: Node, flowing: dict[Route, Traffic], tmp_path: Path, number: signal.Signals
) -> None:
    with SinkProcess(node.address, tmp_path) as victim:
        victim.until_received({traffic.name: 20 for traffic in flowing.values()})
        os.kill(victim.pid, number)
        began = time.monotonic()
        poll(lambda: time.monotonic() - began > 2.5, "its lease is over")
        if number == signal.SIGSTOP:
            os.kill(victim.pid, signal.SIGCONT)
            victim.until_received({traffic.name: traffic.source.statistics().offered for traffic in flowing.values()})
        nobody_else_lost_anything(node, flowing)
        if number == signal.SIGSTOP:

            def gaps(sequences: dict[str, list[int]]) -> dict[str, int]:
                return {key: numbers[-1] - numbers[0] + 1 - len(numbers) for key, numbers in sequences.items()}

            results = f"{flowing[COMPLETE].name}/{COMPLETE.result}"
            poll(lambda: gaps(victim.ask()[1])[results] == 0, lambda: f"what it asked for; {victim.ask()[0]}")
            poll(lambda: victim.ask()[0]["queued"] == 0, "everything taken")
            counts, sequences = victim.ask()
            assert 0 < counts["missed"] <= sum(gaps(sequences).values())
            assert counts["recovered"] > 50


def test_sink_whose_program_does_not_read_counts_what_it_drops(node: Node, flowing: dict[Route, Traffic]) -> None:
    with Sink(node.address, queue=16) as idle:
        poll(lambda: idle.dropped > 100, "more than it keeps")
        nobody_else_lost_anything(node, flowing)
        while idle.receive(0.05) is not None or idle.statistics().queued:
            pass
        counts = idle.statistics()
        assert counts.arrived == counts.received + counts.dropped["sink-slow"]
        # And frames that it asked for, if the machine was too busy for some.
        assert 16 <= counts.received <= 16 + counts.recovered
