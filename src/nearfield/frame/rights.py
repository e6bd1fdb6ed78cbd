"""What an identity may do in a namespace."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Role: TypeAlias = Literal["source", "function", "sink", "zipper"]
"""For what an identity was issued."""

#: Every tag, where a set of tags is expected.
ALL: Final = "all"
Tags: TypeAlias = frozenset[int] | Literal["all"]
#: Every name, where a name is expected.
ANY_NAME: Final = "*"
NO_TAGS: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class FunctionRight:
    """To be an instance of a function.

    Attributes:
        name: of the function, or `ANY_NAME`.
        observe: tags of the frames that its instances are handed; `ALL` where the instances themselves say.
        emit: tags that they may emit.
    """

    name: str
    observe: Tags = ALL
    emit: Tags = ALL


@dataclass(frozen=True, slots=True)
class Right:
    """All that one identity may do in one namespace.

    Attributes:
        identity: the common name of a certificate, or the name that belongs to a token; `ANY_NAME`: whoever is let in.
        send: tags that it may send as a source.
        origins: names under which it sends and receives results; those that end with `*` stand for all that begin so.
        functions: of which it may be an instance.
        observe: tags that it may receive as a sink.
        is_zipper: whether it forms a mesh with this zipper.
        reads_ledger: whether it may ask what became of every frame.
        max_payload_bytes: of what it sends and emits; None: as the zipper's own limit.
    """

    namespace: str
    identity: str
    send: Tags = NO_TAGS
    origins: tuple[str, ...] = ()
    functions: tuple[FunctionRight, ...] = field(default=())
    observe: Tags = NO_TAGS
    is_zipper: bool = False
    reads_ledger: bool = False
    max_payload_bytes: int | None = None


def every_right(namespace: str, identity: str) -> Right:
    """Everything in a namespace: for the user that the zipper runs for."""
    return Right(
        namespace=namespace,
        identity=identity,
        send=ALL,
        origins=(ANY_NAME,),
        functions=(FunctionRight(ANY_NAME),),
        observe=ALL,
        is_zipper=True,
        reads_ledger=True,
    )


def union_of(sets: Iterable[Tags]) -> Tags:
    """All tags that are in one of these sets."""
    union = NO_TAGS
    for tags in sets:
        if isinstance(tags, str):
            return ALL
        union |= tags
    return union


def is_allowed_name(name: str, allowed: Iterable[str]) -> bool:
    """Whether a name is among those allowed; those that end with `*` stand for all that begin so."""
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in allowed)
