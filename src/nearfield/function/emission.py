"""What a function may emit at all, when it declares a kind: held against each frame before any of it leaves.

A payload has the declared form and size, and all payloads together stay below a rate. So what does leave is what a
person would expect of "texts" or "boxes", and a handler that wants to tell more is slowed down to that rate: it bounds
a leak, it does not end it (docs/security.md says what remains).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from nearfield.errors import EmissionRefused, NearfieldError
from nearfield.function.context import Emission
from nearfield.function.emission_kinds import EmitKind, problem_of

KINDS: tuple[EmitKind, ...] = get_args(EmitKind)

# A frame tells something without a payload as well: its tag, and that it is there.
FRAME_CHARGE_BYTES = 8


@dataclass(frozen=True, slots=True)
class EmissionRules:
    """What a function declares.

    Attributes:
        kind: of every payload.
        most_bytes: of one payload, >= 1.
        bytes_per_s: of all that one instance emits, each frame counted with `FRAME_CHARGE_BYTES` and the name that it
            is addressed to, >= 1. What one second allows, and one payload of the largest size, may come at once.
    """

    kind: EmitKind
    most_bytes: int
    bytes_per_s: int


class EmissionGate:
    """Lets through what the rules allow. Any thread; time is given, never read.

    Args:
        rules: None: everything passes.
    """

    def __init__(self, rules: EmissionRules | None) -> None:
        self.rules = rules
        self._lock = threading.Lock()
        self._most = 0 if rules is None else max(rules.bytes_per_s, rules.most_bytes + FRAME_CHARGE_BYTES)
        self._left = float(self._most)
        self._at_ns: int | None = None

    def check(self, emissions: Sequence[Emission], now_ns: int) -> None:
        """Let all of a frame's emissions pass, or none.

        Args:
            now_ns: of a monotonic clock.

        Raises:
            EmissionRefused: one of them is too large or of another kind, or they are too much for this moment. Nothing
                of any payload is in the message.
        """
        if self.rules is None:
            return
        for emission in emissions:
            if len(emission.payload) > self.rules.most_bytes:
                # The size itself would be a number of the guest's choice.
                raise EmissionRefused(
                    f"got a payload of more than {self.rules.most_bytes} bytes, expected at most that",
                    where="emit_bytes",
                )
            problem = problem_of(self.rules.kind, emission.payload)
            if problem is not None:
                raise EmissionRefused(f"got {problem}, expected {self.rules.kind}", where="emit_kind")
        self._spend(emissions, now_ns, self.rules.bytes_per_s)

    def withheld(self, error: NearfieldError) -> NearfieldError:
        """What may be said about a failure: with rules, nothing of what the guest or handler itself said."""
        if self.rules is None or isinstance(error, EmissionRefused):
            return error
        return type(error)("failed; its own words are withheld because of `emit_kind`")

    def _spend(self, emissions: Sequence[Emission], now_ns: int, bytes_per_s: int) -> None:
        cost = sum(len(each.payload) + len((each.to or "").encode()) + FRAME_CHARGE_BYTES for each in emissions)
        with self._lock:
            if self._at_ns is not None:
                self._left = min(self._most, self._left + max(0, now_ns - self._at_ns) * bytes_per_s / 1e9)
            self._at_ns = now_ns
            if cost > self._left:
                raise EmissionRefused(
                    f"got more than {bytes_per_s} bytes in a second, expected at most that", where="emit_rate"
                )
            self._left -= cost
