"""What came of one delivery, and its class of failure for the ledger."""

from __future__ import annotations

from typing import NamedTuple

from nearfield.errors import EmissionRefused, GuestError, GuestFailed, HandlerFailed, NearfieldError
from nearfield.frame.delivery import DeliveryHeader
from nearfield.function.context import Context
from nearfield.transport import Payload


class Arrived(NamedTuple):
    """A delivery that waits.

    Attributes:
        arrived_ns: monotonic.
        ends_ns: monotonic, when the frame becomes worthless; None: never.
    """

    payload: Payload
    delivery: DeliveryHeader
    arrived_ns: int
    ends_ns: int | None


class Handled(NamedTuple):
    """What came of it.

    Attributes:
        context: the frame, with what was emitted; None when it was too late to handle it.
        error: why it failed; None when it did not.
        started_ns, ended_ns: monotonic, of the handler.
    """

    arrived: Arrived
    context: Context | None
    error: NearfieldError | None
    started_ns: int
    ended_ns: int

    @property
    def handler_ns(self) -> int:
        """Nanoseconds in the handler."""
        return self.ended_ns - self.started_ns


def failure_reason(error: NearfieldError) -> str:
    """A short class of failure for the ledger: "trapped", "timeout", "handler", "reported" (by the guest itself).

    For what a function may not emit, the setting that refused it: "emit_kind", "emit_bytes", "emit_rate", "emit",
    "max_payload".
    """
    if isinstance(error, EmissionRefused):
        return error.where or "emit_kind"
    if isinstance(error, GuestFailed):
        return "reported"
    if isinstance(error, GuestError):
        return type(error).__name__.removeprefix("Guest").lower() or "guest"
    if isinstance(error, HandlerFailed):
        return "handler"
    return type(error).__name__.removesuffix("Error").lower()
