"""What a sandbox costs: instances, calls, host calls, payloads and memory, and what the other ways would cost.

    make bench-sandbox        or        python -m benchmarks.bench_sandbox [--rounds N]

Prints a table; writes benchmarks/results/sandbox.json, sandbox.svg and sandbox.png.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from benchmarks import sandbox_guests
from benchmarks.chart import Chart
from benchmarks.measure import ROOT, Timing, Work, describe_machine, measure, resident_bytes
from nearfield.inference import Encoding, ModelStore
from nearfield.sandbox import Guest, Invocation, Limits, compile_guest
from nearfield.sandbox.callpath import CallPath, FastPath, HostImport, OrdinaryPath
from nearfield.sandbox.engine import engine, ticker, wasmtime_version
from nearfield.sandbox.host import NoMemory
from nearfield.sandbox.signature import Signature

RESULTS = ROOT / "benchmarks" / "results"
LIMITS = Limits(deadline_s=60.0)
PAYLOAD = b"near field " * 4546  # 50,006 bytes
IDLE_INSTANCES = 1000
LARGE_BYTES = 3 * 1024 * 1024

UPPER_PROGRAM = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read().upper())"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report.

    Attributes:
        target: what it should be at most, in the row's unit; None where there is none.
    """

    name: str
    median: float
    best: float
    unit: str
    target: float | None = None

    @classmethod
    def of(cls, name: str, timing: Timing, unit: str = "us", target: float | None = None) -> Row:
        scale = {"us": 1e6, "ms": 1e3}[unit]
        return cls(name, round(timing.median_s * scale, 2), round(timing.best_s * scale, 2), unit, target)


class Side:
    """The host's side where no host state is needed."""

    memory = NoMemory()

    def stop(self, reason: BaseException) -> None:
        raise reason


def frame(payload: bytes) -> Invocation:
    return Invocation(0x10, payload, "bench", 1, 0)


def write(directory: Path, name: str, text: str) -> Path:
    path = directory / f"{name}.wasm"
    path.write_bytes(bytes(wasmtime.wat2wasm(text)))
    return path


def guest_of(
    path: Path, instance: str = "frame", models: ModelStore | None = None, via: CallPath | None = None
) -> Guest:
    """A loaded guest."""
    store = ModelStore({}) if models is None else models
    return Guest.load(path, name="bench", models=store, limits=LIMITS, instance=instance, via=via)  # type: ignore[arg-type]


# Parts of a frame -----------------------------------------------------------------------------------------------------


def parts(path: CallPath, rounds: int) -> dict[str, Timing]:
    """Calls and instances on one call path, without anything of ours around them."""
    signatures = {"nothing": Signature.of("-> i32"), "to_host": Signature.of("i32 i32 -> i32")}
    answer = HostImport("host", "f", signatures["to_host"], lambda *_: 0, 0)
    linked = path.link(wasmtime.Module(engine(), wasmtime.wat2wasm(sandbox_guests.MICRO)), [answer], signatures, Side())
    ticks = ticker().arm(3600.0)

    def fresh() -> None:
        sandbox = linked.instantiate(LIMITS, ticks)
        sandbox.function("nothing")()
        sandbox.close()

    sandbox = linked.instantiate(LIMITS, ticks)
    nothing, to_host = sandbox.function("nothing"), sandbox.function("to_host")

    def in_and_out() -> None:
        sandbox.memory.write(0, PAYLOAD)
        sandbox.memory.read(0, len(PAYLOAD))

    try:
        return measure(
            {
                "empty": Work(lambda: None),
                "call": Work(nothing),
                "host call": Work(lambda: to_host(1, 2)),
                "fresh": Work(fresh),
                "50 kB in and out": Work(in_and_out),
            },
            rounds,
        )
    finally:
        sandbox.close()
        linked.close()


# Whole frames ---------------------------------------------------------------------------------------------------------


