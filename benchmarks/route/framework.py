"""Roles played with nearfield's own programs' interface: sources, functions, a sink."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from benchmarks.route import shared_memory
from benchmarks.route.traffic import Arrivals, flood, pace
from nearfield.function import Context, StreamFunction
from nearfield.sink import Sink
from nearfield.source import Source

CONNECTING_THREADS = 4


class FrameSource:
    """One source, or rather one for each kind of window.

    Args:
        windows: mode, and frames on their way at most (None: as nearfield has it), by the names used below.
    """

    def __init__(
        self, zipper: str, windows: dict[str, tuple[Literal["live", "complete"], int | None]], shm: bool = False
    ) -> None:
        shared_memory.allow(shm)
        self._sources = {
            name: Source(f"bench-{name}", zipper, mode=mode, window=frames) for name, (mode, frames) in windows.items()
        }

    def flood(self, window: str, tag: int, **run: Any) -> int:
        """See `traffic.flood`; all is confirmed when it returns."""
        source = self._sources[window]
        sent = flood(lambda payload: source.send(payload, tag=tag), **run)
        if not source.flush(30.0):
            raise RuntimeError(f"{source.in_flight} frames were not confirmed")
        return sent

    def pace(self, window: str, tag: int, **run: Any) -> int:
        """See `traffic.pace`."""
        source = self._sources[window]
        sent = pace(lambda payload: source.send(payload, tag=tag), **run)
        source.flush(2.0)
        return sent

    def close(self) -> None:
        for source in self._sources.values():
            source.close()


class ManySources:
    """Sources with a connection each, of which more can be opened."""

    def __init__(self, zipper: str) -> None:
        self._zipper = zipper
        self._sources: list[Source] = []

    def open(self, count: int) -> int:
        """Open sources until there are `count`."""
        missing = range(len(self._sources), count)
        with ThreadPoolExecutor(CONNECTING_THREADS) as pool:
            self._sources += pool.map(lambda n: Source(f"bench-{n}", self._zipper, mode="complete"), missing)
        return len(self._sources)

    def pace(self, tags: list[int], **run: Any) -> int:
        """Send in turns from all sources and with all tags, paced in all; see `traffic.pace`."""
        count = 0

        def send(payload: bytes) -> None:
            nonlocal count
            self._sources[count % len(self._sources)].send(payload, tag=tags[count % len(tags)])
            count += 1

        sent = pace(send, **run)
        for source in self._sources:
            source.flush(5.0)
        return sent

    def close(self) -> None:
        with ThreadPoolExecutor(CONNECTING_THREADS) as pool:
            list(pool.map(Source.close, self._sources))


class Functions:
    """Instances of functions that send on what they get, each with a connection of its own."""

    def __init__(self, zipper: str, shm: bool = False) -> None:
        shared_memory.allow(shm)
        self._zipper = zipper
        self._running: list[StreamFunction] = []

    def join(self, name: str, emit: int, credits: int | None = None, sleep_s: float = 0.0) -> None:
        """Start an instance. `sleep_s`: what its handler takes."""

        def handle(context: Context) -> None:
            if sleep_s:
                time.sleep(sleep_s)
            context.emit(emit, context.payload)

        self._running.append(StreamFunction(name, self._zipper, handler=handle, credits=credits).start())

    def close(self) -> None:
        for function in self._running:
            function.stop()


class FrameSink(Arrivals):
    """One sink for several tags."""

    def __init__(self, zipper: str, tags: list[int], shm: bool = False) -> None:
        super().__init__()
        shared_memory.allow(shm)
        self._sink = Sink(zipper, tags)
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        for frame in self._sink:
            self.note(frame.payload)

    def close(self) -> None:
        self._sink.close()
        self._thread.join(2.0)
