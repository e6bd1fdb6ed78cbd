"""`nearfield reload`: have a running zipper take on what has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.errors import NearfieldError, TransportError, UsageError
from nearfield.supervise import RunningZipper, running_zippers, text_of
from nearfield.telemetry import configure_logging
from nearfield.transport import StateDirectory

Functions = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FUNCTION]...", help="Functions to start anew even if nothing has changed."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", metavar="WORKFLOW", help="The zipper that serves this workflow file."),
]
Name = Annotated[str | None, typer.Option("--name", "-n", metavar="NAME", help="The zipper of this name.")]


def reload(
    functions: Functions = None,
    config: ConfigFile = None,
    name: Name = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Have a zipper of yours on this machine read its workflow anew, and take on what has changed.

    New instances start first; the former ones leave when those have joined, and finish what they have begun, so that no
    frame is dropped. Settings of delivery change in place. When anything is wrong, nothing changes. Ctrl-C ends this
    command, and not the reload.
    """
    configure_logging(verbose=verbose)
    for event in _choose(running_zippers(StateDirectory.from_environment()), config, name).reload(functions or []):
        if json:
            say_json(event)
        elif event["event"] != "reload-failed":
            say(text_of(event))
        if event["event"] == "reload-failed":
            raise ReloadFailed(event["error"], event["exit_code"])


class ReloadFailed(NearfieldError):
    """The zipper's error, as it says it."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.exit_code = status


def _choose(running: list[RunningZipper], config: Path | None, name: str | None) -> RunningZipper:
    """The zipper that is meant.

    Raises:
        UsageError: several fit.
        TransportError: none does.
    """
    wanted = None if config is None else config.resolve()
    fitting = [
        zipper
        for zipper in running
        if (wanted is None or zipper.workflow == wanted) and (name is None or zipper.zipper == name)
    ]
    if len(fitting) == 1:
        return fitting[0]
    listed = "; ".join(f"`{each.zipper}` at {each.address} ({each.workflow}, process {each.pid})" for each in running)
    if fitting:
        hint = "choose with --config or --name, or send SIGHUP to one of these processes"
        raise UsageError(f"{len(fitting)} zippers fit: {listed}", hint=hint)
    asked = [f"serves `{config}`"] if config is not None else []
    asked += [f"is named `{name}`"] if name is not None else []
    what = f"no zipper of yours on this machine {' and '.join(asked) or 'runs'}"
    raise TransportError(what, hint=f"running: {listed}" if running else "start one with `nearfield serve`")
