"""How fast frames go from a source over a zipper to functions and sinks, beside bare zenoh and an echo of datagrams.

    make bench-route        or        python -m benchmarks.bench_route [--quick]

Prints tables; writes benchmarks/results/route.json, and plots as PNG and SVG. `benchmarks/route.md` says what is
measured how.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import ROOT, describe_machine
from benchmarks.route import age, cost, latency, report, throughput
from benchmarks.route.process import Processes, ProcessFailed, ended_by_sigterm
from benchmarks.route.scene import routes

RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: of throughput and cost.
        shm_rounds: of throughput with shared memory.
        latency_rounds: of a second each.
        sources: at most.
        age_s: how long the overload lasts.
    """

    rounds: int
    shm_rounds: int
    latency_rounds: int
    sources: int
    age_s: float


FULL = Extent(rounds=4, shm_rounds=2, latency_rounds=3, sources=200, age_s=60.0)
QUICK = Extent(rounds=1, shm_rounds=1, latency_rounds=1, sources=10, age_s=6.0)


def measure(extent: Extent, say: Callable[[str], None]) -> report.Results:
    """Measure everything, over QUIC with shared memory off except where said."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # All processes of the benchmark share an authority that ends with it.
        os.environ["NEARFIELD_STATE_DIR"] = str(folder / "state")
        with Processes() as processes:
            over = routes(processes, folder)
            through = throughput.measure(over, throughput.SIZES, extent.rounds, say)
            late = latency.measure(over, latency.LOADS, extent.latency_rounds, say)
        through += throughput.with_shared_memory(folder, extent.shm_rounds, say)
        costs = cost.measure(folder, extent.rounds, say, most=extent.sources)
        return report.Results(through, late, costs, age.measure(folder, extent.age_s, say))


def main() -> int:
    """Measure, print, and write the results. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="less of everything, in about a minute; writes nothing")
    extent = QUICK if (is_quick := parser.parse_args().quick) else FULL
    machine = describe_machine()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.0f} s] {text}", file=sys.stderr, flush=True)

    try:
        with ended_by_sigterm():
            results = measure(extent, say)
    except KeyboardInterrupt:
        return 130
    except ProcessFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report.table(results))
    print(
        f"\n{machine['processor']}, {machine['cores']} cores shared by all processes, "
        f"load {machine['load_average_1min']} before; {time.monotonic() - started:.0f} s in all"
    )
    if not is_quick:
        write(results, machine)
    return 0


def write(results: report.Results, machine: dict[str, object]) -> None:
    """The JSON and the plots."""
    from benchmarks.route import plots

    document = {
        "machine": machine,
        "versions": {name: importlib.metadata.version(name) for name in ("nearfield", "eclipse-zenoh")},
        "settings": {"transport": "QUIC, mutual TLS"},
        "aims": [{**asdict(aim), "is_met": aim.is_met} for aim in report.aims(results)],
        **asdict(results),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "route.json").write_text(json.dumps(document, indent=2) + "\n")
    plots.draw(results, RESULTS)


if __name__ == "__main__":
    sys.exit(main())
