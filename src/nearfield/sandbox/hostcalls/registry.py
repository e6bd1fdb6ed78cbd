"""Which host function answers which import. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.hostcalls import (
    bindgen_imports,
    nearfield_v1,
    wasi,
    wasi_nn,
    wasmedge_image,
    wasmedge_tensorflow_a,
    wasmedge_tensorflow_b,
    wasmedge_tensorflowlite_a,
    wasmedge_tensorflowlite_b,
    yomo,
)
from nearfield.sandbox.shape import ImportShape

_OFFERED = (
    nearfield_v1,
    yomo,
    bindgen_imports,
    wasi,
    wasi_nn,
    wasmedge_image,
    wasmedge_tensorflowlite_a,
    wasmedge_tensorflowlite_b,
    wasmedge_tensorflow_a,
    wasmedge_tensorflow_b,
)
#: Every host function with a meaning of its own.
FUNCTIONS: tuple[HostImport, ...] = tuple(entry for offered in _OFFERED for entry in offered.FUNCTIONS)

_KNOWN = {(entry.module, entry.name): entry for entry in FUNCTIONS}
MODULES = frozenset(module for module, _ in _KNOWN)


@dataclass(frozen=True, slots=True)
class Missing:
    """An import that nothing answers, and why."""

    entry: ImportShape
    why: str

    def __str__(self) -> str:
        return f"`{self.entry}` ({self.why})"


def find(entry: ImportShape) -> HostImport | Missing:
    """The host function for one import, or why there is none."""
    if entry.extern.signature is None:
        return Missing(entry, f"a {entry.extern}; this host offers functions only")
    known = _KNOWN.get((entry.module, entry.name)) or wasi.stand_in(entry)
    if known is None:
        return Missing(entry, "no such function" if entry.module in MODULES else "no such module")
    if known.signature != entry.extern.signature:
        return Missing(entry, f"got {entry.extern.signature}, expected {known.signature}")
    return known


def resolve(entries: Iterable[ImportShape]) -> tuple[list[HostImport], list[Missing]]:
    """Answer all imports of a module: those that are found, and those that are missing."""
    found, missing = [], []
    # A module may import one function twice; a linker takes it once.
    for entry in dict.fromkeys(entries):
        answer = find(entry)
        if isinstance(answer, Missing):
            missing.append(answer)
        else:
            found.append(answer)
    return found, missing