def frames(directory: Path, rounds: int) -> dict[str, Timing]:
    """The same function by every way: bytes to upper case, 50 kB."""
    upper = write(directory, "upper", sandbox_guests.UPPER)
    echo = write(directory, "echo", sandbox_guests.ECHO)
    nothing = write(directory, "nothing", sandbox_guests.NOTHING)
    guests = {
        "upper, fresh": guest_of(upper),
        "upper, kept": guest_of(upper, "worker"),
        "upper, ordinary": guest_of(upper, via=OrdinaryPath()),
        "echo, fresh": guest_of(echo),
        "echo, kept": guest_of(echo, "worker"),
        "nothing, fresh": guest_of(nothing),
    }
    for name in ("upper, fresh", "upper, kept", "upper, ordinary"):
        (emission,) = guests[name].handle(frame(PAYLOAD)).emissions
        assert emission.payload == PAYLOAD.upper()
    large, small = frame(PAYLOAD), frame(PAYLOAD[:64])

    def handled(name: str, invocation: Invocation, calls: int = 100) -> Work:
        handle = guests[name].handle
        return Work(lambda: handle(invocation), calls)

    def subprocess_per_frame() -> None:
        done = subprocess.run([sys.executable, "-I", "-S", "-c", UPPER_PROGRAM], input=PAYLOAD, capture_output=True)
        assert len(done.stdout) == len(PAYLOAD)

    try:
        return measure(
            {
                "nothing, fresh instance": handled("nothing, fresh", small),
                "echo 64 B, fresh instance": handled("echo, fresh", small),
                "echo 50 kB, fresh instance": handled("echo, fresh", large),
                "echo 64 B, kept instance": handled("echo, kept", small),
                "echo 50 kB, kept instance": handled("echo, kept", large),
                "upper 50 kB, fresh instance": handled("upper, fresh", large),
                "upper 50 kB, kept instance": handled("upper, kept", large),
                "upper 50 kB, Func.__call__": handled("upper, ordinary", large, 30),
                "upper 50 kB, plain Python": Work(PAYLOAD.upper),
                "upper 50 kB, subprocess per frame": Work(subprocess_per_frame, 2),
            },
            rounds,
        )
    finally:
        for guest in guests.values():
            guest.close()


# A guest of 3 MB ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def embedded(directory: Path) -> Iterator[tuple[Path, str]]:
    """A guest with a model inside, 3 MB in all, and a word on the model."""
    model = sandbox_guests.find_model(ROOT)
    content = model.read_bytes()
    graph = ModelStore({}).from_parts((content,), Encoding.TENSORFLOWLITE)
    (spec,) = graph.inputs
    text = sandbox_guests.with_model(content, spec.nbytes, spec.shape, graph.outputs[0].nbytes, LARGE_BYTES)
    yield write(directory, "embedded", text), f"{model.name}, {len(content):,} bytes"


def with_model(directory: Path, rounds: int) -> tuple[dict[str, Timing], str]:
    """Frames through a 3 MB guest with its model inside, less the inference itself."""
    with embedded(directory) as (path, model):
        guest = guest_of(path)
        something = frame(b"x")

        def beyond_inference() -> float:
            started_ns = time.perf_counter_ns()
            outcome = guest.handle(something)
            return (time.perf_counter_ns() - started_ns - outcome.model_ns) / 1e9

        def inference() -> float:
            return guest.handle(something).model_ns / 1e9

        timings = measure(
            {
                "model inside, beyond inference": Work(beyond_inference, 5),
                "model inside, inference": Work(inference, 5),
                "model inside, not used": Work(lambda: guest.handle(frame(b"")), 50),
            },
            rounds,
        )
        guest.close()
    return timings, model


def starts(directory: Path, rounds: int) -> dict[str, Timing]:
    """From a file to the first result, with and without the cache."""
    cache = directory / "cache"
    with embedded(directory) as (path, _):
        compile_guest(path, limits=LIMITS, cache_dir=cache)

        def start() -> None:
            guest = Guest.load(path, name="bench", models=ModelStore({}), limits=LIMITS, cache_dir=cache)
            guest.handle(frame(b""))
            guest.close()

        timings = measure({"from the cache": Work(start, 1)}, rounds)
        timings |= measure(
            {
                "compiled, 3 MB": Work(lambda: compile_guest(path, limits=LIMITS), 1),
                "compiled, 45 kB": Work(lambda: compile_guest(ROOT / "guests/recognise/recognise.wasm"), 1),
            },
            2,
        )
    return timings


def idle_instance_bytes() -> float:
    """Resident memory of one of many idle instances."""
    signatures = {"nothing": Signature.of("-> i32"), "to_host": Signature.of("i32 i32 -> i32")}
    answer = HostImport("host", "f", signatures["to_host"], lambda *_: 0, 0)
    path = FastPath.create() or OrdinaryPath()
    linked = path.link(wasmtime.Module(engine(), wasmtime.wat2wasm(sandbox_guests.MICRO)), [answer], signatures, Side())
    ticks = ticker().arm(3600.0)
    linked.instantiate(LIMITS, ticks).close()
    before = resident_bytes()
    sandboxes = []
    for _ in range(IDLE_INSTANCES):
        sandbox = linked.instantiate(LIMITS, ticks)
        sandbox.function("nothing")()
        sandboxes.append(sandbox)
    taken = resident_bytes() - before
    for sandbox in sandboxes:
        sandbox.close()
    linked.close()
    return taken / IDLE_INSTANCES


