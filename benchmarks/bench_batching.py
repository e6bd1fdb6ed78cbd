"""Frames per second of one worker's handler, with micro-batching off and on: `python -m benchmarks.bench_batching`.

Guest, host functions and threads as in a worker, without network. Every answer is compared with the one computed alone.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wasmtime

from benchmarks.measure import Timing, Work, describe_machine, measure
from benchmarks.networks import SIDE, write_convolutions, write_dense
from nearfield.frame import Header
from nearfield.function import Context
from nearfield.function.concurrency import handle_in_order
from nearfield.function.guest import GuestFunction
from nearfield.inference import BatchSettings, ModelSource, ModelStore
from nearfield.inference.batching import BatchingGraph
from nearfield.queues import Mailbox
from nearfield.sandbox import Guest, Limits, compile_guest

_ROUNDS = 7
_WAIT_S = 0.002
_BATCHES = (1, 4, 8)
_THREADS = (1, 2)
_PICTURES = 48
_LIMITS = Limits(deadline_s=60.0)

_U8 = 3  # wasi-nn's number


@dataclass(frozen=True, slots=True)
class Network:
    """Attributes:
    frames: payloads, each one input: pixels (1, 96, 96, 3) u8.
    """

    name: str
    model: Path
    frames: Sequence[bytes]


def main() -> None:
    print(describe_machine())
    random = np.random.default_rng(3)
    pictures = [random.integers(0, 256, SIDE * SIDE * 3, np.uint8).tobytes() for _ in range(_PICTURES)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for network in (
            Network("convolutions", write_convolutions(folder / "conv.onnx"), pictures),
            Network("dense layers", write_dense(folder / "dense.onnx"), pictures),
        ):
            for threads in _THREADS:
                _report(network, threads, folder)


def _report(network: Network, threads: int, folder: Path) -> None:
    subjects = {str(most): _Subject(network, threads, most, folder) for most in _BATCHES}
    alone, *together = (subject.answers() for subject in subjects.values())
    largest = max(float(np.abs(answers - alone).max()) for answers in together)
    timings = measure({name: Work(subject.run, calls=1) for name, subject in subjects.items()}, _ROUNDS)
    print(f"{network.name}, {threads} thread(s) each; largest difference to a frame alone: {largest:g}")
    for name, subject in subjects.items():
        print(_line(subject, timings[name], timings["1"]))
        subject.function.close()


def _line(subject: _Subject, timing: Timing, alone: Timing) -> str:
    rate = len(subject.network.frames) / timing.median_s
    thrift = timing.thrift_against(alone)
    return (
        f"  batch {subject.most}: {rate:7.0f} frames/s, {timing.speed_against(alone):5.2f} times as fast, "
        f"{thrift:5.2f} times as many for each second of processor; {subject.frames_per_compute():.1f} frames a compute"
    )


class _Subject:
    """A function as a worker has it, and what it is given."""

    def __init__(self, network: Network, threads: int, most: int, folder: Path) -> None:
        batch = None if most == 1 else BatchSettings(most, _WAIT_S)
        store = ModelStore({"net": ModelSource(network.model, threads=threads, batch=batch)}, probe=False)
        self._graph = store.by_name("net")
        path = folder / "guest.wasm"
        path.write_bytes(bytes(wasmtime.wat2wasm(_guest())))
        compiled = compile_guest(path, limits=_LIMITS)
        guests = [Guest.load(compiled, name="net", models=store, limits=_LIMITS) for _ in range(most)]
        batching = [self._graph] if isinstance(self._graph, BatchingGraph) else []
        self.network = network
        self.most = most
        self.function = GuestFunction("net", *guests, batching=batching)

    def run(self) -> float:
        """Handle all frames; seconds."""
        started_s = time.perf_counter()
        self._handle()
        return time.perf_counter() - started_s

    def answers(self) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        """What the guest emits for all frames, one after the other."""
        return np.frombuffer(b"".join(context.emissions[0][1] for context in self._handle()), np.float32)

    def frames_per_compute(self) -> float:
        """On average since the beginning."""
        if not isinstance(self._graph, BatchingGraph):
            return 1.0
        statistics = self._graph.statistics()
        return statistics.frames / statistics.computes

    def _handle(self) -> list[Context]:
        mailbox: Mailbox[Context] = Mailbox(len(self.network.frames))
        for number, payload in enumerate(self.network.frames):
            mailbox.put(Context(payload, Header(0x10, 1, number, 0, 0), "bench"))
        mailbox.close()
        handled: list[Context] = []

        def take() -> Context:
            taken = mailbox.take()
            assert taken is not None
            return taken

        def handle(context: Context) -> Context:
            self.function.handle(context)
            return context

        handle_in_order(self.function.concurrency, take, handle, handled.append, mailbox.close)
        return handled


def _guest() -> str:
    """WebAssembly text: the payload is input 0 of `net`, output 0 the result."""
    functions = {"load_by_name": 3, "init_execution_context": 2, "set_input": 3, "compute": 1, "get_output": 5}
    imports = "".join(
        f'(import "wasi_ephemeral_nn" "{name}" (func ${name} (param {"i32 " * count}) (result i32)))'
        for name, count in functions.items()
    )
    shape = (1, SIDE, SIDE, 3)
    size = math.prod(shape)
    dimensions = "".join(map(_u32, shape))
    tensor = "".join(map(_u32, (128, len(shape), _U8, 1024, size)))
    return f"""(module {imports}
      (import "nearfield_v1" "frame_read" (func $frame_read (param i32 i32) (result i32)))
      (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
      (memory (export "memory") 2)
      (data (i32.const 16) "net") (data (i32.const 64) "{tensor}") (data (i32.const 128) "{dimensions}")
      (func $must (param i32) (if (local.get 0) (then unreachable)))
      (func (export "nearfield_handle") (result i32)
        (drop (call $frame_read (i32.const 1024) (i32.const {size})))
        (call $must (call $load_by_name (i32.const 16) (i32.const 3) (i32.const 0)))
        (call $must (call $init_execution_context (i32.load (i32.const 0)) (i32.const 4)))
        (call $must (call $set_input (i32.load (i32.const 4)) (i32.const 0) (i32.const 64)))
        (call $must (call $compute (i32.load (i32.const 4))))
        (call $must (call $get_output (i32.load (i32.const 4)) (i32.const 0) (i32.const 512) (i32.const 256)
          (i32.const 8)))
        (call $must (call $emit (i32.const 0x11) (i32.const 512) (i32.load (i32.const 8))))
        (i32.const 0)))"""


def _u32(number: int) -> str:
    return "".join(f"\\{byte:02x}" for byte in number.to_bytes(4, "little"))


if __name__ == "__main__":
    main()
