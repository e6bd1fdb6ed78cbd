"""Frames that flow while something is broken, and what became of every one of them.

A `Traffic` sends at a steady pace through one function and gathers its results. In the end `account` compares what the
source, the zipper's ledger and the sink say: nothing may be left over.
"""

from __future__ import annotations

import itertools
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from nearfield import Sink, Source
from nearfield.errors import TransportError
from nearfield.frame import Frame, format_tag
from nearfield.source.pacing import Pacer
from tests.processes import Node, poll

# A lease of 2 s, and what comes after it, on a machine that is busy.
SETTLE_S = 60.0
INTERVAL_S = 0.01


@dataclass(frozen=True, slots=True)
class Route:
    """A function in one of the two modes, what it observes and emits, and a source that sends in the same mode."""

    mode: Literal["complete", "live"]
    function: str
    tag: int
    result: int

    def entry(self, **more: Any) -> dict[str, Any]:
        """Its entry in a workflow; `delivery` is added to its mode."""
        delivery = {"mode": self.mode, **more.pop("delivery", {})}
        return {"name": self.function, "observe": [self.tag], "emit": [self.result], "delivery": delivery, **more}

    def app(self, folder: Path, *, work_s: float = 0.002) -> Path:
        """A program that answers each frame with its process id after `work_s`, and does what payloads say."""
        path = folder / f"{self.function}.py"
        path.write_text(textwrap.dedent(APP.format(function=self.function, result=self.result, work_s=work_s)))
        return path


COMPLETE = Route("complete", "audit", 0x10, 0x11)
LIVE = Route("live", "show", 0x20, 0x21)
ROUTES = (COMPLETE, LIVE)

_NUMBERS = itertools.count(1)

APP = """
    import os, time
    from nearfield import StreamFunction

    function = StreamFunction("{function}")

    @function
    def handle(context):
        if context.payload == b"hang":
            time.sleep(3600)
        if context.payload == b"fail":
            raise ValueError("told to")
        time.sleep({work_s})
        context.emit({result}, str(os.getpid()))
"""


@dataclass(frozen=True, slots=True)
class Account:
    """What source, ledger and sink say of the frames of one source.

    Attributes:
        offered, sent, replaced, released, unacknowledged: by the source.
        received, completed, failed, dropped: by the ledger, of this source and tag.
        seen: frames whose result reached the sink, repeated ones once.
        missed: results that did not, by the sink. On a busy machine, or while a connection moves, a router lets some
            go; in `complete` the sink gets them from their sender.
    """

    offered: int
    sent: int
    replaced: int
    released: int
    unacknowledged: int
    received: int
    completed: int
    failed: dict[str, int]
    dropped: dict[str, int]
    seen: int
    missed: int

    def check(self) -> Self:
        """What holds in every mode, whatever was broken."""
        assert self.offered == self.sent + self.replaced, self
        assert self.sent == self.released + self.unacknowledged, self
        # A frame that was given up may have arrived nevertheless; one that did not was given up.
        assert self.released <= self.received <= self.sent, self
        assert self.received == self.completed + sum(self.failed.values()) + sum(self.dropped.values()), self
        return self

    def lost_nothing(self, *, failed: Mapping[str, int] | None = None) -> None:
        """Every frame was handled and has its result at the sink, but for those that the handler `failed` on."""
        failures = dict(failed or {})
        assert self.offered == self.sent == self.released == self.received, self
        assert (self.failed, self.dropped) == (failures, {}), self
        assert self.completed == self.offered - sum(failures.values()), self
        assert self.seen == self.completed, self

    def losses_are_counted(self, *, late: int = 0) -> None:
        """Each frame without a result is counted somewhere, with a reason.

        Args:
            late: frames that may have been counted as lost and have a result nevertheless: those that an instance had
                at hand when it was given up.
        """
        counted = self.replaced + (self.sent - self.received) + sum(self.failed.values()) + sum(self.dropped.values())
        lost = self.offered - self.seen
        assert counted - late <= lost <= counted + self.missed, self


