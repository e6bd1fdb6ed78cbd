"""The zipper looks at its own listeners, and raises an alarm when one does not answer."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nearfield.transport import Address, probe_listener

_log = logging.getLogger(__name__)

# After each look a listener takes nobody in for 0.1 s: zenoh pauses after a handshake that failed.
INTERVAL_S = 5.0
# One answer may be late on a machine that is busy. An unfinished handshake takes a listener 30 s.
ALARM_AFTER = 2
# Until then, look again soon.
SOON_S = 1.0


@dataclass(slots=True)
class Listener:
    """What is known of one listener. Pure.

    Attributes:
        unanswered: looks since it last answered.
        alarms: how often it fell silent.
    """

    address: Address
    way: str
    unanswered: int = 0
    alarms: int = 0
    silent_since_s: float | None = None

    @property
    def name(self) -> str:
        """As `quic/127.0.0.1:9900`."""
        return f"{self.way}/{self.address}"

    def saw(self, answered: bool, now_s: float) -> bool:
        """Take in one look, at monotonic `now_s`. True: it fell silent by this, or answers again."""
        was_silent = self.silent_since_s is not None
        if answered:
            self.unanswered, self.silent_since_s = 0, None
            return was_silent
        self.unanswered += 1
        if was_silent or self.unanswered < ALARM_AFTER:
            return False
        self.silent_since_s = now_s
        self.alarms += 1
        return True

    def snapshot(self) -> dict[str, Any]:
        """Plain data, for the ledger."""
        return {"answers": self.silent_since_s is None, "alarms": self.alarms}


ListenerCallback = Callable[[str, bool], None]
"""Called with a listener's name and whether it answers, on the probe's thread, whenever that changes."""


class SelfProbe:
    """Looks every few seconds, on a thread of its own, until it is closed.

    Args:
        addresses: where the zipper listens. Port 0, which nobody can look at, is left out.
    """

    def __init__(
        self,
        addresses: Iterable[Address],
        on_change: ListenerCallback = lambda _, __: None,
        *,
        probe: Callable[[Address], Mapping[Any, bool]] = probe_listener,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._addresses: Sequence[Address] = [address for address in addresses if address.port]
        self._listeners = {
            address: {way: Listener(address, way) for way in ("quic", "tls")} for address in self._addresses
        }
        self._on_change = on_change
        self._probe = probe
        self._interval_s = interval_s
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="self-probe", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Idempotent. Does not wait for a look that is under way."""
        self._closed.set()

    def snapshot(self) -> dict[str, Any]:
        """By listener, whether it answers and how often it did not. Callable from any thread."""
        return {each.name: each.snapshot() for ways in self._listeners.values() for each in ways.values()}

    def _run(self) -> None:
        while not self._closed.wait(SOON_S if self._is_in_doubt() else self._interval_s):
            for address in self._addresses:
                seen = self._probe(address)
                if self._closed.is_set():
                    return
                for way, answered in seen.items():
                    self._note(self._listeners[address][way], answered)

    def _is_in_doubt(self) -> bool:
        listeners = (each for ways in self._listeners.values() for each in ways.values())
        return any(0 < each.unanswered < ALARM_AFTER for each in listeners)

    def _note(self, listener: Listener, answered: bool) -> None:
        if not listener.saw(answered, time.monotonic()):
            return
        if answered:
            _log.warning("listener %s answers again", listener.name)
        else:
            _log.warning(
                "listener %s does not answer: somebody began a handshake there, and does not finish it. Connections "
                "that are open go on; new ones are made in another way (docs/security.md, hostile networks)",
                listener.name,
            )
        self._on_change(listener.name, answered)
