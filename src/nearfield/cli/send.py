"""`nearfield send`: a video as a source."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.cli.stopping import Stopping
from nearfield.errors import TransportError, UsageError
from nearfield.frame import format_tag, name_from
from nearfield.media import VideoReader, mask_credentials, open_video, scheme_of
from nearfield.source import Source
from nearfield.source.pacing import Pacer
from nearfield.telemetry import configure_logging
from nearfield.transport import DEFAULT_ZIPPER, Permission, dial

# How long to wait, after the last picture, for the zipper to confirm everything.
FLUSH_S = 30.0
# Waiting for room in slices of this length keeps Ctrl-C quick.
ROOM_SLICE_S = 0.2
REPORT_EVERY_S = 5.0

Video = Annotated[str, typer.Argument(metavar="VIDEO", help="A video file or stream that FFmpeg can read.")]
Tag = Annotated[str, typer.Option("--tag", "-t", metavar="TAG", help="Tag of the frames, such as 0x10.")]
Every = Annotated[int, typer.Option(metavar="N", min=1, help="Send every Nth picture.")]
Fps = Annotated[
    str | None, typer.Option(metavar="F|max", help="Pictures sent per second; default: the video's own pace.")
]
Loop = Annotated[bool, typer.Option("--loop", help="Start over at the end, until Ctrl-C.")]
Quality = Annotated[int, typer.Option(metavar="1-100", min=1, max=100, help="JPEG quality.")]
Name = Annotated[str | None, typer.Option("--name", "-n", metavar="NAME", help="Name of the source.")]
SendPriority = Annotated[
    str, typer.Option("--priority", metavar="high|normal|low", help="What waits for what on links that are full.")
]
Live = Annotated[
    bool, typer.Option("--live", help="Never wait for the zipper: when it falls behind, the newest picture wins.")
]


def send(
    video: Video,
    tag: Tag,
    zipper: options.Zipper = DEFAULT_ZIPPER,
    every: Every = 1,
    fps: Fps = None,
    loop: Loop = False,
    live: Live = False,
    quality: Quality = 80,
    priority: SendPriority = "normal",
    name: Name = None,
    namespace: options.Namespace = "default",
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    token_file: options.TokenFile = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Stream a video to a zipper, picture by picture, each as one JPEG frame."""
    configure_logging(verbose=verbose)
    number = options.tags_of("--tag", [tag])[0]
    rate = _rate(fps)
    chosen_priority = options.priority_of(priority)
    identity = options.credentials_of(ca, certificate, key, token_file)
    if not scheme_of(video) and not Path(video).exists():
        raise UsageError("no such file", where=f"video `{video}`")
    with open_video(video, every=every) as first:
        interval_s = _interval(rate, first.fps, every)
        total = None if loop or first.frame_count is None else -(-first.frame_count // every)
        connection = dial(zipper, identity=identity, namespace=namespace)
        shown = Path(mask_credentials(video)).name
        source_name = name or _default_name(name_from(Path(shown).stem), connection.permission)
        mode: Literal["live", "complete"] = "live" if live else "complete"
        opened = Source(source_name, connection, tag=number, mode=mode, priority=chosen_priority)
        with _ending(opened) as source:
            stopping = Stopping()
            report = _Report(shown, total, json=json, verbose=verbose)
            report.begin(source_name, number, connection.zipper, observed=number in connection.state.observed)
            sender = _Sender(source, Pacer(interval_s), quality, stopping, report)
            with report:
                sender.play(first)
                while loop and not stopping.is_set:
                    with open_video(video, every=every) as again:
                        sender.play(again)
            flushed = stopping.is_set or source.flush(FLUSH_S)
            report.end(source, sender)
    if not flushed:
        raise TransportError(
            f"the zipper did not confirm {source.in_flight} frames within {FLUSH_S:g} s",
            where=f"source `{source_name}`",
        )
    raise typer.Exit(stopping.exit_code)


def _default_name(of_video: str, permission: Permission) -> str:
    """That of the video, or our own where we may send under no other."""
    own = permission.identity
    if own is not None and not permission.granted.may_send_as(of_video) and permission.granted.may_send_as(own):
        return own
    return of_video


class _Sender:
    """Plays readers into a source."""

    def __init__(self, source: Source, pacer: Pacer, quality: int, stopping: Stopping, report: _Report) -> None:
        self.corrupt_packets = 0
        self.truncated = False
        self._source = source
        self._pacer = pacer
        self._quality = quality
        self._stopping = stopping
        self._report = report

    def play(self, reader: VideoReader) -> None:
        for picture in reader:
            if self._stopping.wait(self._pacer.wait_s(time.monotonic())):
                break
            captured_ns = time.time_ns()
            payload = picture.jpeg(self._quality)
            sequence = self._send(payload, captured_ns)
            if sequence is None:
                break
            self._report.sent(sequence, payload)
        self.corrupt_packets += reader.corrupt_packets
        self.truncated = self.truncated or (reader.truncated and not self._stopping.is_set)

    def _send(self, payload: bytes, captured_ns: int) -> int | None:
        while not self._stopping.is_set:
            if self._source.wait_for_room(ROOM_SLICE_S):
                return self._source.send(payload, captured_ns=captured_ns)
            self._report.waiting()
        return None


@dataclass
class _Report:
    """What `send` says: a progress bar on a terminal, plain lines in a pipe, JSON, or a line for each frame."""

    video: str
    total: int | None
    json: bool
    verbose: bool

    def __post_init__(self) -> None:
        self._count = 0
        self._bytes = 0
        self._started_at = time.monotonic()
        self._reported_at = self._started_at
        self._told_waiting = False
        console = Console()
        self._progress: Progress | None = None
        self._advance: Callable[[], None] = lambda: None
        if console.is_terminal and not (self.json or self.verbose):
            self._progress = progress = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(show_speed=True),
                TimeElapsedColumn(),
                console=console,
            )
            task = progress.add_task(self.video, total=self.total)
            self._advance = lambda: progress.advance(task)

    def begin(self, name: str, tag: int, zipper: str, *, observed: bool) -> None:
        if self.json:
            say_json({"event": "ready", "source": name, "zipper": zipper, "tag": format_tag(tag), "observed": observed})
            return
        say(f"sending `{self.video}` as source `{name}`, tag {format_tag(tag)}, to zipper `{zipper}`; Ctrl-C ends it.")
        if not observed:
            say(
                f"no function there observes {format_tag(tag)}: only sinks receive these frames, and none is confirmed."
            )

    def sent(self, sequence: int, payload: bytes) -> None:
        self._count += 1
        self._bytes += len(payload)
        self._advance()
        if self.json or self.verbose:
            digest = hashlib.sha256(payload).hexdigest()[:16]
            if self.json:
                say_json({"sent": sequence, "sha256": digest, "bytes": len(payload)})
            else:
                say(f"sent frame {sequence}, sha256 {digest}…, {len(payload):,} bytes")
        elif self._progress is None and time.monotonic() - self._reported_at > REPORT_EVERY_S:
            self._reported_at = time.monotonic()
            say(f"{self._count} frames sent")

    def waiting(self) -> None:
        if not self._told_waiting and not self.json:
            self._told_waiting = True
            say("waiting for the zipper to confirm frames (is the function running?)")

    def end(self, source: Source, sender: _Sender) -> None:
        seconds = time.monotonic() - self._started_at
        numbers = source.statistics()
        if self.json:
            say_json(
                {
                    "event": "ended",
                    "sent": numbers.sent,
                    "replaced": numbers.replaced,
                    "confirmed": numbers.released,
                    "resent": numbers.resent,
                    "bytes": self._bytes,
                    "seconds": round(seconds, 3),
                    "corrupt_packets": sender.corrupt_packets,
                    "truncated": sender.truncated,
                }
            )
            return
        rate = numbers.sent / seconds if seconds else 0.0
        say(
            f"sent {numbers.sent} frames ({self._bytes / 1e6:.1f} MB) in {seconds:.1f} s, {rate:.1f} frames/s; "
            f"{numbers.released} confirmed by the zipper, {numbers.replaced} replaced by newer ones"
        )
        if sender.corrupt_packets:
            say(f"`{self.video}`: {sender.corrupt_packets} corrupt packets were skipped")
        if sender.truncated:
            say(f"`{self.video}`: the file is truncated; what could be read was sent")

    def __enter__(self) -> None:
        if self._progress is not None:
            self._progress.start()

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def _ending(source: Source) -> Iterator[Source]:
    """Close without the flush of the source's own `with`: an interrupted command must not wait for it."""
    try:
        yield source
    finally:
        source.close()


def _rate(text: str | None) -> float | None:
    """Pictures per second; 0 for `max`; None when not given."""
    if text is None:
        return None
    if text == "max":
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate <= 100_000:
        raise UsageError(f"--fps: got `{text}`, expected a number above 0, or max")
    return rate


def _interval(rate: float | None, own: float | None, every: int) -> float:
    """Seconds between two sent pictures; 0: no pause."""
    if rate is not None:
        return 1 / rate if rate else 0.0
    return every / own if own else 0.0
