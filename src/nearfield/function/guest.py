"""Stream functions in WebAssembly: a guest as a handler."""

from __future__ import annotations

import logging

from nearfield.errors import UsageError
from nearfield.function.context import Context
from nearfield.sandbox import Guest, Invocation, LogLine
from nearfield.telemetry import RepeatedWarning

_log = logging.getLogger(__name__)

_LEVELS = (logging.DEBUG, logging.INFO)
_WARNING = 2


class GuestFunction:
    """A loaded guest. Its log lines go to our log under the function's name."""

    def __init__(self, name: str, guest: Guest) -> None:
        self.name = name
        self.runtime = guest.abi
        self._guest = guest
        self._warn = RepeatedWarning(_log)

    def handle(self, context: Context) -> None:
        try:
            outcome = self._guest.handle(
                Invocation(
                    tag=context.tag,
                    payload=context.payload,
                    origin=context.origin,
                    sequence=context.sequence,
                    captured_ns=context.captured_ns,
                    ends_at_s=context.ends_at_s,
                )
            )
        finally:
            for line in self._guest.logs_of_last_call:
                self._relay(line)
        if outcome.refused_emits:
            self._warn("function `%s`: %d emitted frames were refused", self.name, outcome.refused_emits)
        for emission in outcome.emissions:
            try:
                context.emit(emission.tag, emission.payload)
            except UsageError as error:
                self._warn("function `%s`: %s", self.name, error)

    def _relay(self, line: LogLine) -> None:
        if line.level < _WARNING:
            _log.log(_LEVELS[line.level], "guest `%s`: %s", self.name, line.text)
        else:  # a guest that fails on every frame says the same on every frame
            self._warn("guest `%s`: %s", self.name, line.text, key=line.text)

    def close(self) -> None:
        self._guest.close()
