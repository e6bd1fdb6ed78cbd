"""What a module is and whether it would run here, without running any of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nearfield.sandbox.abi import detect
from nearfield.sandbox.hostcalls import Missing, find
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.module import compile_guest
from nearfield.sandbox.shape import ModuleShape

_WASI = "wasi_snapshot_preview1"

# Imports that do nothing, or little, without a grant.
_GRANTS = {
    ("env", "yomo_http_send"): "http_hosts",
    (_WASI, "environ_get"): "environment",
    (_WASI, "path_open"): "directories",
}


@dataclass(frozen=True, slots=True)
class ImportReport:
    """One import.

    Attributes:
        module, name: as the guest writes them.
        signature: type of the function, or kind of the other thing.
        satisfied_by: what answers it here; None when nothing does.
        why_not: why nothing does; None when something does.
    """

    module: str
    name: str
    signature: str
    satisfied_by: str | None
    why_not: str | None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """One export: its name and its type as text."""

    name: str
    signature: str


@dataclass(frozen=True, slots=True)
class GuestReport:
    """All that can be told about a module without running it. `dataclasses.asdict` gives JSON-able values.

    Attributes:
        abi: the ABI that it would be called by; None when none fits.
        why_not: why it would not run; None when it would.
        abis_tried: each ABI with the reason why it does not fit; None for the one that does.
        imports, exports: in the module's order.
        memory_min_pages, memory_max_pages: of the export `memory`, in pages of 65,536 bytes; None where not declared.
        could_use: grants (fields of `Grants`) that its imports ask for. It runs without them, but is refused then.
        size_bytes: of the file.
        sha256: of the file, hexadecimal.
        would_run: whether its exports, imports and declared minimums fit. Its own initialisation may still fail.
    """

    abi: str | None
    why_not: str | None
    abis_tried: tuple[tuple[str, str | None], ...]
    imports: tuple[ImportReport, ...]
    exports: tuple[ExportReport, ...]
    memory_min_pages: int | None
    memory_max_pages: int | None
    could_use: tuple[str, ...]
    size_bytes: int
    sha256: str
    would_run: bool


def inspect_guest(path: Path, limits: Limits | None = None) -> GuestReport:
    """Compile a module (about a second for 4 MB) and look at its types.

    Args:
        limits: that it would run with; None for the defaults.

    Raises:
        GuestInvalid: unreadable, too large, or no valid core module.
    """
    limits = limits or Limits()
    compiled = compile_guest(path, limits=limits)
    shape = ModuleShape.of(compiled.module)
    detection = detect(shape)
    imports = tuple(_report(shape))
    problems = [] if detection.abi is not None else [detection.why_none()]
    problems += [f"import `{i.module}.{i.name}`: {i.why_not}" for i in imports if i.why_not is not None]
    problems += shape.problems_with(limits)
    memory = shape.memory()
    return GuestReport(
        abi=None if detection.abi is None else detection.abi.name,
        why_not="; ".join(problems) or None,
        abis_tried=detection.tried,
        imports=imports,
        exports=tuple(ExportReport(name, str(extern)) for name, extern in shape.exports.items()),
        memory_min_pages=None if memory is None else memory.minimum,
        memory_max_pages=None if memory is None else memory.maximum,
        could_use=tuple(sorted({_GRANTS[key] for i in imports if (key := (i.module, i.name)) in _GRANTS})),
        size_bytes=compiled.size_bytes,
        sha256=compiled.sha256,
        would_run=not problems,
    )


def _report(shape: ModuleShape) -> list[ImportReport]:
    reports = []
    for entry in shape.imports:
        answer = find(entry)
        satisfied_by, why_not = (None, answer.why) if isinstance(answer, Missing) else (answer.provider, None)
        reports.append(ImportReport(entry.module, entry.name, str(entry.extern), satisfied_by, why_not))
    return reports
