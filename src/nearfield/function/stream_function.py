"""Stream functions in Python."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from nearfield.errors import UsageError
from nearfield.frame import PRIORITIES, Priority, check_name, parse_tag
from nearfield.frame.control import MAX_CREDITS
from nearfield.function.emission import EmissionRules
from nearfield.function.handler import PythonFunction, PythonHandler
from nearfield.function.worker import Observer, Worker, WorkerSettings, WorkerStatistics
from nearfield.transport import DEFAULT_ZIPPER, Connection, as_connection

HandlerType = TypeVar("HandlerType", bound=PythonHandler)


class StreamFunction:
    """A named function that observes tags and handles one frame at a time.

    As a decorator::

        detect = StreamFunction("detect", zipper="localhost:9900", observe=[0x10])

        @detect
        def handle(context):
            context.emit(0x11, context.payload.upper())

        detect.run()

    or with the handler given: ``StreamFunction("detect", observe=[0x10], handler=handle).run()``. Handlers may be
    ``async def``. A handler that raises fails its frame, which is counted at the zipper; the function goes on.

    Args:
        name: of the function, as in the zipper's workflow. Functions with one name share the frames.
        zipper: `host:port`, several separated by commas to try in turn, or a connection of your own.
        observe: tags; none: those in the workflow.
        emit: tags it may emit; None: any that is not reserved.
        credits: frames that the zipper hands out before the first is done, 1 to 1024; None: 2, and up to 256 while they
            are done quickly.
        priority: of what it emits, "high", "normal" or "low".
        emission: what it may emit at all; None: any bytes.

    Raises:
        UsageError: an ill-formed name or tag.
    """

    def __init__(
        self,
        name: str,
        zipper: str | Connection = DEFAULT_ZIPPER,
        observe: Iterable[int | str] = (),
        *,
        emit: Iterable[int | str] | None = None,
        handler: PythonHandler | None = None,
        credits: int | None = None,
        priority: Priority = "normal",
        emission: EmissionRules | None = None,
        namespace: str = "default",
    ) -> None:
        self.name = check_name("function", name)
        self.zipper = zipper
        self.observe = tuple(map(parse_tag, observe))
        self.emit = None if emit is None else frozenset(map(parse_tag, emit))
        if credits is not None and not 1 <= credits <= MAX_CREDITS:
            raise UsageError(f"credits: got {credits}, expected 1 to {MAX_CREDITS}")
        if priority not in PRIORITIES:
            raise UsageError(f"priority: got {priority!r}, expected one of {', '.join(PRIORITIES)}")
        self.credits = credits
        self.priority = priority
        self.emission = emission
        self.namespace = namespace
        self.handler = handler
        self._worker: Worker | None = None
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, handler: HandlerType) -> HandlerType:
        """Use `handler`; returns it unchanged, so that it serves as a decorator."""
        self.handler = handler
        return handler

    def connect(self, on_frame: Observer | None = None) -> Worker:
        """Connect and be admitted, without handling frames yet.

        Raises:
            UsageError: there is no handler.
            CertificateError, TransportError, RefusedError: see `nearfield.transport.connect` and `Worker.join`.
        """
        if self.handler is None:
            raise UsageError(f"function `{self.name}` has no handler; decorate one with it, or pass `handler=`")
        self._connection = as_connection(self.zipper, namespace=self.namespace)
        worker = Worker(
            WorkerSettings(self.name, self.observe, self.emit, self.credits, self.priority, self.emission),
            PythonFunction(self.handler),
            self._connection,
            on_frame=on_frame,
        )
        try:
            worker.join()
        except BaseException:
            self._connection.close()
            raise
        self._worker = worker
        return worker

    def run(self) -> None:
        """Connect and handle frames until `stop` or an interrupt. Blocks.

        Raises:
            As `connect`, and KeyboardInterrupt after a clean end.
        """
        worker = self._worker or self.connect()
        try:
            worker.run()
        finally:
            worker.stop()
            if self._connection is not None:
                self._connection.close()
            self._worker = None

    def start(self) -> Self:
        """`run` on a thread of its own, once admitted. Also on entering `with`."""
        self.connect()
        self._thread = threading.Thread(target=self.run, name=f"function-{self.name}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """End `run` after the frame at hand, and wait for a thread that `start` made. Idempotent."""
        worker = self._worker
        if worker is not None:
            worker.stop()
        if self._thread is not None:
            self._thread.join(timeout=10.0)
            self._thread = None

    def statistics(self) -> WorkerStatistics:
        """Counts of the running worker.

        Raises:
            UsageError: it is not running.
        """
        worker = self._worker
        if worker is None:
            raise UsageError(f"function `{self.name}` is not running")
        return worker.statistics()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
