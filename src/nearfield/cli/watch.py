"""`nearfield watch`: the sink for terminals."""

from __future__ import annotations

import datetime
import time
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.cli.output import payload_as_json, payload_as_text, say, say_json
from nearfield.cli.stopping import Stopping
from nearfield.frame import Frame, format_tag
from nearfield.sink import Sink
from nearfield.sink.statistics import SINK_SLOW
from nearfield.telemetry import configure_logging
from nearfield.transport import DEFAULT_ZIPPER, dial

POLL_S = 0.2

Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", "-t", metavar="TAG", help="Tag to receive, such as 0x11; repeat for more; none: every tag."),
]
Count = Annotated[int, typer.Option("--count", "-n", metavar="N", min=0, help="End after N frames; 0: never.")]
Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0, help="End when no frame came for so long; 0: never.")
]
Dedupe = Annotated[bool, typer.Option("--dedupe", help="Leave out frames that came before.")]


def watch(
    tag: Tags = None,
    zipper: options.Zipper = DEFAULT_ZIPPER,
    count: Count = 0,
    timeout: Timeout = 0.0,
    dedupe: Dedupe = False,
    namespace: options.Namespace = "default",
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    token_file: options.TokenFile = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Print frames as they arrive: time, origin/sequence, tag, latency from capture, payload."""
    configure_logging(verbose=verbose)
    tags = options.tags_of("--tag", tag)
    connection = dial(zipper, identity=options.credentials_of(ca, certificate, key, token_file), namespace=namespace)
    stopping = Stopping()
    seen = 0
    reported_drops = reported_missed = 0
    with Sink(connection, tags, dedupe=dedupe) as sink:
        if json:
            say_json({"event": "ready", "zipper": connection.zipper, "tags": [format_tag(t) for t in tags]})
        else:
            named = ", ".join(map(format_tag, tags)) or "every tag"
            say(f"watching {named} at zipper `{connection.zipper}`; Ctrl-C ends it.")
        last = time.monotonic()
        while not stopping.is_set and not (count and seen >= count):
            frame = sink.receive(POLL_S)
            if frame is None:
                if timeout and time.monotonic() - last > timeout:
                    break
                continue
            last = time.monotonic()
            seen += 1
            _print(frame, sink.latency_ns(frame), json=json)
            if sink.dropped > reported_drops:
                reported_drops = sink.dropped
                _report_drops(reported_drops, json=json)
            if sink.missed > reported_missed:
                reported_missed = sink.missed
                _report_missed(reported_missed, json=json)
        if json:
            counts = sink.statistics()
            say_json(
                {
                    "event": "ended",
                    "received": counts.received,
                    "dropped": sum(counts.dropped.values()),
                    "missed": counts.missed,
                    "recovered": counts.recovered,
                }
            )
    raise typer.Exit(stopping.exit_code)


def _print(frame: Frame, latency_ns: int, *, json: bool) -> None:
    latency_ms = latency_ns / 1e6
    if json:
        say_json(
            {
                "origin": frame.origin,
                "sequence": frame.sequence,
                "tag": format_tag(frame.tag),
                "captured_ns": frame.header.captured_ns,
                "latency_ms": round(latency_ms, 3),
                **payload_as_json(frame.payload),
            }
        )
        return
    now = datetime.datetime.now().strftime("%H:%M:%S.%f")[:-3]
    place = f"{frame.origin}/{frame.sequence}"
    say(f"{now}  {place:<16} {format_tag(frame.tag)} {latency_ms:8.1f} ms  {payload_as_text(frame.payload)}")


def _report_drops(dropped: int, *, json: bool) -> None:
    if json:
        say_json({"event": "dropped", "reason": SINK_SLOW, "count": dropped})
    else:
        say(f"this terminal is too slow: {dropped} frames dropped so far")


def _report_missed(missed: int, *, json: bool) -> None:
    if json:
        say_json({"event": "missed", "count": missed})
    else:
        say(f"{missed} frames were lost on their way here so far; is the line too slow?")
