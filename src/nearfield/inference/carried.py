"""The models that guests carry inside themselves, kept loaded. Found by their bytes, never by a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nearfield.inference.backends import backend_for
from nearfield.inference.contract import Device, Encoding, Graph, ModelContent
from nearfield.inference.detect import detect_encoding

# A guest has one or two; each costs about twice its size.
MOST_GUEST_MODELS = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """What makes two graphs of one content different."""

    threads: int
    device: Device


@dataclass(frozen=True, slots=True)
class _Carried:
    parts: tuple[bytes, ...]
    settings: Settings
    graph: Graph

    def fits(self, encoding: Encoding) -> bool:
        return encoding in (Encoding.AUTODETECT, self.graph.encoding)


class CarriedGraphs:
    """The most recently used of them. Not thread-safe: the store that owns it locks."""

    def __init__(self) -> None:
        self._newest_first: list[_Carried] = []

    def find(
        self,
        sizes: Sequence[int],
        has_content: Callable[[tuple[bytes, ...]], bool],
        encoding: Encoding,
        settings: Settings,
    ) -> Graph | None:
        """See `ModelStore.find_carried`."""
        wanted = tuple(sizes)
        for each in self._newest_first:
            is_like_it = each.settings == settings and each.fits(encoding) and tuple(map(len, each.parts)) == wanted
            if is_like_it and has_content(each.parts):
                return self._keep(each)
        return None

    def get(
        self,
        parts: tuple[bytes, ...],
        encoding: Encoding,
        settings: Settings,
        admit: Callable[[int], None] | None,
    ) -> Graph:
        """See `ModelStore.from_parts`."""
        for each in self._newest_first:
            if each.settings == settings and each.parts == parts:
                if not each.fits(encoding):
                    detect_encoding(parts[0], each.graph.label, encoding)
                return self._keep(each)
        if admit is not None:
            admit(sum(map(len, parts)))
        return self._keep(_load(parts, encoding, settings))

    def content_of(self, graph: Graph) -> tuple[bytes, ...] | None:
        """See `ModelStore.carried_content`."""
        return next((each.parts for each in self._newest_first if each.graph is graph), None)

    def _keep(self, newest: _Carried) -> Graph:
        if not self._newest_first or self._newest_first[0] is not newest:
            others = [each for each in self._newest_first if each is not newest]
            self._newest_first = [newest, *others[: MOST_GUEST_MODELS - 1]]
        return newest.graph


def _load(parts: tuple[bytes, ...], encoding: Encoding, settings: Settings) -> _Carried:
    label = f"sha256:{hashlib.sha256(parts[0]).hexdigest()[:12]}"
    backend = backend_for(detect_encoding(parts[0], label, encoding))
    graph = backend.load(ModelContent(parts), label=label, threads=settings.threads, device=settings.device)
    return _Carried(parts, settings, graph)
