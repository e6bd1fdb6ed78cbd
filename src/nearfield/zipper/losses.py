"""What the zipper says about frames that were lost or failed. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

INTERVAL_S = 10.0


class LossReporter:
    """Turns ledgers into lines: at most one for each group and interval, and none when nothing was lost."""

    def __init__(self) -> None:
        self._told: dict[str, Counter[str]] = {}
        self._due_ns = 0

    def lines(self, groups: Mapping[str, Mapping[str, Any]], now_ns: int) -> list[str]:
        """What to say now.

        Args:
            groups: `Dispatcher.snapshot()["groups"]`.
            now_ns: monotonic.
        """
        if now_ns < self._due_ns:
            return []
        lines = []
        for name, group in groups.items():
            lost = Counter({f"{reason} (failed)": count for reason, count in group["failed"].items()})
            lost.update(group["dropped"])
            fresh = lost - self._told.get(name, Counter())
            if fresh:
                reasons = ", ".join(f"{count} {reason}" for reason, count in fresh.most_common())
                lines.append(
                    f"function `{name}`: {fresh.total()} frames lost: {reasons}; instances: {group['instances']}"
                )
            self._told[name] = lost
        if lines:
            self._due_ns = now_ns + int(INTERVAL_S * 1e9)
        return lines


def account(name: str, group: Mapping[str, Any]) -> str:
    """One group's ledger as a line, for the end."""
    parts = [f"{group['received']} frames received", f"{group['completed']} completed"]
    for kind in ("failed", "dropped"):
        if group[kind]:
            parts.append(f"{kind}: " + ", ".join(f"{count} {reason}" for reason, count in group[kind].items()))
    unfinished = group["queued"] + group["in_flight"]
    if unfinished:
        parts.append(f"{unfinished} not finished")
    return f"function `{name}`: {', '.join(parts)}"
