"""Options about what a function may emit at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.config import FunctionConfig, parse_size
from nearfield.errors import UsageError
from nearfield.function.emission import KINDS, EmissionRules

Kind = Annotated[
    str | None,
    typer.Option("--emit-kind", metavar="text|json|boxes", help="Refuse to send anything else; needs --emit."),
]
Bytes = Annotated[
    str | None, typer.Option("--emit-bytes", metavar="SIZE", help="Most bytes of one payload with --emit-kind.")
]
Rate = Annotated[
    str | None, typer.Option("--emit-rate", metavar="SIZE", help="Most bytes in a second with --emit-kind.")
]

_DEFAULTS = FunctionConfig(name="defaults")


def rules_of(kind: str | None, most_bytes: str | None, rate: str | None, emit: Sequence[int]) -> EmissionRules | None:
    """The rules from options; None when there are none.

    Raises:
        UsageError: a value does not read, or one is missing that another needs.
    """
    if kind is None:
        for option, given in (("--emit-bytes", most_bytes), ("--emit-rate", rate)):
            if given is not None:
                raise UsageError("has no meaning without --emit-kind", where=option)
        return None
    chosen = next((each for each in KINDS if each == kind), None)
    if chosen is None:
        raise UsageError(f"got `{kind[:60]}`, expected {', '.join(KINDS[:-1])} or {KINDS[-1]}", where="--emit-kind")
    if not emit:
        raise UsageError("needs --emit: a tag of its own choice would tell much", where="--emit-kind")
    return EmissionRules(
        chosen,
        _DEFAULTS.emit_bytes if most_bytes is None else options.parsed("--emit-bytes", parse_size, most_bytes),
        _DEFAULTS.emit_bytes_per_s if rate is None else options.parsed("--emit-rate", parse_size, rate),
    )
