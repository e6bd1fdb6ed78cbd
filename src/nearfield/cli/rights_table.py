"""The matrix of rights, as a table for people and as objects for programs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from nearfield.cli.output import terminal
from nearfield.config import format_size
from nearfield.config.matrix import MatrixRow
from nearfield.frame import format_tag
from nearfield.frame.rights import ANY_NAME, Tags

COLUMNS = ("identity", "sends", "runs", "observes", "emits", "zipper", "ledger")
# A pipe has no width; a row that is cut would hide rights.
_PIPE_WIDTH = 200


def rights_text(rows: Sequence[MatrixRow]) -> str:
    """A table for each namespace: with colours on a terminal, plain in a pipe."""
    console = terminal()
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    with console.capture() as captured:
        for name, group in itertools.groupby(rows, key=lambda row: row.namespace):
            console.print()
            console.print(_table(name, list(group)))
    return "\n".join(line.rstrip() for line in captured.get().rstrip().splitlines())


def rights_object(row: MatrixRow) -> dict[str, Any]:
    """A row for programs: tags as numbers, `all`, or an empty list."""
    return {
        "namespace": row.namespace,
        "identity": row.identity,
        "sends": _plain(row.sends),
        "origins": list(row.origins),
        "runs": "all" if ANY_NAME in row.runs else list(row.runs),
        "observes": _plain(row.observes),
        "emits": _plain(row.emits),
        "zipper": row.zipper,
        "ledger": row.ledger,
        "max_payload": row.max_payload_bytes,
    }


def cells(row: MatrixRow) -> tuple[str, ...]:
    """A row as text, as `COLUMNS` names its parts; `-` for nothing."""
    return (
        row.identity,
        _sends(row),
        "all" if ANY_NAME in row.runs else ", ".join(row.runs) or "-",
        _tags(row.observes),
        _tags(row.emits),
        "yes" if row.zipper else "-",
        "yes" if row.ledger else "-",
    )


def _table(namespace: str, rows: Sequence[MatrixRow]) -> Table:
    table = Table(title=f"namespace {namespace}", title_justify="left", box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column)
    for row in rows:
        table.add_row(*cells(row))
    return table


def _sends(row: MatrixRow) -> str:
    if not row.sends:
        return "-"
    names = "" if row.origins == (row.identity,) else f" as {', '.join(row.origins)}"
    most = "" if row.max_payload_bytes is None else f", at most {format_size(row.max_payload_bytes)}"
    return f"{_tags(row.sends)}{' as anyone' if ANY_NAME in row.origins else names}{most}"


def _tags(tags: Tags) -> str:
    return tags if isinstance(tags, str) else ", ".join(map(format_tag, sorted(tags))) or "-"


def _plain(tags: Tags) -> str | list[int]:
    return tags if isinstance(tags, str) else sorted(tags)
