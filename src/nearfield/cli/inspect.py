"""`nearfield inspect`: what a guest is, needs, and whether it would run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options

GuestFiles = Annotated[list[Path], typer.Argument(metavar="GUEST.wasm...", help="WebAssembly modules.")]


def inspect(guests: GuestFiles, json: options.Json = False) -> None:
    """Say which ABI a guest speaks, what it imports and exports, and whether it would run here."""
    raise typer.Exit(1)
