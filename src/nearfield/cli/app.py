"""The `nearfield` program: its commands, and how errors become lines and exit codes."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from nearfield.cli.stopping import EXIT_INTERRUPTED
from nearfield.errors import NearfieldError
from nearfield.supervised import end_with_supervisor, say_last_words

# In the order in which a newcomer needs them; the module of the same name holds each.
COMMANDS = (
    "demo",
    "serve",
    "run",
    "send",
    "watch",
    "top",
    "reload",
    "inspect",
    "compile",
    "sign",
    "verify",
    "validate",
    "cert",
    "version",
)
_SETTINGS = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """Imports a command's module, and the engines it needs, only when that command is called.

    The types of contexts and commands are not named: Typer took them from click, and carries its own since 0.26.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        entry = getattr(import_module(f"nearfield.cli.{cmd_name}"), cmd_name)
        if isinstance(entry, typer.Typer):  # has commands of its own
            return typer.main.get_command(entry)
        single = typer.Typer(add_completion=False, context_settings=_SETTINGS)
        single.command(cmd_name)(entry)
        return typer.main.get_command(single)


app = typer.Typer(
    name="nearfield",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=_SETTINGS,
)


@app.callback()
def nearfield() -> None:
    """Near-field computing on live streams: frames over QUIC, functions in WebAssembly sandboxes, results at once."""


def main() -> None:
    """Run a command and exit: 0 done, 1 failed, 2 usage or configuration, 130 interrupted."""
    end_with_supervisor()
    try:
        app()
    except NearfieldError as error:
        say_last_words(str(error))
        sys.exit(fail(str(error), error.exit_code))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe has seen enough; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def fail(message: str, status: int) -> int:
    """Print an error, one line for each problem, and return the exit code."""
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return status
