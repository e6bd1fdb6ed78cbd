"""What a guest may use up and see, from the options of `nearfield run`."""

from __future__ import annotations

import json
import os
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfield.cli.options import parsed
from nearfield.config import parse_duration, parse_limits, parse_size
from nearfield.config.granted import VARIABLE_EXPECTED, is_variable
from nearfield.errors import UsageError
from nearfield.supervised import GUEST_ENVIRONMENT_VARIABLE

if TYPE_CHECKING:
    # Its engines start threads when they are imported, which must come after what contains this process.
    from nearfield.sandbox import Directory, Grants, Limits, PictureRules

Limit = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="KEY=VALUE",
        help="Another limit, as under `sandbox:` in a workflow: log_rate=1MiB, handles=8, host_time=200ms; "
        "repeat for more.",
    ),
]
Environment = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME[=VALUE]",
        help="Variable that the guest sees; without a value, that of this process. Others on this machine can see "
        "values that are given here.",
    ),
]
ReadableDirectory = Annotated[
    list[str] | None,
    typer.Option("--dir", metavar="GUEST=HOST", help="Directory that the guest may read: /data=/srv/parts."),
]
WritableDirectory = Annotated[
    list[str] | None,
    typer.Option("--writable-dir", metavar="GUEST=HOST", help="Directory that the guest may read and change."),
]
ClockResolution = Annotated[
    str, typer.Option("--clock-resolution", metavar="DURATION", help="What the guest's clocks are rounded down to.")
]
RandomSeed = Annotated[
    int | None,
    typer.Option(
        "--random-seed", metavar="N", min=0, help="Same random bytes for the same frame; default: real randomness."
    ),
]
HttpHost = Annotated[
    list[str] | None,
    typer.Option("--http-host", metavar="HOST[:PORT]", help="Host that the guest may send HTTP requests to."),
]
Pixels = Annotated[
    str,
    typer.Option(
        metavar="auto|align-corners|smooth",
        help="How pictures are scaled: as WasmEdge up to 0.14 does, as from 0.15 on, or as the imported function's.",
    ),
]
ExactPixels = Annotated[
    bool, typer.Option("--exact-pixels", help="Scale pictures to the last bit as the original, from full size: slower.")
]
AllowPrecompiled = Annotated[
    bool,
    typer.Option(
        "--allow-precompiled",
        help="Run compiled code from a file. It is native code, outside of every sandbox: only for files that you "
        "compiled yourself.",
    ),
]


def limits_of(deadline: str, memory: str, more: Sequence[str] | None) -> Limits:
    """Limits from options.

    Raises:
        UsageError: a value does not read, or there is no such limit.
    """
    from nearfield.sandbox import Limits

    given = {
        "deadline_s": parsed("--deadline", parse_duration, deadline),
        "memory_bytes": parsed("--memory", parse_size, memory),
    }
    return Limits(**{**given, **parse_limits(more or ())})


def grants_of(
    environment: Sequence[str] | None,
    readable: Sequence[str] | None,
    writable: Sequence[str] | None,
    clock_resolution: str,
    random_seed: int | None,
    http_hosts: Sequence[str] | None,
    environ: MutableMapping[str, str] = os.environ,
) -> Grants:
    """Grants from options, and from what a supervisor left in our own environment.

    Raises:
        UsageError: a value does not read.
    """
    from nearfield.sandbox import Grants

    directories = [_directory("--dir", text, False) for text in readable or ()]
    directories += [_directory("--writable-dir", text, True) for text in writable or ()]
    resolution_s = parsed("--clock-resolution", parse_duration, clock_resolution)
    # Taken out: a guest's secrets are no business of what this process may start.
    variables: dict[str, str] = json.loads(environ.pop(GUEST_ENVIRONMENT_VARIABLE, "{}"))
    variables.update(_variable(text, environ) for text in environment or ())
    try:
        return Grants(
            environment=variables,
            directories=tuple(directories),
            clock_resolution_ns=max(1, round(resolution_s * 1e9)),
            random_seed=random_seed,
            http_hosts=tuple(http_hosts or ()),
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def pictures_of(pixels: str, exact: bool) -> PictureRules:
    """How pictures become pixels, from options.

    Raises:
        UsageError: there is no such rule.
    """
    from nearfield.media import Resampling
    from nearfield.sandbox import PictureRules

    if pixels == "auto":
        return PictureRules(None, exact)
    try:
        return PictureRules(Resampling(pixels), exact)
    except ValueError:
        raise UsageError(f"--pixels: got `{pixels}`, expected auto, align-corners or smooth") from None


def _directory(option: str, text: str, write: bool) -> Directory:
    from nearfield.sandbox import Directory

    guest, equals, host = text.partition("=")
    if not equals or not host:
        raise UsageError(f"{option}: got `{text}`, expected GUEST=HOST such as /data=/srv/parts")
    try:
        return Directory(Path(host).absolute(), guest, write)
    except ValueError as error:
        raise UsageError(str(error), where=option) from error


def _variable(text: str, environ: MutableMapping[str, str]) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not is_variable(name):
        raise UsageError(f"--env: got `{name}`, expected {VARIABLE_EXPECTED}")
    if not equals:
        if name not in environ:
            raise UsageError(f"--env: `{name}` is not set in this process's environment; give it as {name}=VALUE")
        value = environ[name]
    return name, value
