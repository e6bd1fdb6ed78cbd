"""Stream functions in WebAssembly: a guest as a handler."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack

from nearfield.errors import EmissionRefused, UsageError
from nearfield.function.context import Context
from nearfield.inference.batching import BatchingGraph
from nearfield.sandbox import Guest, Invocation, LogLine
from nearfield.telemetry import RepeatedWarning

_log = logging.getLogger(__name__)

_LEVELS = (logging.DEBUG, logging.INFO)
_WARNING = 2


class GuestFunction:
    """Loaded guests of one module, each at one frame at a time. Their log lines go to our log under the name.

    Args:
        name: of the function.
        guests: at least one; so many frames are handled at a time.
        batching: graphs that put computes of several frames together, and are told which frames are under way.
        keeps_words: log nothing of what the guests say, since it could be what was in a frame; and fail a frame of
            which an emission was refused, since how many were would tell something too.
    """

    def __init__(
        self, name: str, *guests: Guest, batching: Sequence[BatchingGraph] = (), keeps_words: bool = False
    ) -> None:
        self.name = name
        self.runtime = guests[0].abi
        self.concurrency = len(guests)
        self._guests = guests
        # The last one that was used comes first: its memory is in the processor's cache.
        self._idle = list(guests)
        self._batching = batching
        self._keeps_words = keeps_words
        self._has_said_so = False
        self._warn = RepeatedWarning(_log)

    def handle(self, context: Context) -> None:
        guest = self._idle.pop()
        try:
            if not self._batching:
                self._handle(guest, context)
                return
            with ExitStack() as expected:
                for graph in self._batching:
                    expected.enter_context(graph.expecting())
                self._handle(guest, context)
        finally:
            self._idle.append(guest)

    def _handle(self, guest: Guest, context: Context) -> None:
        invocation = Invocation(
            tag=context.tag,
            payload=context.payload,
            origin=context.origin,
            sequence=context.sequence,
            captured_ns=context.captured_ns,
            ends_at_s=context.ends_at_s,
        )
        try:
            outcome = guest.handle(invocation)
        finally:
            self._relay(guest.logs_of_last_call)
        if outcome.refused_emits and self._keeps_words:
            raise EmissionRefused(
                "got a tag that is not declared, a source that is no name, or more than the sandbox's limits",
                where="emit",
            )
        if outcome.refused_emits:
            self._warn("function `%s`: %d emitted frames were refused", self.name, outcome.refused_emits)
        for emission in outcome.emissions:
            try:
                context.emit(emission.tag, emission.payload, to=emission.to)
            except UsageError as error:
                self._warn("function `%s`: %s", self.name, error)

    def _relay(self, lines: Sequence[LogLine]) -> None:
        if not self._keeps_words:
            for line in lines:
                self._log(line)
        elif lines and not self._has_said_so:
            self._has_said_so = True
            _log.info("guest `%s`: what it says is withheld because of `emit_kind`", self.name)

    def _log(self, line: LogLine) -> None:
        if line.level < _WARNING:
            _log.log(_LEVELS[line.level], "guest `%s`: %s", self.name, line.text)
        else:  # a guest that fails on every frame says the same on every frame
            self._warn("guest `%s`: %s", self.name, line.text, key=line.text)

    def close(self) -> None:
        """Free every guest. Says what was computed together, where anything may have been."""
        for guest in self._guests:
            guest.close()
        for graph in self._batching:
            _log.info("function `%s`: model `%s`: %s", self.name, graph.label, graph.statistics())
        self._batching = ()
