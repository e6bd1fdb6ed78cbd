"""What became of a group's frames: counted, told to their sources, buried."""

from __future__ import annotations

from typing import Generic

from nearfield.frame.control import Done, Status
from nearfield.zipper.item import Item, PayloadType
from nearfield.zipper.ledger import GroupLedger
from nearfield.zipper.outbox import Burial, Outbox
from nearfield.zipper.policy import GroupPolicy

# A `live` function drops these by design; a letter for each would be a flood.
_BY_DESIGN = frozenset({"overflow", "stale"})


class Outcomes(Generic[PayloadType]):
    """The ends of a group's frames. Each frame comes to one of them, once."""

    def __init__(self, policy: GroupPolicy, outbox: Outbox[PayloadType]) -> None:
        self.policy = policy
        self.ledger = GroupLedger()
        self._outbox = outbox

    def settle(self, item: Item[PayloadType], done: Done) -> None:
        """An instance is through with a frame."""
        if done.status == "completed":
            self.ledger.complete(item.account, done.handler_ns)
            self._end(item, "completed", "", done.handler_ns)
            return
        reason = self._outbox.reasons.of(done.reason)
        if done.status == "dropped":
            self.drop(item, reason)
            return
        self.ledger.fail(item.account, reason)
        self._bury(item, reason, item.tries + 1)
        self._end(item, "failed", reason, done.handler_ns)

    def drop(self, item: Item[PayloadType], reason: str) -> None:
        """A frame that is neither queued nor in flight any more will not be handled."""
        self.ledger.drop(item.account, reason)
        if reason not in _BY_DESIGN or self.policy.mode == "complete":
            self._bury(item, reason, item.tries)
        self._end(item, "dropped", reason, 0)

    def is_refusal(self, reason: str) -> bool:
        """Whether a frame of a peer is dropped only because there is no place for it here: others may try it."""
        return reason in ("returned", "removed") or (reason == "overflow" and self.policy.mode == "complete")

    def _bury(self, item: Item[PayloadType], reason: str, attempts: int) -> None:
        tag = self.policy.dead_letter
        if tag is not None and item.via is None:  # else the zipper where it entered decides
            self._outbox.burials.append(Burial(self.policy.name, tag, item, reason, attempts))

    def _end(self, item: Item[PayloadType], status: Status, reason: str, handler_ns: int) -> None:
        if item.is_held:
            self._outbox.release(item)
        elif item.via is not None:
            done = Done(item.via.number, status, reason, handler_ns)
            self._outbox.finish(item.via, done, status == "dropped" and self.is_refusal(reason))
