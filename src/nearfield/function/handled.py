"""What came of one delivery, and its class of failure for the ledger."""

from __future__ import annotations

from dataclasses import dataclass

from nearfield.errors import GuestError, GuestFailed, HandlerFailed, NearfieldError
from nearfield.frame.delivery import DeliveryHeader
from nearfield.function.context import Context


@dataclass(frozen=True, slots=True)
class Handled:
    """Attributes:
    delivery: the frame's header and number.
    context: the frame, with what was emitted; None when it was too late to handle it.
    error: why it failed; None when it did not.
    handler_ns: nanoseconds in the handler.
    """

    delivery: DeliveryHeader
    context: Context | None
    error: NearfieldError | None
    handler_ns: int


def failure_reason(error: NearfieldError) -> str:
    """A short class of failure for the ledger: "trapped", "timeout", "handler", "reported" (by the guest itself)."""
    if isinstance(error, GuestFailed):
        return "reported"
    if isinstance(error, GuestError):
        return type(error).__name__.removeprefix("Guest").lower() or "guest"
    if isinstance(error, HandlerFailed):
        return "handler"
    return type(error).__name__.removesuffix("Error").lower()
