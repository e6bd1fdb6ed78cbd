"""Our side of the inference benchmark: guests that take a JPEG and give a label, and where their time goes."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import wasmtime

from benchmarks import sandbox_guests
from benchmarks.bare import RESAMPLING, THREADS
from benchmarks.embedded_guest import embedded_guest
from benchmarks.material import Material
from benchmarks.measure import ROOT
from nearfield.inference import ModelSource, ModelStore
from nearfield.sandbox import Guest, Invocation, Limits, PictureRules

RECOGNISE = ROOT / "guests" / "recognise" / "recognise.wasm"

_LIMITS = Limits(deadline_s=60.0)
_ANSWER_TAG = 0x11


@dataclass(frozen=True, slots=True)
class Sandboxed:
    """A guest to measure; `label_of` is what it makes of a payload."""

    guest: Guest
    read: Callable[[bytes], str]

    def label_of(self, payload: bytes) -> str:
        """What the guest says."""
        (emission,) = self.guest.handle(frame(payload)).emissions
        return self.read(emission.payload)


def frame(payload: bytes) -> Invocation:
    return Invocation(0x10, payload, "bench", 1, 0)


def by_name(model: Path, labels: Path) -> Sandboxed:
    """`guests/recognise`: the model is the workflow's, and loaded."""
    models = ModelStore({"model": ModelSource(model, labels, threads=THREADS)})
    models.load_all()
    guest = Guest.load(RECOGNISE, name="by-name", models=models, limits=_LIMITS, pictures=PictureRules(RESAMPLING))
    return Sandboxed(guest, lambda answer: str(json.loads(answer)["label"]))


def embedded(material: Material, folder: Path) -> Sandboxed:
    """The model is in the guest, which makes a session of it for every frame."""
    graph = ModelStore({"model": ModelSource(material.model)}).by_name("model")
    text = embedded_guest(material.model.read_bytes(), graph, material.names)
    path = folder / "embedded.wasm"
    path.write_bytes(bytes(wasmtime.wat2wasm(text)))
    guest = Guest.load(path, name="embedded", models=ModelStore({}), limits=_LIMITS, result_tag=_ANSWER_TAG)
    return Sandboxed(guest, bytes.decode)


def stages(subject: Sandboxed, jpeg: bytes, frames: int) -> Mapping[str, float]:
    """Where the time of a frame goes: seconds, medians over `frames`.

    `rest` is all that is neither decoding, loading nor inference: making and ending the instance, the guest's own code,
    payloads and tensors in and out.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    for _ in range(frames):
        started_ns = time.perf_counter_ns()
        outcome = subject.guest.handle(frame(jpeg))
        total_ns = time.perf_counter_ns() - started_ns
        for what, spent_ns in outcome.host_ns.items():
            taken[what].append(spent_ns / 1e9)
        taken["rest"].append((total_ns - sum(outcome.host_ns.values())) / 1e9)
        taken["whole frame"].append(total_ns / 1e9)
    return {what: statistics.median(each) for what, each in taken.items()}


def bounce_s(payload: bytes, folder: Path, frames: int) -> float:
    """Seconds of a frame whose guest copies the payload in and the same number of bytes out, and does nothing else."""
    path = folder / "echo.wasm"
    path.write_bytes(bytes(wasmtime.wat2wasm(sandbox_guests.ECHO)))
    guest = Guest.load(path, name="echo", models=ModelStore({}), limits=_LIMITS)
    subject = Sandboxed(guest, lambda answer: "")
    taken = stages(subject, payload, frames)["whole frame"]
    guest.close()
    return taken
