"""All that takes part: a zipper as `nearfield serve` runs it, with its clients, and the same in bare zenoh."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.route.bare import DIRECT, RELAYED
from benchmarks.route.process import Process, Processes, free_port, ready

# Each function observes the first tag and emits the second.
COMPLETE, LIVE = (0x12, 0x13), (0x14, 0x15)
# Observed by no function.
SINK_ONLY = 0x20

Function = Mapping[str, Any]
"""One entry of a workflow's `functions`."""


def function(name: str, tags: tuple[int, int], mode: str) -> Function:
    """A function that connects by itself."""
    return {"name": name, "observe": [tags[0]], "emit": [tags[1]], "delivery": {"mode": mode}}


def serve(
    processes: Processes, folder: Path, functions: Sequence[Function], *, shm: bool = False
) -> tuple[Process, str]:
    """Serve a workflow with these functions. Returns the zipper, once it is ready, and its address."""
    port = free_port()
    path = folder / f"workflow-{port}.yaml"
    path.write_text(json.dumps({"name": "bench", "host": "127.0.0.1", "port": port, "functions": functions}))
    module = "benchmarks.route.shared_memory" if shm else "nearfield"
    zipper = processes.run("zipper", ["-m", module, "serve", "-c", str(path), "--json"])
    zipper.line(30.0)  # says that it listens
    return zipper, f"127.0.0.1:{port}"


@dataclass(frozen=True, slots=True)
class Route:
    """One way from a source to a sink.

    Attributes:
        hop_pairs: how often a frame goes to the node and comes back from it.
        source: process that is told to send, with `parameters`.
        sink: process that notes the arrivals.
        processes: all that take part, by what they are: source, node, function, sink.
    """

    name: str
    hop_pairs: int
    source: Process
    sink: Process
    processes: Mapping[str, Process]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Routes:
    """The routes that are compared, with processes of their own for ours and for bare zenoh.

    Attributes:
        direct: source, zipper, sink; no function observes the tag. The source is `complete`: it leaves no frame out.
        direct_live: the same from a live source.
        dispatched: source, zipper, function, zipper, sink; `complete`, with the window and credits of programs that say
            nothing of them.
        dispatched_live: the same in `live`.
        bare: bare zenoh over the links of `direct`.
        relayed: bare zenoh over the links of `dispatched`.
    """

    direct: Route
    direct_live: Route
    dispatched: Route
    dispatched_live: Route
    bare: Route
    relayed: Route


def routes(processes: Processes, folder: Path, *, shm: bool = False) -> Routes:
    """Start everything."""
    functions = [
        function("complete", COMPLETE, "complete"),
        function("live", LIVE, "live"),
    ]
    zipper, address = serve(processes, folder, functions, shm=shm)
    bare_address = f"127.0.0.1:{free_port()}"
    router = processes.play("bare router", address=bare_address, shm=shm)
    ready(router)
    windows = {"live": ("live", None), "complete": ("complete", None)}
    source = processes.play("source", zipper=address, windows=windows, shm=shm)
    worker = processes.play("functions", zipper=address, shm=shm)
    sink = processes.play("sink", zipper=address, tags=[COMPLETE[1], LIVE[1], SINK_ONLY], shm=shm)
    bare_source = processes.play("bare source", address=bare_address, shm=shm)
    relay = processes.play("bare relay", address=bare_address, shm=shm)
    bare_sink = processes.play("bare sink", address=bare_address, shm=shm)
    ready(source, worker, sink, bare_source, relay, bare_sink)
    worker.call("join", name="complete", emit=COMPLETE[1])
    worker.call("join", name="live", emit=LIVE[1])

    def ours(name: str, window: str, tag: int) -> Route:
        members = {"source": source, "node": zipper, "sink": sink}
        if tag == SINK_ONLY:
            return Route(name, 1, source, sink, members, {"window": window, "tag": tag})
        return Route(name, 2, source, sink, {**members, "function": worker}, {"window": window, "tag": tag})

    def bare(name: str, key: str) -> Route:
        members = {"source": bare_source, "node": router, "sink": bare_sink}
        if key == RELAYED:
            members["function"] = relay
        return Route(name, 1 if key == DIRECT else 2, bare_source, bare_sink, members, {"key": key})

    return Routes(
        direct=ours("source, zipper, sink", "complete", SINK_ONLY),
        direct_live=ours("source, zipper, sink: live", "live", SINK_ONLY),
        dispatched=ours("source, zipper, function, sink", "complete", COMPLETE[0]),
        dispatched_live=ours("source, zipper, function, sink: live", "live", LIVE[0]),
        bare=bare("bare zenoh: source, router, sink", DIRECT),
        relayed=bare("bare zenoh: source, router, relay, sink", RELAYED),
    )
