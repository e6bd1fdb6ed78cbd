"""Run WebAssembly guests in fresh, limited sandboxes."""

from __future__ import annotations

from nearfield.sandbox.grants import Directory, Grants
from nearfield.sandbox.guest import Guest, InstancePolicy, prepare_for
from nearfield.sandbox.inspection import ExportReport, GuestReport, ImportReport, inspect_guest
from nearfield.sandbox.invocation import Emission, Invocation, LogLine, Outcome
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.module import CompiledGuest, compile_guest
from nearfield.sandbox.pictures import PictureRules
from nearfield.sandbox.watchdog import EXIT_STUCK, Watchdog

__all__ = [
    "EXIT_STUCK",
    "CompiledGuest",
    "Directory",
    "Emission",
    "ExportReport",
    "Grants",
    "Guest",
    "GuestReport",
    "ImportReport",
    "InstancePolicy",
    "Invocation",
    "Limits",
    "LogLine",
    "Outcome",
    "PictureRules",
    "Watchdog",
    "compile_guest",
    "inspect_guest",
    "prepare_for",
]
