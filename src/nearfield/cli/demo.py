"""`nearfield demo`: the factory line."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nearfield.cli import options
from nearfield.cli.output import say, say_json, terminal
from nearfield.cli.stopping import Stopping
from nearfield.demo import LineSettings, Score, run_line

Instances = Annotated[int, typer.Option(metavar="N", min=1, max=64, help="Sandboxed workers.")]
Fps = Annotated[str | None, typer.Option(metavar="F|max", help="Pictures per second; default: the video's own pace.")]
Loop = Annotated[bool, typer.Option("--loop", help="Start the video over, until Ctrl-C.")]

BAR_CHARACTERS = 24
RECENT_RESULTS = 60
# Below this, a part is just coming into view or leaving.
SURE = 0.8


def demo(instances: Instances = 2, fps: Fps = None, loop: Loop = False, json: options.Json = False) -> None:
    """See it work: a video of parts on a belt, streamed over QUIC and recognised live in WebAssembly sandboxes.

    Everything it needs is in the package. It runs `nearfield serve`, `send` and `watch` as processes of their own, and
    ends with what it measured.
    """
    stopping = Stopping()
    console = terminal()
    display: _JsonDisplay | _LiveDisplay | _PlainDisplay
    if json:
        display = _JsonDisplay()
    elif console.is_terminal:
        display = _LiveDisplay(console)
    else:
        display = _PlainDisplay()
    with display:
        summary = run_line(LineSettings(instances, fps, loop), display, lambda: stopping.is_set)
    if summary is not None:
        if json:
            say_json({"event": "summary", **summary})
        else:
            console.print(summary_table(summary))
    raise typer.Exit(stopping.exit_code)


def summary_table(summary: dict[str, Any]) -> Table:
    """The summary for people."""
    table = Table(title="factory line", title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    dropped = ", ".join(f"{count} {reason}" for reason, count in summary["dropped"].items()) or "none"
    failed = ", ".join(f"{count} {reason}" for reason, count in summary["failed"].items()) or "none"
    latency = summary["latency_ms"]
    agreement = (
        "–" if summary["agreement"] is None else f"{summary['agreement']:.1%} of {summary['scored']} scored frames"
    )
    seen = ", ".join(f"{label} {count}" for label, count in sorted(summary["seen"].items(), key=lambda item: -item[1]))
    for name, value in (
        ("frames sent", str(summary["sent"])),
        ("handled", str(summary["handled"])),
        ("failed", failed),
        ("dropped", dropped),
        ("frames/s", str(summary["frames_per_s"])),
        ("latency, capture to terminal", f"p50 {latency['p50']} ms, p99 {latency['p99']} ms"),
        ("of that in the sandbox", f"{summary['handler_ms_mean']} ms (mean)"),
        ("agreement with the truth", agreement),
        ("seen", seen),
    ):
        table.add_row(name, value)
    return table


class _JsonDisplay:
    def step(self, text: str) -> None:
        say_json({"event": "step", "text": text})

    def result(self, sequence: int, label: str, confidence: float, latency_ms: float, score: Score) -> None:
        say_json({"sequence": sequence, "label": label, "confidence": confidence, "latency_ms": latency_ms})

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class _PlainDisplay(_JsonDisplay):
    """For pipes: a line whenever another part comes into view."""

    def __init__(self) -> None:
        self._label = ""

    def step(self, text: str) -> None:
        say(text)

    def result(self, sequence: int, label: str, confidence: float, latency_ms: float, score: Score) -> None:
        if label != self._label and confidence >= SURE:
            self._label = label
            say(f"frame {sequence:>4}: {label} ({confidence:.0%}), {latency_ms:.1f} ms after capture")


class _LiveDisplay:
    """For terminals: one picture of the present state, redrawn ten times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=10, transient=True)

    def step(self, text: str) -> None:
        self._console.print(f"· {text}")

    def result(self, sequence: int, label: str, confidence: float, latency_ms: float, score: Score) -> None:
        filled = round(confidence * BAR_CHARACTERS)
        recent = score.latencies_ms[-RECENT_RESULTS:]
        view = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        view.add_row("frame", f"{sequence}")
        view.add_row("sees", Text(label, style="bold cyan"))
        view.add_row("sure", f"{'█' * filled}{'░' * (BAR_CHARACTERS - filled)} {confidence:.0%}")
        view.add_row("latency", f"{sum(recent) / len(recent):.1f} ms (mean of the last {len(recent)})")
        rate, agreement = score.frames_per_s(), score.agreement()
        view.add_row("rate", "–" if rate is None else f"{rate:.1f} frames/s")
        view.add_row("agrees", "–" if agreement is None else f"{agreement:.1%} with the truth")
        self._live.update(view)

    def __enter__(self) -> None:
        self._live.start()

    def __exit__(self, *_: object) -> None:
        self._live.stop()
