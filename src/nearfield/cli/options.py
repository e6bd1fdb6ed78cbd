"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from nearfield.errors import UsageError
from nearfield.frame import PRIORITIES, Priority, parse_tag
from nearfield.transport import (
    Credentials,
    Uncertified,
    complete_credentials,
    load_identity,
    read_certificates,
    read_token_file,
)

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
# There is no option for the token itself: everyone on a machine sees the arguments of all processes.
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        envvar="NEARFIELD_TOKEN_FILE",
        help="File with NAME:TOKEN, for zippers that ask for a token; or set NEARFIELD_TOKEN.",
    ),
]


def credentials_of(
    ca: Path | None, certificate: Path | None, key: Path | None, token_file: Path | None = None
) -> Credentials:
    """What the four options and the environment name; the local identity and token when they name nothing.

    Raises:
        UsageError: only some of the first three are given, apart from `--ca` alone; a token is ill-formed.
        CertificateError: see `load_identity`, `read_certificates` and `read_token_file`.
    """
    token = None if token_file is None else read_token_file(token_file)
    if certificate is None and key is None:
        if ca is not None:
            read_certificates(ca)
        return complete_credentials(None if ca is None else Uncertified(ca), token)
    if ca is None or certificate is None or key is None:
        raise UsageError("--ca, --certificate and --key belong together: give all three, --ca alone, or none")
    return complete_credentials(load_identity(ca, certificate, key, purposes=["client"]), token)


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
