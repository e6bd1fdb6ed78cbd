"""The factory line: zipper, two sandboxed instances, source and sink, as real processes over QUIC."""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from nearfield.demo import assets
from nearfield.demo.child import Child
from nearfield.demo.score import Score, read_truth, summarise
from nearfield.errors import TransportError
from nearfield.frame import keys
from nearfield.transport import Connection, dial

FUNCTION = "recognise"
TAG_PICTURE, TAG_RESULT = "0x10", "0x11"

READY_S = 20.0
SETTLE_S = 10.0
POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class LineSettings:
    """Attributes:
    instances: sandboxed workers.
    fps: pictures per second as `nearfield send --fps` reads it; None: the video's own pace.
    loop: start the video over until stopped.
    """

    instances: int = 2
    fps: str | None = None
    loop: bool = False


class Display(Protocol):
    """Where the demonstration shows what happens."""

    def step(self, text: str) -> None:
        """One step of the preparation."""
        ...

    def result(self, sequence: int, label: str, confidence: float, latency_ms: float, score: Score) -> None:
        """One result, just arrived."""
        ...


def run_line(settings: LineSettings, display: Display, is_stopping: Callable[[], bool]) -> dict[str, Any] | None:
    """Run the line to the end of the video, or until `is_stopping`, and end every process.

    Returns:
        The summary (see `summarise`), or None when stopped before the first result.

    Raises:
        TransportError: a process did not come up, or failed.
    """
    score = Score(read_truth(assets.TRUTH))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nearfield-demo-")))
        port = free_port()
        zipper = f"127.0.0.1:{port}"
        workflow = folder / "workflow.yaml"
        workflow.write_text(workflow_text(port, settings.instances))
        display.step("starting the zipper: QUIC with TLS 1.3, certificates of a local authority")
        serve = _child(stack, "serve", "-c", str(workflow))
        serve.expect("ready", READY_S)
        connection = dial(zipper)
        stack.callback(connection.close)
        display.step(f"starting {settings.instances} instances in WebAssembly sandboxes, with a TensorFlow Lite model")
        watch = _child(stack, "watch", "--tag", TAG_RESULT, "--zipper", zipper)
        _wait_for_instances(connection, settings.instances, serve, is_stopping)
        watch.expect("ready", READY_S)
        display.step(f"streaming {assets.VIDEO.name}")
        send = _child(stack, "send", str(assets.VIDEO), *_send_options(settings, zipper))
        send.expect("ready", READY_S)
        sent = _follow(send, watch, score, display, is_stopping)
        group = _settled(connection, watch, score, display)
    return None if not score.results else summarise(score, sent, group)


def workflow_text(port: int, instances: int) -> str:
    """The workflow of the demonstration, in the part of YAML that is JSON."""
    return json.dumps(
        {
            "name": "factory-line",
            "host": "127.0.0.1",
            "port": port,
            "functions": [
                {
                    "name": FUNCTION,
                    "observe": [TAG_PICTURE],
                    "emit": [TAG_RESULT],
                    "run": str(assets.GUEST),
                    "instances": instances,
                    "delivery": {"mode": "live", "queue": 32, "max_age": "1s"},
                    "sandbox": {"instance": "frame", "deadline": "500ms", "memory": "64MiB"},
                }
            ],
            "models": {"parts": {"path": str(assets.MODEL), "labels": str(assets.LABELS)}},
        },
        indent=2,
    )


def free_port() -> int:
    """A port of the loopback interface that is free over UDP and TCP at this moment."""
    while True:
        with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket(type=socket.SOCK_STREAM) as tcp:
            udp.bind(("127.0.0.1", 0))
            port: int = udp.getsockname()[1]
            with contextlib.suppress(OSError):
                tcp.bind(("127.0.0.1", port))
                return port


def _send_options(settings: LineSettings, zipper: str) -> list[str]:
    options = ["--tag", TAG_PICTURE, "--zipper", zipper]
    if settings.fps is not None:
        options += ["--fps", settings.fps]
    if settings.loop:
        options += ["--loop"]
    return options


def _child(stack: ExitStack, *arguments: str) -> Child:
    child = Child(*arguments)
    stack.callback(child.stop)
    return child


def _wait_for_instances(connection: Connection, wanted: int, serve: Child, is_stopping: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + READY_S
    while _group(connection)["instances"] < wanted and not is_stopping():
        if time.monotonic() > give_up_at:
            raise TransportError(f"{wanted} instances did not join within {READY_S:g} s", hint=serve.last_words())
        time.sleep(POLL_S)


def _group(connection: Connection) -> dict[str, Any]:
    """The function's entry in the zipper's ledger."""
    answer = connection.session.ask(keys.ledger(connection.namespace, connection.zipper))
    if answer is None:
        raise TransportError(f"zipper `{connection.zipper}` does not answer")
    group: dict[str, Any] = msgspec.json.decode(answer)["groups"][FUNCTION]
    return group


def _follow(
    send: Child, watch: Child, score: Score, display: Display, is_stopping: Callable[[], bool]
) -> dict[str, Any]:
    """Show results until the source has ended; returns the source's last line."""
    counted = 0
    while not is_stopping():
        _take_results(watch, score, display, POLL_S)
        while not send.events.empty():
            event = send.events.get()
            if event is None:
                raise send.failure()
            if event.get("event") == "ended":
                return event
            counted += "sent" in event
    return {"sent": counted}


def _settled(connection: Connection, watch: Child, score: Score, display: Display) -> dict[str, Any]:
    """Wait until every frame's story is over and its result is here; returns the ledger of the function."""
    give_up_at = time.monotonic() + SETTLE_S
    while True:
        group = _group(connection)
        _take_results(watch, score, display, POLL_S)
        is_over = group["queued"] == group["in_flight"] == 0 and score.results >= group["completed"]
        if is_over or time.monotonic() > give_up_at:
            return group


def _take_results(watch: Child, score: Score, display: Display, timeout_s: float) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            event = watch.events.get(timeout=timeout_s)
            if event is None:
                raise watch.failure()
            if "sequence" in event:
                result = event["json"]
                label, latency_ms = str(result["label"]), float(event["latency_ms"])
                score.add(event["sequence"], label, latency_ms, time.monotonic())
                display.result(event["sequence"], label, float(result["confidence"]), latency_ms, score)
            timeout_s = 0.0
