"""Sinks for asyncio programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from types import TracebackType
from typing import Self

from nearfield.errors import TransportError
from nearfield.frame import Frame
from nearfield.sink.sink import DEFAULT_QUEUE, Sink
from nearfield.sink.statistics import SinkStatistics
from nearfield.transport import DEFAULT_ZIPPER, Connection


class AsyncSink:
    """`Sink` for asyncio programs: the same, with `await` where it may wait.

    Enter it with `async with`, then iterate over it with `async for`, or call `receive`.
    """

    def __init__(
        self,
        zipper: str | Connection = DEFAULT_ZIPPER,
        tags: Iterable[int | str] = (),
        *,
        queue: int = DEFAULT_QUEUE,
        dedupe: bool = False,
        namespace: str = "default",
    ) -> None:
        self._open = partial(Sink, zipper, tags, queue=queue, dedupe=dedupe, namespace=namespace)
        self._sink: Sink | None = None

    @property
    def sink(self) -> Sink:
        """The sink beneath. Raises TransportError before `async with` was entered."""
        if self._sink is None:
            raise TransportError("the sink is not open; use `async with`")
        return self._sink

    async def receive(self, timeout_s: float | None = None) -> Frame | None:
        """See `Sink.receive`."""
        return await asyncio.to_thread(self.sink.receive, timeout_s)

    def statistics(self) -> SinkStatistics:
        """See `Sink.statistics`."""
        return self.sink.statistics()

    async def close(self) -> None:
        """See `Sink.close`."""
        if self._sink is not None:
            await asyncio.to_thread(self._sink.close)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        async for frame in self.sink:
            yield frame

    async def __aenter__(self) -> Self:
        self._sink = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
