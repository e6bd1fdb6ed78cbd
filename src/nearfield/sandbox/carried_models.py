"""Models that a guest carries inside itself, found again on every frame without reading them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearfield.sandbox.memory import GuestMemory
from nearfield.sandbox.written_pages import PageMap, Span, page_map

if TYPE_CHECKING:
    from nearfield.inference import Device, Encoding, Graph

Region = tuple[int, int]
"""Pointer and length in a guest's memory."""

# A guest has one or two. What is no longer known here is compared byte by byte.
MOST_KNOWN = 8


@dataclass(frozen=True, slots=True)
class _Known:
    """A model where it was found.

    Attributes:
        contents: of each region.
        written: spans of each that had been written to by then, relative to its beginning. What such a page held when
            it was mapped is not known.
    """

    graph: Graph
    contents: tuple[bytes, ...]
    written: tuple[tuple[Span, ...], ...]


class CarriedModels:
    """Where in the memory of one module's instances which model lay. Used by one thread at a time.

    A model is the same when each of its pages is: a page that was not written to in this instance, nor in the one where
    the model was found, is that of the module itself; all others are compared byte by byte.
    """

    def __init__(self, pages: PageMap | None = None) -> None:
        """Args: pages: what tells which pages were written to; None for this process's, if it has one."""
        self._pages = pages or page_map()
        self._known: dict[object, _Known] = {}

    def find(self, memory: GuestMemory, regions: Sequence[Region], encoding: Encoding, device: Device) -> Graph | None:
        """The model at these places, if it was remembered and is still there."""
        key = (tuple(regions), encoding, device)
        known = self._known.get(key)
        if known is None:
            return None
        written = self._written(memory, regions)
        if written is None:
            return None
        for (pointer, _), content, now, then in zip(regions, known.contents, written, known.written, strict=True):
            for start, end in (*now, *then):
                if not memory.holds(pointer + start, content[start:end]):
                    return None
        return known.graph

    def remember(
        self,
        memory: GuestMemory,
        regions: Sequence[Region],
        encoding: Encoding,
        device: Device,
        graph: Graph,
        contents: tuple[bytes, ...],
    ) -> None:
        """Note that these regions hold exactly `contents` now, which are the model `graph`."""
        written = self._written(memory, regions)
        if written is None:
            return
        key = (tuple(regions), encoding, device)
        self._known.pop(key, None)
        while len(self._known) >= MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[key] = _Known(graph, contents, written)

    def _written(self, memory: GuestMemory, regions: Sequence[Region]) -> tuple[tuple[Span, ...], ...] | None:
        if self._pages is None:
            return None
        every = []
        base, _ = memory.locate()
        for pointer, length in regions:
            memory.check(pointer, length)
            start = base + pointer
            spans = self._pages.written(start, length)
            if spans is None:
                return None
            every.append(tuple((first - start, last - start) for first, last in spans))
        return tuple(every)
