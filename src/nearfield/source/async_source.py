"""Sources for asyncio programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType
from typing import Literal, Self

from nearfield.errors import TransportError
from nearfield.frame import Frame, Priority
from nearfield.source.source import Source
from nearfield.source.statistics import SourceStatistics
from nearfield.transport import DEFAULT_ZIPPER, Connection


class AsyncSource:
    """`Source` for asyncio programs: the same, with `await` where it may wait."""

    def __init__(
        self,
        name: str,
        zipper: str | Connection = DEFAULT_ZIPPER,
        *,
        tag: int | str | None = None,
        mode: Literal["live", "complete"] = "live",
        priority: Priority = "normal",
        window: int | None = None,
        namespace: str = "default",
    ) -> None:
        self._open = partial(
            Source, name, zipper, tag=tag, mode=mode, priority=priority, window=window, namespace=namespace
        )
        self._source: Source | None = None

    @property
    def source(self) -> Source:
        """The source beneath. Raises TransportError before `async with` was entered."""
        if self._source is None:
            raise TransportError("the source is not open; use `async with`")
        return self._source

    async def send(
        self,
        payload: bytes,
        *,
        tag: int | str | None = None,
        captured_ns: int | None = None,
        deadline_ns: int = 0,
        timeout_s: float | None = None,
    ) -> int:
        """See `Source.send`."""
        return await asyncio.to_thread(
            self.source.send, payload, tag=tag, captured_ns=captured_ns, deadline_ns=deadline_ns, timeout_s=timeout_s
        )

    def results(self, timeout_s: float | None = None) -> AsyncIterator[Frame]:
        """See `Source.results`; to be read with `async for`."""
        frames = self.source.results(timeout_s)

        async def each() -> AsyncIterator[Frame]:
            while (frame := await asyncio.to_thread(next, frames, None)) is not None:
                yield frame

        return each()

    def statistics(self) -> SourceStatistics:
        """See `Source.statistics`."""
        return self.source.statistics()

    async def flush(self, timeout_s: float | None = 10.0) -> bool:
        """See `Source.flush`."""
        return await asyncio.to_thread(self.source.flush, timeout_s)

    async def close(self) -> None:
        """See `Source.close`."""
        if self._source is not None:
            await asyncio.to_thread(self._source.close)

    async def __aenter__(self) -> Self:
        self._source = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.flush()
        await self.close()