class Results:
    """A sink for one tag, and all that it received, gathered on a thread of its own until it is closed.

    Attributes:
        frames: in order.
        latencies_s: from capture to here, by this machine's clock.
    """

    def __init__(self, address: str, tag: int) -> None:
        self.frames: list[Frame] = []
        self.latencies_s: list[float] = []
        self.sink = Sink(address, [tag], queue=100_000)
        self._thread = threading.Thread(target=self._gather, daemon=True)
        self._thread.start()

    def seen(self, origin: str) -> set[int]:
        """Numbers of the frames of a source whose results came."""
        return {frame.sequence for frame in list(self.frames) if frame.origin == origin}

    def close(self) -> None:
        self.sink.close()
        self._thread.join(10)

    def _gather(self) -> None:
        for frame in self.sink:
            self.frames.append(frame)
            self.latencies_s.append(self.sink.latency_ns(frame) / 1e9)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Traffic:
    """A source that sends at a steady pace from the start, and a sink, with connections of their own.

    Args:
        address: of the zipper; several separated by commas.
        name: of the source; None: one that no other has.
        payload: of every frame; a function of its number.
    """

    def __init__(
        self,
        route: Route,
        address: str,
        *,
        name: str | None = None,
        interval_s: float = INTERVAL_S,
        payload: Any = lambda number: b"work",
    ) -> None:
        self.route = route
        self.name = name = name or f"cam-{next(_NUMBERS)}"
        self._payload = payload
        self._interval_s = interval_s
        self._stopping = threading.Event()
        self._stack = ExitStack()
        self.results = self._stack.enter_context(Results(address, route.result))
        self.source = Source(name, address, tag=route.tag, mode=route.mode)
        self._stack.callback(self.source.close)
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop_sending(self) -> None:
        """Send no more, apart from what waits."""
        self._stopping.set()

    def stop(self) -> None:
        """Send no more, and wait until all that was sent is confirmed or given up."""
        self.stop_sending()
        self._thread.join(SETTLE_S)
        assert self.source.flush(SETTLE_S), f"not confirmed: {self.source.in_flight}; {self.source.statistics()}"

    def seen(self) -> set[int]:
        """Numbers of the frames whose results came."""
        return self.results.seen(self.name)

    def unseen(self) -> list[int]:
        """Numbers of the frames whose results did not come."""
        return sorted(set(range(self.source.statistics().offered)) - self.seen())

    def repeated(self) -> int:
        """Results that came more than once."""
        return len(self.results.frames) - len(self.seen())

    def by_instance(self) -> Counter[int]:
        """Results by the process that made them."""
        return Counter(int(frame.payload) for frame in list(self.results.frames))

    def until_more(self, count: int = 30) -> None:
        """Wait for so many further results."""
        target = len(self.results.frames) + count
        poll(lambda: len(self.results.frames) >= target, f"{count} more results of `{self.route.function}`")

    def account(self, node: Node) -> Account:
        """Stop, wait until every frame's story is over, and compare what all say."""
        self.stop()
        entry = until_settled(node, self.route, self.name)
        sink = self.results.sink
        poll(
            lambda: len(self.seen()) + (0 if self.route.mode == "complete" else sink.missed) >= entry["completed"],
            lambda: (
                f"every result at the sink; without: {self.unseen()}; ledger: {entry}; {self.source.statistics()}; "
                f"{sink.statistics()}"
            ),
        )
        counts = self.source.statistics()
        return Account(
            offered=counts.offered,
            sent=counts.sent,
            replaced=counts.replaced,
            released=counts.released,
            unacknowledged=counts.unacknowledged,
            received=entry["received"],
            completed=entry["completed"],
            failed=entry["failed"],
            dropped=entry["dropped"],
            seen=len(self.seen()),
            missed=sink.missed,
        ).check()

    def close(self) -> None:
        self._stopping.set()
        self._stack.close()
        self._thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- its threads

    def _send(self) -> None:
        pacer = Pacer(self._interval_s)
        number = 0
        while not self._stopping.wait(pacer.wait_s(time.monotonic())):
            try:
                self.source.send(self._payload(number), timeout_s=SETTLE_S)
            except TransportError:  # closed, by a test that failed
                return
            number += 1


def until_settled(node: Node, route: Route, origin: str) -> dict[str, Any]:
    """Wait until no frame of a source is queued or in flight; returns its entry in the ledger."""
    entry: dict[str, Any] = {}

    def is_settled() -> bool:
        entry.clear()
        entry.update(node.group(route.function)["sources"].get(origin, {}).get(format_tag(route.tag), {}))
        return bool(entry) and entry["open"] == 0

    poll(is_settled, lambda: f"settled; ledger: {entry}", timeout_s=SETTLE_S)
    return entry
