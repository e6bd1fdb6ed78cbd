"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from nearfield.errors import UsageError
from nearfield.frame import PRIORITIES, Priority, parse_tag
from nearfield.transport import Identity, load_identity

Number = TypeVar("Number", int, float)

Zipper = Annotated[
    str,
    typer.Option(
        "--zipper",
        "-z",
        metavar="HOST:PORT",
        envvar="NEARFIELD_ZIPPER",
        help="Address of the zipper; several separated by commas are tried in turn.",
    ),
]
Namespace = Annotated[str, typer.Option(metavar="NAME", help="Namespace of the workflow.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more: one line for each frame.")]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", metavar="PEM", envvar="NEARFIELD_CA", help="Authority to trust instead of the local one."),
]
Certificate = Annotated[
    Path | None,
    typer.Option(metavar="PEM", envvar="NEARFIELD_CERTIFICATE", help="Own certificate; needs --ca and --key."),
]
Key = Annotated[
    Path | None, typer.Option(metavar="PEM", envvar="NEARFIELD_KEY", help="Private key of the certificate.")
]


def identity_of(ca: Path | None, certificate: Path | None, key: Path | None) -> Identity | None:
    """The identity that the three options name, or None when none is given.

    Raises:
        UsageError: only some of them are given.
        CertificateError: see `load_identity`.
    """
    if ca is None and certificate is None and key is None:
        return None
    if ca is None or certificate is None or key is None:
        raise UsageError("--ca, --certificate and --key belong together: give all three or none")
    return load_identity(ca, certificate, key, purposes=["client"])


def tags_of(option: str, values: list[str] | None) -> tuple[int, ...]:
    """Tags from repeated and comma-separated values.

    Raises:
        UsageError: one is no tag.
    """
    try:
        return tuple(parse_tag(part) for value in values or () for part in value.split(","))
    except UsageError as error:
        raise UsageError(error.what, where=option) from error


def priority_of(text: str) -> Priority:
    """A priority by its name.

    Raises:
        UsageError: there is none of this name.
    """
    for priority in PRIORITIES:
        if text == priority:
            return priority
    raise UsageError(f"got `{text}`, expected {', '.join(PRIORITIES[:-1])} or {PRIORITIES[-1]}", where="--priority")


def parsed(option: str, parse: Callable[[str], Number], text: str) -> Number:
    """A duration or size, with the option's name in front of what is wrong with it.

    Raises:
        UsageError: it does not read, or is 0.
    """
    try:
        value = parse(text)
    except UsageError as error:
        raise UsageError(error.what, where=option) from error
    if value == 0:
        raise UsageError(f"got `{text}`, expected more than 0", where=option)
    return value
