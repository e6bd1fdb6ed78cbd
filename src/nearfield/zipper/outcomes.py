"""What became of a group's frames: counted, told to their sources, buried."""

from __future__ import annotations

from typing import Generic

from nearfield.frame.control import Done
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
            self._release(item)
            return
        reason = self._outbox.reasons.of(done.reason)
        if done.status == "dropped":
            self.drop(item, reason)
            return
        self.ledger.fail(item.account, reason)
        self._bury(item, reason, item.tries + 1)
        self._release(item)

    def drop(self, item: Item[PayloadType], reason: str) -> None:
        """A frame that is neither queued nor in flight any more will not be handled."""
        self.ledger.drop(item.account, reason)
        if reason not in _BY_DESIGN or self.policy.mode == "complete":
            self._bury(item, reason, item.tries)
        self._release(item)

    def _bury(self, item: Item[PayloadType], reason: str, attempts: int) -> None:
        tag = self.policy.dead_letter
        if tag is not None:
            self._outbox.burials.append(Burial(self.policy.name, tag, item, reason, attempts))

    def _release(self, item: Item[PayloadType]) -> None:
        if item.is_held:
            self._outbox.release(item)
