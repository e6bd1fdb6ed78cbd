"""What a sandbox costs: instances, calls, host calls and payloads, with the ratios that ADR 0004 rests on.

    python benchmarks/bench_sandbox.py

Prints one JSON object. Times are the best of several rounds, in microseconds; ratios carry over to other machines.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import wasmtime

from nearfield.inference import ModelStore
from nearfield.sandbox import Guest, Invocation
from nearfield.sandbox.callpath import CallPath, FastPath, HostImport, OrdinaryPath
from nearfield.sandbox.engine import engine, ticker, wasmtime_version
from nearfield.sandbox.host import NoMemory
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.signature import Signature

ROUNDS, CALLS = 20, 200

MICRO = """(module
  (import "host" "f" (func $f (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "nothing") (result i32) (i32.const 0))
  (func (export "to_host") (param i32 i32) (result i32) (call $f (local.get 0) (local.get 1))))"""

ECHO = """(module
  (import "nearfield_v1" "frame_size" (func $size (result i32)))
  (import "nearfield_v1" "frame_read" (func $read (param i32 i32) (result i32)))
  (import "nearfield_v1" "emit" (func $emit (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (func (export "nearfield_handle") (result i32)
    (drop (call $read (i32.const 0) (i32.const 131072)))
    (call $emit (i32.const 0x11) (i32.const 0) (call $size))))"""

WASI = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func (param i32 i32) (result i32)))
  (memory (export "memory") 2))"""


class Side:
    memory = NoMemory()

    def stop(self, reason: BaseException) -> None:
        raise reason


def best_us(work: Callable[[], object]) -> float:
    """Best mean of a round, after a warm-up."""
    best = float("inf")
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        for _ in range(CALLS):
            work()
        best = min(best, time.perf_counter() - started)
    return round(best / CALLS * 1e6, 2)


def measure_path(path: CallPath, directory: Path) -> dict[str, float]:
    """One call path: instances, calls, host calls, and whole frames."""
    signatures = {"nothing": Signature.of("-> i32"), "to_host": Signature.of("i32 i32 -> i32")}
    answer = HostImport("host", "f", signatures["to_host"], lambda *_: 0, 0)
    linked = path.link(wasmtime.Module(engine(), wasmtime.wat2wasm(MICRO)), [answer], signatures, Side())
    ticks = ticker().arm(3600.0)

    def fresh() -> None:
        linked.instantiate(Limits(), ticks).close()

    def fresh_and_call() -> None:
        sandbox = linked.instantiate(Limits(), ticks)
        sandbox.function("nothing")()
        sandbox.close()

    sandbox = linked.instantiate(Limits(), ticks)
    nothing, to_host = sandbox.function("nothing"), sandbox.function("to_host")
    sandbox.memory.write(0, bytes(50_000))
    result = {
        "store_and_instance_us": best_us(fresh),
        "store_instance_call_teardown_us": best_us(fresh_and_call),
        "call_us": best_us(nothing),
        "call_with_host_call_us": best_us(lambda: to_host(1, 2)),
        "memory_read_50kB_us": best_us(lambda: sandbox.memory.read(0, 50_000)),
        "memory_write_50kB_us": best_us(lambda: sandbox.memory.write(0, bytes(50_000))),
    }
    sandbox.close()
    linked.close()
    file = directory / "echo.wasm"
    file.write_bytes(bytes(wasmtime.wat2wasm(ECHO)))
    for policy in ("frame", "worker"):
        guest = Guest.load(file, name="echo", models=ModelStore({}), instance=policy, via=path)
        for size in (64, 50_000):
            frame = Invocation(0x10, bytes(size), "bench", 1, 0)
            result[f"echo_{size}B_instance_{policy}_us"] = best_us(lambda guest=guest, frame=frame: guest.handle(frame))
        guest.close()
    return result


def measure_wasi() -> dict[str, float]:
    """A store with wasmtime's own WASI against one without, both by the binding's classes."""
    module = wasmtime.Module(engine(), wasmtime.wat2wasm(WASI))
    linker = wasmtime.Linker(engine())
    linker.define_wasi()
    theirs = linker.instantiate_pre(module)
    signatures = {entry.name or "": entry.type for entry in module.imports}
    ours_linker = wasmtime.Linker(engine())
    for name, kind in signatures.items():
        assert isinstance(kind, wasmtime.FuncType)
        ours_linker.define_func("wasi_snapshot_preview1", name, kind, lambda *_: 0)
    ours = ours_linker.instantiate_pre(module)

    def with_theirs() -> None:
        store = wasmtime.Store(engine())
        store.set_wasi(wasmtime.WasiConfig())
        store.set_epoch_deadline(1 << 30)
        theirs.instantiate(store)
        store.close()

    def with_ours() -> None:
        store = wasmtime.Store(engine())
        store.set_epoch_deadline(1 << 30)
        ours.instantiate(store)
        store.close()

    return {
        "instance_with_wasmtime_wasi_us": best_us(with_theirs),
        "instance_with_own_functions_us": best_us(with_ours),
    }


def main() -> None:
    """Measure and print."""
    fast_path = FastPath.create()
    if fast_path is None:
        raise SystemExit("the installed wasmtime wheel does not allow the fast path")
    with tempfile.TemporaryDirectory() as directory:
        fast = measure_path(fast_path, Path(directory))
        ordinary = measure_path(OrdinaryPath(), Path(directory))
    report = {
        "python": platform.python_version(),
        "wasmtime": wasmtime_version(),
        "machine": platform.machine(),
        "fast": fast,
        "ordinary": ordinary,
        "ordinary_to_fast": {name: round(ordinary[name] / fast[name], 1) for name in fast},
        "wasi": measure_wasi(),
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
