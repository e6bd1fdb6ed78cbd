"""Reloads one after the other, asked for from anywhere, done a step at a time on the main thread."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from nearfield.config import Workflow
from nearfield.errors import NearfieldError
from nearfield.supervise.changes import Version
from nearfield.supervise.deployment import Deployment, Steps

Event = dict[str, Any]
"""What happens in a reload, ready for JSON: `reloading` any number of times, then `reloaded` or `reload-failed`."""

LAST_EVENTS = frozenset({"reloaded", "reload-failed"})


@dataclass(frozen=True, slots=True)
class ReloadRequest:
    """A wish for a reload.

    Attributes:
        functions: to start anew though nothing differs.
        tell: called with each event, on the main thread. Must not block.
    """

    functions: tuple[str, ...] = ()
    tell: Callable[[Event], None] = field(default=lambda _: None)


class Reloader:
    """Takes a deployment from one version of its workflow to the next.

    Args:
        read: reads the workflow as it is now. May raise `NearfieldError`.
        tell: called with each event of each reload, on the main thread.
        apply_rights: has those of the new workflow hold; says whether they are others. May raise `NearfieldError`.
    """

    def __init__(
        self,
        deployment: Deployment,
        read: Callable[[], Version],
        tell: Callable[[Event], None],
        apply_rights: Callable[[Workflow], bool] = lambda _: False,
    ) -> None:
        self._deployment = deployment
        self._apply_rights = apply_rights
        self._read = read
        self._tell_all = tell
        # Its `put` may be called in a signal handler.
        self._arrived: SimpleQueue[ReloadRequest] = SimpleQueue()
        self._waiting: deque[ReloadRequest] = deque()
        self._current: ReloadRequest | None = None
        self._steps: Steps | None = None
        self._began_at = 0.0

    def request(self, request: ReloadRequest) -> None:
        """Reload when those asked for before are through. From any thread, and from signal handlers."""
        self._arrived.put(request)

    def poll(self) -> None:
        """Go on. Call a few times a second from the main thread; does not block, but for reading the files."""
        self._collect()
        if self._current is None and self._waiting:
            self._current = self._waiting.popleft()
            self._began_at = time.monotonic()
            self._attempt(self._begin)
        elif self._steps is not None:
            self._attempt(self._go_on)

    def close(self) -> None:
        """Take back what is not done yet, and refuse what waits. Idempotent."""
        self._collect()
        if self._steps is not None:
            self._steps.close()
        for request in [*([] if self._current is None else [self._current]), *self._waiting]:
            self._current = request
            self._end({"event": "reload-failed", "error": "the zipper stops", "exit_code": 1})
        self._waiting.clear()

    def _collect(self) -> None:
        while True:
            try:
                self._waiting.append(self._arrived.get_nowait())
            except Empty:
                return

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except NearfieldError as error:
            self._end({"event": "reload-failed", "error": str(error), "exit_code": error.exit_code})

    def _begin(self) -> None:
        assert self._current is not None
        self._steps = self._deployment.change(self._read(), self._current.functions)
        self._go_on()

    def _go_on(self) -> None:
        assert self._steps is not None
        try:
            text = next(self._steps)
        except StopIteration as end:
            try:
                has_other_rights = self._apply_rights(self._deployment.version.workflow)
            except NearfieldError as error:
                text = f"the functions are those of the new workflow, the rights are not yet: {error}"
                self._end({"event": "reload-failed", "error": text, "exit_code": error.exit_code})
                return
            took_s = round(time.monotonic() - self._began_at, 3)
            functions = [change.as_dict() for change in end.value]
            self._end({"event": "reloaded", "took_s": took_s, "functions": functions, "rights": has_other_rights})
        else:
            if text is not None:
                self._tell({"event": "reloading", "text": text})

    def _tell(self, event: Event) -> None:
        assert self._current is not None
        self._tell_all(event)
        self._current.tell(event)

    def _end(self, event: Event) -> None:
        self._tell(event)
        self._current = self._steps = None


def text_of(event: Event) -> str:
    """An event as a line for people."""
    if event["event"] == "reloading":
        return str(event["text"])
    if event["event"] == "reload-failed":
        return str(event["error"])
    changed = [_change_text(change) for change in event["functions"] if change["change"] != "unchanged"]
    changed += ["rights changed"] if event["rights"] else []
    return f"reloaded in {event['took_s']:.1f} s: {'; '.join(changed) or 'nothing has changed'}"


def _change_text(change: dict[str, Any]) -> str:
    what = f" ({', '.join(change['what'])})" if change["what"] else ""
    return f"`{change['function']}` {change['change']}{what}"
