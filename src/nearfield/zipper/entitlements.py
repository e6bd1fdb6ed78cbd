"""Who may do what in one namespace, as the zipper says it to those who ask, and checks it a second time. Pure.

The access control of the router enforces rights, and says nothing to those whom it stops.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Literal

from nearfield.frame.control import Granted
from nearfield.frame.keys import FrameKey
from nearfield.frame.rights import ANY_NAME, Right, Tags, is_allowed_name, union_of

NOTHING = Granted(send=(), origins=(), functions=(), observe=(), ledger=False)


class Entitlements:
    """The rights in one namespace; never changes. Usable from any thread.

    Args:
        rights: None: everyone may do everything.
    """

    def __init__(self, rights: Iterable[Right] | None) -> None:
        self._by_identity: dict[str, list[Right]] | None = None
        self._limited: tuple[Right, ...] = ()
        if rights is not None:
            self._by_identity = {}
            for right in rights:
                self._by_identity.setdefault(right.identity, []).append(right)
            own = [right for rights in self._by_identity.values() for right in rights]
            if any(right.max_payload_bytes is not None for right in own):
                self._limited = tuple(own)
        self._limit = functools.lru_cache(maxsize=4_096)(self._limit_of)

    def of(self, identity: str, most: int | None = None) -> Granted:
        """What an identity may do.

        Args:
            most: how large a frame of anybody may be; None: no matter.
        """
        if self._by_identity is None:
            return Granted(max_payload_bytes=most)
        rights = self._by_identity.get(identity)
        if rights is None:
            return NOTHING
        # The router knows no identities where it looks at sizes: the lowest that applies to a key holds.
        limits = [each for each in (most, *(right.max_payload_bytes for right in rights)) if each is not None]
        return Granted(
            max_payload_bytes=min(limits, default=None),
            send=_listed(right.send for right in rights),
            origins=tuple(sorted({origin for right in rights for origin in right.origins})),
            functions=tuple(sorted({function.name for right in rights for function in right.functions})),
            observe=_listed(right.observe for right in rights),
            ledger=any(right.reads_ledger for right in rights),
        )

    def max_payload_bytes(self, key: FrameKey, most: int) -> int:
        """How large a frame under this key may be.

        Several identities may have a right to the key; the largest of their limits holds, since it may come from any.

        Args:
            most: what holds for everyone.
        """
        if not self._limited:
            return most
        limit = self._limit(key.origin, key.by if key.is_emitted else None)
        return most if limit is None else min(most, limit)

    def _limit_of(self, origin: str, function: str | None) -> int | None:
        limits = [
            right.max_payload_bytes
            for right in self._limited
            if (is_allowed_name(origin, right.origins) if function is None else _may_be(right, function))
            and not _is_of_this_user(right)
        ]
        known = [limit for limit in limits if limit is not None]
        return max(known) if known and len(known) == len(limits) else None


def _may_be(right: Right, function: str) -> bool:
    return any(allowed.name in (function, ANY_NAME) for allowed in right.functions)


def _is_of_this_user(right: Right) -> bool:
    """Whoever may do everything is no reason to take a frame for theirs."""
    return ANY_NAME in right.origins and any(function.name == ANY_NAME for function in right.functions)


def _listed(sets: Iterable[Tags]) -> tuple[int, ...] | Literal["all"]:
    union = union_of(sets)
    return union if isinstance(union, str) else tuple(sorted(union))
