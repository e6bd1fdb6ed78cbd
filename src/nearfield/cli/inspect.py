"""`nearfield inspect`: what a guest is, needs, and whether it would run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.cli.this_host import print_host
from nearfield.errors import GuestInvalid, UsageError
from nearfield.sandbox import GuestReport, ImportReport, inspect_guest

GuestFiles = Annotated[list[Path] | None, typer.Argument(metavar="GUEST.wasm...", help="WebAssembly modules.")]
Host = Annotated[bool, typer.Option("--host", help="Say what this machine offers for the containment of workers.")]

KIB_PER_PAGE = 64


def inspect(guests: GuestFiles = None, host: Host = False, json: options.Json = False) -> None:
    """Say which ABI each guest speaks, what it imports and exports, and whether it would run here.

    Nothing in the guest is run. Exit code 1 when one of them would not run.
    """
    if not guests and not host:
        raise UsageError("nothing to inspect: got no file, expected GUEST.wasm or --host")
    if host:
        print_host(json=json)
    for path in guests or ():
        if not path.is_file():
            raise UsageError("no such file", where=str(path))
    all_run = True
    for number, path in enumerate(guests or ()):
        if (number or host) and not json:
            say("")
        try:
            report = inspect_guest(path)
        except GuestInvalid as error:
            all_run = False
            _print_invalid(path, error, json=json)
            continue
        all_run = all_run and report.would_run
        if json:
            say_json({"path": str(path), **asdict(report)})
        else:
            _print(path, report)
    if not all_run:
        raise typer.Exit(1)


def _print_invalid(path: Path, error: GuestInvalid, *, json: bool) -> None:
    if json:
        say_json({"path": str(path), "abi": None, "why_not": error.what, "would_run": False})
    else:
        say(f"{path}\n  would run   no: {error.what}")


def _print(path: Path, report: GuestReport) -> None:
    say(f"{path}  ({report.size_bytes:,} bytes, sha256 {report.sha256[:16]}…)")
    say(f"  ABI         {report.abi or 'none that is known'}")
    if report.abi is None:
        for name, why in report.abis_tried:
            say(f"    {name}: {why}")
    memory = _memory(report)
    if memory:
        say(f"  memory      {memory}")
    for line in describe_imports(report.imports):
        say(line)
    if report.could_use:
        say(f"  could use   {', '.join(report.could_use)}, where granted")
    say(f"  exports     {', '.join(export.name for export in report.exports) or 'none'}")
    say(f"  would run   {'yes' if report.would_run else f'no: {report.why_not}'}")


def describe_imports(imports: Sequence[ImportReport]) -> list[str]:
    """A line for each module and what answers it, and one for each import that nothing answers. Pure."""
    answered: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in imports:
        if entry.satisfied_by is not None:
            answered[entry.module, entry.satisfied_by].append(entry.name)
    lines = []
    for (module, provider), names in answered.items():
        # Nearly always the module of that name answers, and all there is to say is a note.
        by = provider.removeprefix(module).strip() if provider.startswith(f"{module} (") else f"(by {provider})"
        lines.append(f"  imports     {module}: {', '.join(names)}" + ("" if provider == module else f"  {by}"))
    lines += [
        f"  missing     {entry.module}.{entry.name} {entry.signature}: {entry.why_not}"
        for entry in imports
        if entry.why_not is not None
    ]
    return lines


def _memory(report: GuestReport) -> str | None:
    if report.memory_min_pages is None:
        return None
    most = "no maximum" if report.memory_max_pages is None else f"at most {report.memory_max_pages * KIB_PER_PAGE} KiB"
    return f"{report.memory_min_pages * KIB_PER_PAGE} KiB at first, {most}"
