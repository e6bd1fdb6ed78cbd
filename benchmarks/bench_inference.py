"""What inference in the sandbox costs: frames per second, from JPEG to label, against a bare loop on the same runtime.

    make bench-inference        or        python -m benchmarks.bench_inference [--rounds N] [--no-network]

Prints tables; writes benchmarks/results/inference.json, inference.svg and inference.png.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks import bare, networks, sandboxed
from benchmarks.chart import Chart
from benchmarks.material import Material, find_material
from benchmarks.measure import ROOT, Timing, Work, describe_machine, measure
from benchmarks.pipeline import Run, pipeline
from benchmarks.side_by_side import SideBySide

RESULTS = ROOT / "benchmarks" / "results"
BARE, SANDBOXED, EMBEDDED, REBUILT = "bare loop", "sandbox, by name", "sandbox, model inside", "interpreter per frame"

_BARE_FRAMES, _BATCH_FRAMES = 15, 300
# A run of the line is to last so long: a sink that gets no turn for a moment prints what it missed all at once.
_LINE_S, _LEAST_LINE_FRAMES = 1.5, 45
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One way from JPEG to label.

    Attributes:
        frame_ms: median over rounds.
        speed: as a multiple of `against`, the median of the ratios within each round.
        thrift: the same by processor time, which other programs on the machine hardly touch; None where not measured.
        target: what `speed` should be at least; None where there is none.
    """

    name: str
    frame_ms: float
    against: str | None = None
    speed: float = 1.0
    thrift: float | None = None
    target: float | None = None

    @classmethod
    def of(cls, name: str, timing: Timing) -> Row:
        """One that others are held against."""
        return cls(name, round(timing.median_s * 1e3, 3))

    def than(self, timing: Timing, against: Row, base: Timing, target: float | None = None) -> Row:
        """This one, held against another."""
        thrift = timing.thrift_against(base)
        return replace(
            self,
            against=against.name,
            speed=round(timing.speed_against(base), 3),
            thrift=None if thrift is None else round(thrift, 3),
            target=target,
        )

    @property
    def frames_per_s(self) -> float:
        return 1e3 / self.frame_ms


# Without a network ----------------------------------------------------------------------------------------------------


def in_process(material: Material, folder: Path, rounds: int) -> list[Row]:
    """The ways inside one process, by LiteRT."""
    jpeg = material.jpeg
    loop, rebuilt = bare.litert(material.model, material.names), bare.litert_rebuilt(material.model, material.names)
    named, inside = sandboxed.by_name(material.model, material.labels), sandboxed.embedded(material, folder)
    ways = {BARE: loop, SANDBOXED: named.label_of, EMBEDDED: inside.label_of, REBUILT: rebuilt}
    timings = _compare(ways, jpeg, rounds)
    named.guest.close()
    inside.guest.close()
    return _held_against_bare(timings, {SANDBOXED: 0.95, EMBEDDED: 0.93})


def _held_against_bare(timings: Mapping[str, Timing], targets: Mapping[str, float], prefix: str = "") -> list[Row]:
    rows = {name: Row.of(prefix + name, timing) for name, timing in timings.items()}
    return [
        row if name == BARE else row.than(timings[name], rows[BARE], timings[BARE], targets.get(name))
        for name, row in rows.items()
    ]


def other_runtimes(jpeg: bytes, folder: Path, rounds: int) -> list[Row]:
    """The same by name with the other backends, where their packages are installed."""
    if (missing := _missing("onnx", "onnxruntime")) is not None:
        print(f"no rows for ONNX: package `{missing}` is not installed")
        return []
    labels = folder / "classes.txt"
    names = [f"class {number}" for number in range(networks.CLASSES)]
    labels.write_text("\n".join(names))
    onnx = networks.write_convolutions(folder / "small.onnx")
    rows = _one_runtime("ONNX Runtime", bare.onnx_runtime, onnx, labels, jpeg, rounds)
    if (missing := _missing("openvino")) is not None:
        print(f"no rows for OpenVINO: package `{missing}` is not installed")
        return rows
    ir = networks.write_openvino(folder / "small.xml", onnx)
    return rows + _one_runtime("OpenVINO", bare.openvino, ir, labels, jpeg, rounds)


def _one_runtime(runtime: str, loop: bare.Runtime, model: Path, labels: Path, jpeg: bytes, rounds: int) -> list[Row]:
    subject = sandboxed.by_name(model, labels)
    ways = {BARE: loop(model, labels.read_text().splitlines()), SANDBOXED: subject.label_of}
    timings = _compare(ways, jpeg, rounds)
    subject.guest.close()
    return _held_against_bare(timings, {}, f"{runtime}: ")


