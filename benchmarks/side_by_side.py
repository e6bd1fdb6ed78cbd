"""Several bare loops at once, each in a process of its own: what the machine's cores give without anything of ours."""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from benchmarks import bare
from benchmarks.material import Material

_classify: bare.Classify | None = None
_jpeg = b""


class SideBySide:
    """Processes with a bare loop each; they wait until `run`."""

    def __init__(self, material: Material, processes: int) -> None:
        self._processes = processes
        self._pool = ProcessPoolExecutor(processes, get_context("spawn"), _prepare, (material,))

    def run(self, frames: int) -> float:
        """Seconds of one frame when each process does so many, all of them together being one stream."""
        spans = list(self._pool.map(_loop, [frames] * self._processes))
        whole_s = max(ended_s for _, ended_s in spans) - min(began_s for began_s, _ in spans)
        return whole_s / (frames * self._processes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()


def _prepare(material: Material) -> None:
    global _classify, _jpeg
    _jpeg = material.jpeg
    _classify = bare.litert(material.model, material.names)
    _classify(_jpeg)


def _loop(frames: int) -> tuple[float, float]:
    assert _classify is not None
    began_s = time.monotonic()
    for _ in range(frames):
        _classify(_jpeg)
    return began_s, time.monotonic()
