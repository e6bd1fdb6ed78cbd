"""The command line: one module for each command, named like it."""

from nearfield.cli.app import main

__all__ = ["main"]