def _compare(ways: Mapping[str, bare.Classify], jpeg: bytes, rounds: int) -> dict[str, Timing]:
    answers = {name: classify(jpeg) for name, classify in ways.items()}
    assert len(set(answers.values())) == 1, answers
    return measure({name: Work(lambda way=way: way(jpeg), 2) for name, way in ways.items()}, rounds)  # type: ignore[misc]


def _missing(*packages: str) -> str | None:
    return next((package for package in packages if importlib.util.find_spec(package) is None), None)


def where_it_goes(material: Material, folder: Path, frames: int) -> dict[str, dict[str, float]]:
    """Microseconds of each stage of a frame, medians."""
    subjects = {
        SANDBOXED: sandboxed.by_name(material.model, material.labels),
        EMBEDDED: sandboxed.embedded(material, folder),
    }
    found = {}
    for name, subject in subjects.items():
        subject.label_of(material.jpeg)
        found[name] = {what: round(s * 1e6, 1) for what, s in sandboxed.stages(subject, material.jpeg, frames).items()}
        subject.guest.close()
    found["echo, for comparison"] = {"whole frame": round(sandboxed.bounce_s(material.jpeg, folder, frames) * 1e6, 1)}
    return found


# With a network -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """What the whole line was measured to do.

    Attributes:
        rows: bare loops and lines of processes.
        runs: the middle run of each line, for its processor times.
    """

    rows: list[Row]
    runs: Mapping[str, Run]


def over_network(material: Material, folder: Path, rounds: int) -> Line:
    """Source, zipper, workers and sink as processes; in each round the bare loop before and after."""
    jpeg = folder / "picture.jpg"
    jpeg.write_bytes(material.jpeg)
    loop = bare.litert(material.model, material.names)
    bare_s: list[float] = []
    pair_s: list[float] = []
    runs: dict[int, list[Run]] = {1: [], 2: []}
    model = {"path": str(material.model), "labels": str(material.labels), "threads": bare.THREADS}
    with ExitStack() as stack:
        lines = {
            instances: stack.enter_context(pipeline(folder, sandboxed.RECOGNISE, model, jpeg, instances))
            for instances in runs
        }
        pair = stack.enter_context(SideBySide(material, 2))
        pair.run(2)
        for line in lines.values():
            line.run(_LEAST_LINE_FRAMES)
        frames = max(_LEAST_LINE_FRAMES, int(_LINE_S / _loop_s(loop, material.jpeg)))
        for _ in range(rounds):
            halves = []
            for instances, line in lines.items():
                halves.append(_loop_s(loop, material.jpeg))
                runs[instances].append(line.run(frames * instances))
            bare_s.append(sum(halves) / len(halves))
            pair_s.append(pair.run(2 * _BARE_FRAMES))
    base, pair_timing = Timing.of(bare_s), Timing.of(pair_s)
    one, two = (Timing.of([run.frame_s for run in runs[instances]]) for instances in (1, 2))
    base_row, one_row = Row.of(f"{BARE}, beside the line", base), Row.of("line, one instance", one)
    return Line(
        [
            base_row,
            Row.of("two bare loops at once", pair_timing).than(pair_timing, base_row, base),
            one_row.than(one, base_row, base, 0.85),
            Row.of("line, two instances", two).than(two, one_row, one, 1.7),
        ],
        {
            "one instance": _middle(runs[1]),
            "two instances": _middle(runs[2]),
        },
    )


def batching(jpeg: Path, folder: Path, rounds: int) -> Line:
    """One worker over the whole line, with a network that a batch suits: each frame alone, and put together."""
    if (missing := _missing("onnx", "onnxruntime")) is not None:
        print(f"no rows for batching: package `{missing}` is not installed")
        return Line([], {})
    model = {"path": str(networks.write_dense(folder / "dense.onnx")), "threads": bare.THREADS}
    ways: dict[str, dict[str, object]] = {
        "dense network: each frame alone": model,
        f"dense network: batches of {_BATCH}": {**model, "batch": {"max": _BATCH, "wait": "2ms"}},
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    with ExitStack() as stack:
        lines = {
            name: stack.enter_context(pipeline(folder, sandboxed.RECOGNISE, way, jpeg, 1)) for name, way in ways.items()
        }
        for line in lines.values():
            line.run(_BATCH_FRAMES)
        for _ in range(rounds):
            for name, line in lines.items():
                runs[name].append(line.run(_BATCH_FRAMES))
    alone, together = (
        Timing.of([run.frame_s for run in each], [run.whole_cpu_s for run in each]) for each in runs.values()
    )
    rows = [Row.of(name, timing) for name, timing in zip(ways, (alone, together), strict=True)]
    return Line([rows[0], rows[1].than(together, rows[0], alone)], {name: _middle(each) for name, each in runs.items()})


def _middle(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda run: run.frame_s)[len(runs) // 2]


def _loop_s(classify: bare.Classify, jpeg: bytes) -> float:
    timings = measure({BARE: Work(lambda: classify(jpeg), _BARE_FRAMES)}, 1)
    return timings[BARE].median_s


# Reports --------------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    """For people."""
    lines = [f"{'':34} {'frame':>11} {'frames/s':>9}   speed (by processor time)"]
    for row in rows:
        speed = "" if row.against is None else f"{row.speed:6.3f}"
        thrift = "" if row.thrift is None else f" ({row.thrift:.3f})"
        against = "" if row.against is None else f" of {row.against}"
        met = "" if row.target is None else f"; aim {row.target:g}: {_verdict(row)}"
        lines.append(f"{row.name:34} {row.frame_ms:8.2f} ms {row.frames_per_s:9.1f}  {speed}{thrift}{against}{met}")
    return "\n".join(lines)


def _verdict(row: Row) -> str:
    assert row.target is not None
    if row.speed >= row.target:
        return "met"
    return "met by processor time" if row.thrift is not None and row.thrift >= row.target else "MISSED"


def stage_table(stages: Mapping[str, Mapping[str, float]]) -> str:
    """For people."""
    lines = ["where the time of a frame goes, microseconds:"]
    for name, taken in stages.items():
        lines.append(f"  {name:24} " + ", ".join(f"{what} {us:,.0f}" for what, us in taken.items()))
    return "\n".join(lines)


def run_table(runs: Mapping[str, Run]) -> str:
    """For people."""
    lines = ["processor time of each process for one frame, ms:"]
    for name, run in runs.items():
        each = ", ".join(f"{process} {s * 1e3:.2f}" for process, s in run.cpu_s.items())
        lines.append(
            f"  {name:32} {each}, all {run.whole_cpu_s * 1e3:.2f}; handler {run.handler_s * 1e3:.2f} by the clock"
        )
    return "\n".join(lines)


def document(
    material: Material, rounds: int, rows: Sequence[Row], stages: Mapping[str, Mapping[str, float]], line: Line | None
) -> dict[str, object]:
    """What goes into the JSON file."""
    return {
        "machine": describe_machine(),
        "versions": _versions("ai-edge-litert", "onnxruntime", "openvino", "wasmtime", "eclipse-zenoh"),
        "material": str(material),
        "is_reference_model": material.is_reference,
        "threads": bare.THREADS,
        "rounds": rounds,
        "rows": [{**asdict(row), "frames_per_s": round(row.frames_per_s, 2)} for row in rows],
        "stages_us": stages,
        "processes": {} if line is None else {name: asdict(run) for name, run in line.runs.items()},
    }


def _versions(*packages: str) -> dict[str, str | None]:
    found: dict[str, str | None] = dict.fromkeys(packages)
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--no-network", action="store_true", help="leave out the line of processes")
    options = parser.parse_args()
    rounds: int = options.rounds
    material = find_material()
    line = None
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        rows = in_process(material, folder, rounds)
        rows += other_runtimes(material.jpeg, folder, rounds)
        stages = where_it_goes(material, folder, 3 * rounds)
        if not options.no_network:
            line = over_network(material, folder, max(rounds // 2, 1))
            batched = batching(folder / "picture.jpg", folder, max(rounds // 2, 1))
            line = Line(line.rows + batched.rows, {**line.runs, **batched.runs})
            rows += line.rows
    if not material.is_reference:
        rows = [replace(row, target=None) for row in rows]
        print("the reference model is not at hand: no targets, and the demonstration's model instead")
    print(table(rows), stage_table(stages), sep="\n\n")
    if line is not None:
        print("\n" + run_table(line.runs))
    result = document(material, rounds, rows, stages, line)
    print(f"\n{material}; {result['machine']}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "inference.json").write_text(json.dumps(result, indent=2) + "\n")
    shown = [(row.name, row.frames_per_s) for row in rows if ":" not in row.name]
    Chart("From JPEG to label", shown, "frames/s").write(RESULTS / "inference")


if __name__ == "__main__":
    main()
