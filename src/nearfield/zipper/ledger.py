"""The ledger: every frame that reached a group is somewhere, and the sums always agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class GroupLedger:
    """Counts of one group at one zipper, since the zipper started.

    Invariant: received = completed + sum(failed) + sum(dropped) + queued + in_flight, where the last two are the
    present sizes that the dispatcher knows.

    Attributes:
        failed: by reason, e.g. "trap", "timeout", "handler".
        dropped: by reason, e.g. "overflow", "stale", "instance-lost".
        redelivered: deliveries beyond the first; not part of the invariant.
    """

    received: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    redelivered: int = 0
    handler_ns: int = 0

    def settled(self) -> int:
        """Frames whose story is over."""
        return self.completed + self.failed.total() + self.dropped.total()

    def snapshot(self, queued: int, in_flight: int, instances: int) -> dict[str, Any]:
        """The ledger as plain data, for `ledger` queries."""
        return {
            "received": self.received,
            "completed": self.completed,
            "failed": dict(self.failed),
            "dropped": dict(self.dropped),
            "queued": queued,
            "in_flight": in_flight,
            "redelivered": self.redelivered,
            "instances": instances,
            "handler_ms_mean": round(self.handler_ns / self.completed / 1e6, 3) if self.completed else None,
        }


@dataclass(slots=True)
class IngressLedger:
    """Frames that never reached a group, by reason."""

    accepted: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def snapshot(self) -> dict[str, Any]:
        return {"accepted": self.accepted, "duplicates": self.duplicates, "rejected": dict(self.rejected)}
