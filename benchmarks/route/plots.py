"""The results as pictures, each as PNG and as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.route.age import Age
from benchmarks.route.cost import Cost
from benchmarks.route.latency import Latency
from benchmarks.route.report import Results
from benchmarks.route.throughput import Throughput

# Okabe and Ito's colours, which people with colour blindness can tell apart.
COLOURS = ("#999999", "#0072b2", "#bbbbbb", "#d55e00", "#e69f00", "#cc79a7")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.4,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "nearfield",  # the same results give the same file
}


def draw(results: Results, folder: Path) -> list[Path]:
    """Write route-throughput, route-latency, route-cost and route-age."""
    with plt.rc_context(STYLE):
        pictures = {
            "throughput": _throughput([entry for entry in results.throughput if not entry.shared_memory]),
            "latency": _latency(results.latency),
            "cost": _cost(results.cost),
            "age": _age(results.age),
        }
        return [path for name, picture in pictures.items() for path in _save(picture, folder / f"route-{name}")]


def _throughput(entries: Sequence[Throughput]) -> Figure:
    picture, (frames, megabytes) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    routes, sizes = list(dict.fromkeys(e.route for e in entries)), list(dict.fromkeys(e.size for e in entries))
    width = 0.8 / len(routes)
    for number, route in enumerate(routes):
        at = [place + (number - (len(routes) - 1) / 2) * width for place in range(len(sizes))]
        of_route = [e for e in entries if e.route == route]
        frames.bar(at, [e.frames_per_s for e in of_route], width, color=COLOURS[number], label=route)
        megabytes.bar(at, [e.mb_per_s for e in of_route], width, color=COLOURS[number])
    for axes, unit in ((frames, "frames a second"), (megabytes, "MB a second")):
        axes.set_yscale("log")
        axes.set_ylabel(unit)
        axes.set_xticks(range(len(sizes)), [f"{size:,} B" for size in sizes])
    picture.suptitle("Throughput over QUIC, one source, shared memory off")
    picture.legend(loc="outside lower center", ncols=2)
    return picture


def _latency(entries: Sequence[Latency]) -> Figure:
    loads = list(dict.fromkeys((e.size, e.rate) for e in entries))
    picture, all_axes = plt.subplots(
        1, len(loads), figsize=(4 * len(loads) + 2, 3.6), layout="constrained", sharey=True
    )
    for axes, (size, rate) in zip(all_axes, loads, strict=True):
        of_load = [e for e in entries if (e.size, e.rate) == (size, rate)]
        for number, (name, values) in enumerate(
            {
                "p50": [e.p50_ms for e in of_load],
                "p99": [e.p99_ms for e in of_load],
                "p99.9": [e.p999_ms for e in of_load],
            }.items()
        ):
            axes.plot(values, range(len(of_load)), "o|x"[number], color=COLOURS[(1, 3, 5)[number]], label=name)
        axes.set_xscale("log")
        axes.set_xlabel("ms")
        axes.set_title(f"{size:,} B at {rate:g} a second")
        axes.set_yticks(range(len(of_load)), [e.route for e in of_load])
    all_axes[0].invert_yaxis()
    all_axes[-1].legend()
    return picture


def _cost(entries: Sequence[Cost]) -> Figure:
    varied = list(dict.fromkeys(e.varied for e in entries))
    picture, all_axes = plt.subplots(1, len(varied), figsize=(10, 3.2), layout="constrained", sharey=True)
    for axes, name in zip(all_axes, varied, strict=True):
        of_kind = [e for e in entries if e.varied == name]
        counts = [e.count for e in of_kind]
        _line(axes, counts, [e.frame_us for e in of_kind], COLOURS[3], "in all")
        _line(axes, counts, [e.python_us for e in of_kind], COLOURS[1], "in Python")
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts], minor=False)
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel(name)
    all_axes[0].set_ylabel("CPU time of the zipper, us a frame")
    all_axes[0].legend()
    return picture


def _age(age: Age) -> Figure:
    picture, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    seconds = [entry.second for entry in age.curve]
    _line(axes, seconds, [entry.p50_ms for entry in age.curve], COLOURS[1], "median of the second")
    _line(axes, seconds, [entry.most_ms for entry in age.curve], COLOURS[3], "oldest of the second")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("age of results, ms")
    axes.set_title(
        f"{age.offered_per_s:g} frames a second to a live function that takes {age.handler_ms:g} ms for each"
    )
    axes.legend()
    return picture


def _line(axes: Axes, x: Sequence[float], y: Sequence[float], colour: str, label: str) -> None:
    axes.plot(x, y, marker=".", color=colour, label=label)


def _save(picture: Figure, path: Path) -> list[Path]:
    paths = [path.with_suffix(".png"), path.with_suffix(".svg")]
    for target, metadata in zip(paths, ({"Software": None}, {"Date": None}), strict=True):
        picture.savefig(target, dpi=140, metadata=metadata)
    plt.close(picture)
    return paths
