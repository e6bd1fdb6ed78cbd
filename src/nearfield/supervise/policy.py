"""What the dispatcher needs to know about a function, from its entry in the workflow. Pure."""

from __future__ import annotations

from nearfield.config import FunctionConfig
from nearfield.supervise.command import is_program
from nearfield.zipper import GroupPolicy

# A program says nothing of how long it may take; guests have a deadline.
PROGRAM_TIMEOUT_S = 60.0


def policy_of(function: FunctionConfig) -> GroupPolicy:
    """What the dispatcher needs to know about a function."""
    delivery = function.delivery
    return GroupPolicy(
        name=function.name,
        observe=frozenset(function.observe),
        emit=frozenset(function.emit),
        mode=delivery.mode,
        queue=delivery.queue,
        max_age_ns=None if delivery.max_age_s is None else round(delivery.max_age_s * 1e9),
        retries=delivery.retries,
        order=delivery.order,
        timeout_ns=round(timeout_s(function) * 1e9),
        dead_letter=delivery.dead_letter,
    )


def timeout_s(function: FunctionConfig) -> float:
    """Seconds after which an instance counts as stuck that is at one frame still."""
    if function.delivery.timeout_s is not None:
        return function.delivery.timeout_s
    if function.run is None or is_program(function.run):
        return PROGRAM_TIMEOUT_S
    # Its own watchdog comes first.
    return function.sandbox.deadline_s + function.sandbox.grace_s + 2.0
