"""The ledger: every frame that reached a group is somewhere, and the sums always agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nearfield.frame import format_tag

# Sources that are listed by name in each group; those that come later are counted together.
MAX_SOURCES = 1_000
# Pairs of source and tag that are listed in each group.
MAX_ACCOUNTS = 4_000
OTHERS = "(others)"
# Reasons that instances gave, at one zipper; those that come later are counted together.
MAX_REASONS = 64
MAX_REASON_LENGTH = 64
OTHER_REASONS = "other"


@dataclass(slots=True, eq=False)
class Account:
    """Counts of one group since the zipper started: of all its frames, or those of one source and tag.

    Invariant: received = completed + sum(failed) + sum(dropped) + those that are queued or in flight.

    Attributes:
        failed: by reason, e.g. "trapped", "timeout", "handler".
        dropped: by reason, e.g. "overflow", "stale", "instance-lost".
    """

    received: int = 0
    completed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)

    def settled(self) -> int:
        """Frames whose story is over."""
        return self.completed + self.failed.total() + self.dropped.total()

    def absorb(self, other: Account) -> None:
        """Add another account's counts."""
        self.received += other.received
        self.completed += other.completed
        self.failed += other.failed
        self.dropped += other.dropped

    def snapshot(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "received": self.received,
            "completed": self.completed,
            "failed": dict(self.failed),
            "dropped": dict(self.dropped),
        }


class Reasons:
    """The reasons that instances gave for failures and drops. Bounded, since they are texts from outside."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def of(self, text: str) -> str:
        """The reason under which a text is counted."""
        if text in self._known:
            return text
        text = text[:MAX_REASON_LENGTH] or OTHER_REASONS
        if text not in self._known:
            if len(self._known) >= MAX_REASONS:
                return OTHER_REASONS
            self._known.add(text)
        return text


class GroupLedger:
    """Counts of one group at one zipper, in total and for each source and tag.

    Attributes:
        total: of all frames.
        redelivered: deliveries beyond the first; not part of the invariant.
        forwarded: deliveries to other zippers; likewise.
        from_peers: frames that came from other zippers; they are counted there too.
        handler_ns: spent in handlers for completed frames.
    """

    def __init__(self) -> None:
        self.total = Account()
        self.redelivered = 0
        self.forwarded = 0
        self.from_peers = 0
        self.handler_ns = 0
        self._by_source: dict[str, dict[int, Account]] = {}
        self._accounts = 0

    def receive(self, origin: str, tag: int) -> Account:
        """Count a frame that came; returns the account where its end is to be counted."""
        self.total.received += 1
        tags = self._by_source.get(origin)
        account = None if tags is None else tags.get(tag)
        if account is None:
            account = self._open(origin, tag)
        account.received += 1
        return account

    def complete(self, account: Account, handler_ns: int) -> None:
        account.completed += 1
        self.total.completed += 1
        self.handler_ns += handler_ns

    def fail(self, account: Account, reason: str) -> None:
        account.failed[reason] += 1
        self.total.failed[reason] += 1

    def drop(self, account: Account, reason: str) -> None:
        account.dropped[reason] += 1
        self.total.dropped[reason] += 1

    def absorb(self, other: GroupLedger) -> None:
        """Add another group's total."""
        self.total.absorb(other.total)

    @property
    def handler_ms_mean(self) -> float | None:
        completed = self.total.completed
        return round(self.handler_ns / completed / 1e6, 3) if completed else None

    def sources(self) -> dict[str, dict[str, Any]]:
        """Plain data: by source and tag; `open` are those queued or in flight."""
        return {
            origin: {
                format_tag(tag): {**account.snapshot(), "open": account.received - account.settled()}
                for tag, account in sorted(tags.items())
            }
            for origin, tags in self._by_source.items()
        }

    def _open(self, origin: str, tag: int) -> Account:
        known = origin in self._by_source or len(self._by_source) < MAX_SOURCES
        if not known or self._accounts >= MAX_ACCOUNTS:
            origin = OTHERS
        tags = self._by_source.setdefault(origin, {})
        if tag not in tags:
            tags[tag] = Account()
            self._accounts += 1
        return tags[tag]


@dataclass(slots=True)
class IngressLedger:
    """Frames that never reached a group, by reason.

    Attributes:
        messages_refused: those that are no frames, and found no room.
    """

    accepted: int = 0
    duplicates: int = 0
    messages_refused: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    def snapshot(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "rejected": dict(self.rejected),
            "messages_refused": self.messages_refused,
        }
