"""Whether an instance that asks to join is admitted. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from nearfield.frame import MAX_TAG, RESERVED_TAGS, format_tag
from nearfield.frame.control import MAX_CREDITS, JoinRequest

# Tags that an instance may name; each costs the zipper a subscription.
MAX_OBSERVED = 256


def refusal(request: JoinRequest, observed: frozenset[int] | None, known: Iterable[str]) -> str | None:
    """Why an instance is not admitted, or None.

    Args:
        observed: tags of its group, empty while nobody has named any; None: there is no such group.
        known: names of the functions in the workflow.
    """
    if observed is None:
        names = ", ".join(f"`{name}`" for name in known) or "none"
        return f"function `{request.function}` is not in this zipper's workflow; listed there: {names}"
    asked = frozenset(request.observe)
    if invalid := [tag for tag in asked if not 0 <= tag <= MAX_TAG]:
        return f"observe: got {invalid[0]}, expected tags from 0 to {MAX_TAG}"
    if not (asked or observed):
        return f"function `{request.function}` observes no tag: neither the workflow nor the function names one"
    if len(asked) > MAX_OBSERVED:
        return f"observe: got {len(asked)} tags, expected at most {MAX_OBSERVED}"
    if asked and observed and asked != observed:
        return (
            f"function `{request.function}` observes {_tags(observed)} at this zipper, "
            f"but the instance asks for {_tags(asked)}"
        )
    if reserved := [tag for tag in asked if tag in RESERVED_TAGS]:
        return f"function `{request.function}` asks for reserved tags {_tags(reserved)}"
    for name, count in (
        ("credits", request.credits),
        ("most_credits", request.most_credits or 1),
        ("concurrency", request.concurrency),
    ):
        if not 1 <= count <= MAX_CREDITS:
            return f"{name}: got {count}, expected 1 to {MAX_CREDITS}"
    return None


def _tags(tags: Iterable[int]) -> str:
    return ", ".join(format_tag(tag) for tag in sorted(tags)) or "none"