def rows(directory: Path, rounds: int) -> tuple[list[Row], str]:
    """Everything, in the order of the report; and a word on the model."""
    idle_kb = round(idle_instance_bytes() / 1024, 1)
    fast_path = FastPath.create()
    if fast_path is None:
        raise SystemExit("the installed wasmtime wheel does not allow the fast path")
    fast, ordinary = parts(fast_path, rounds), parts(OrdinaryPath(), max(rounds // 3, 3))
    whole = frames(directory, rounds)
    inside, model = with_model(directory, rounds)
    start = starts(directory, rounds)
    return [
        Row.of("call of an export, over an empty call", fast["call"].minus(fast["empty"]), target=5),
        Row.of("  the same by Func.__call__", ordinary["call"].minus(ordinary["empty"])),
        Row.of("host call", fast["host call"].minus(fast["call"]), target=10),
        Row.of("  the same by the wheel's callbacks", ordinary["host call"].minus(ordinary["call"])),
        Row.of("store + instance + call + teardown", fast["fresh"], target=80),
        Row.of("  the same by the wheel's classes", ordinary["fresh"]),
        Row.of("50 kB into and out of guest memory", fast["50 kB in and out"], target=20),
        Row.of("3 MB guest, model inside: beyond inference", inside["model inside, beyond inference"], target=150),
        Row.of("  its inference", inside["model inside, inference"]),
        Row.of("  its instance, call and teardown alone", inside["model inside, not used"]),
        Row.of("3 MB guest, from the cache to the first result", start["from the cache"], "ms", 10),
        Row.of("  compiling it instead, in a process of its own", start["compiled, 3 MB"], "ms"),
        Row.of("  compiling 45 kB of Rust so", start["compiled, 45 kB"], "ms"),
        Row(f"idle instance, one of {IDLE_INSTANCES:,}", idle_kb, idle_kb, "kB", 64),
        *(Row.of(f"frame: {name}", timing) for name, timing in whole.items()),
    ], model


def table(report: list[Row]) -> str:
    """For people."""
    lines = [f"{'':50} {'median':>11} {'best':>11} {'target':>9}"]
    for row in report:
        target = "" if row.target is None else f"<= {row.target:g}"
        met = (
            ""
            if row.target is None
            else "met"
            if row.median <= row.target
            else "best met"
            if row.best <= row.target
            else "MISSED"
        )
        lines.append(f"{row.name:50} {row.median:8,.1f} {row.unit} {row.best:8,.1f} {row.unit} {target:>9} {met}")
    return "\n".join(lines)


def ratios(report: list[Row]) -> dict[str, float]:
    """How the ways compare: these carry over to other machines."""
    by_name = {row.name: row.median for row in report}
    fresh = by_name["frame: upper 50 kB, fresh instance"]
    return {
        "Func.__call__ to our call": round(
            by_name["  the same by Func.__call__"] / by_name["call of an export, over an empty call"], 1
        ),
        "wheel's callback to our host call": round(
            by_name["  the same by the wheel's callbacks"] / by_name["host call"], 1
        ),
        "frame by Func.__call__ to ours": round(by_name["frame: upper 50 kB, Func.__call__"] / fresh, 1),
        "subprocess per frame to ours": round(by_name["frame: upper 50 kB, subprocess per frame"] / fresh, 1),
        "ours to plain Python in process": round(fresh / by_name["frame: upper 50 kB, plain Python"], 1),
    }


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as directory:
        report, model = rows(Path(directory), rounds)
    print(table(report))
    print()
    for name, ratio in ratios(report).items():
        print(f"{name:50} {ratio:8,.1f} x")
    print(f"\n{machine['processor']}, {machine['cores']} cores, load {machine['load_average_1min']}; model: {model}")
    RESULTS.mkdir(exist_ok=True)
    document = {
        "machine": machine,
        "wasmtime": wasmtime_version(),
        "model": model,
        "rounds": rounds,
        "rows": [
            {"name": r.name.strip(), "median": r.median, "best": r.best, "unit": r.unit, "target": r.target}
            for r in report
        ],
        "ratios": ratios(report),
    }
    (RESULTS / "sandbox.json").write_text(json.dumps(document, indent=2) + "\n")
    shown = [row for row in report if row.name.startswith("frame: upper")]
    values = [(row.name.removeprefix("frame: upper 50 kB, "), row.median) for row in shown]
    Chart("One 50 kB frame to upper case, by each way", values, "us").write(RESULTS / "sandbox")


if __name__ == "__main__":
    main()
