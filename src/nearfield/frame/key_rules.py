"""Which keys a right opens, and for which use. Pure.

Keys are literal wherever that is possible, the zipper's own name included: what a wildcard in a rule admits may be
published with a wildcard too (such a frame is refused where it is read).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

from nearfield.frame.keys import ROOT, SETTLED, SOURCE
from nearfield.frame.rights import ALL, ANY_NAME, FunctionRight, Right, Tags


class Use(enum.Enum):
    """What a session does with a key."""

    PUBLISH = "publish"
    KNOW_RECEIVERS = "know-receivers"
    RECEIVE = "receive"
    ASK = "ask"
    ANSWER = "answer"
    ANNOUNCE = "announce"
    SETTLE = "settle"
    RELAY = "relay"  # as a router does for those behind it: all of these, and to answer


_BETWEEN_ZIPPERS = (
    "frames/*/*/*/*",
    "sent/*/*/*/*/*",
    "acks/*/*",
    "zippers/*",
    "capacity/*",
    "forward/*/*/*",
    "forwarded/*/*",
)

KeyRules = Mapping[Use, tuple[str, ...]]


def key_rules(right: Right, zipper: str) -> KeyRules:
    """What `right` opens at one zipper: key expressions by use, each once, in a stable order."""
    found: dict[Use, dict[str, None]] = {}
    for use, key in _rules(right, zipper):
        found.setdefault(use, {})[key] = None
    return {use: tuple(keys) for use, keys in found.items()}


def published_frames(right: Right, zipper: str) -> tuple[str, ...]:
    """Under which keys an identity publishes frames at one zipper."""
    return tuple(dict.fromkeys([*_sent(right, zipper), *_emitted(right, zipper)]))


def kept_frames(right: Right, zipper: str) -> tuple[str, ...]:
    """Under which keys an identity can be asked for the frames that it published at one zipper."""
    return tuple(dict.fromkeys(_kept(right, zipper)))


def _rules(right: Right, zipper: str) -> Iterator[tuple[Use, str]]:
    namespace = f"{ROOT}/{right.namespace}"
    yield Use.SETTLE, SETTLED
    # The id of the zipper's session is not known before it is open.
    yield Use.ASK, f"{namespace}/hello/*"
    yield Use.RECEIVE, f"{namespace}/state/{zipper}"
    yield Use.ASK, f"{namespace}/rights/{zipper}/{right.identity}"
    for key in published_frames(right, zipper):
        yield Use.PUBLISH, key
    for key in kept_frames(right, zipper):
        yield Use.PUBLISH, key
        yield Use.ANSWER, key
    yield from _receivers(right, zipper)
    if right.send:
        for origin in map(_segment, right.origins):
            yield Use.RECEIVE, f"{namespace}/acks/*/{origin}"
            yield Use.RECEIVE, f"{namespace}/frames/*/*/{origin}/*"
    for function in right.functions:
        yield from _instance(namespace, zipper, function.name)
    for tag in _tags(right.observe):
        yield Use.RECEIVE, f"{namespace}/frames/{tag}/*/*/*"
        yield Use.RECEIVE, f"{namespace}/sent/{tag}/*/*/*/*"
        yield Use.ASK, f"{namespace}/sent/{tag}/*/*/*/*"
    if right.reads_ledger:
        yield Use.ASK, f"{namespace}/ledger/{zipper}"
    if right.is_zipper:
        for kind in _BETWEEN_ZIPPERS:
            yield Use.RELAY, f"{namespace}/{kind}"


def _receivers(right: Right, zipper: str) -> Iterator[tuple[Use, str]]:
    """Subscriptions that concern what an identity publishes: the zipper's own, and by single tags those of sinks.

    A publisher that was declared sends nothing before it learns of one. Those of other sources stay hidden.
    """
    for tags in (right.send, *(function.emit for function in right.functions)):
        for tag in _tags(tags):
            at = zipper if tags == ALL else "*"
            yield Use.KNOW_RECEIVERS, f"{ROOT}/{right.namespace}/frames/{tag}/{at}/*/*"


def _instance(namespace: str, zipper: str, function: str) -> Iterator[tuple[Use, str]]:
    yield Use.RECEIVE, f"{namespace}/dispatch/{zipper}/{function}/*"
    yield Use.PUBLISH, f"{namespace}/reports/{zipper}/{function}/*"
    yield Use.ANNOUNCE, f"{namespace}/alive/{zipper}/{function}/*"
    yield Use.ASK, f"{namespace}/join/{zipper}/{function}"
    yield Use.ASK, f"{namespace}/leave/{zipper}/{function}"


def _sent(right: Right, zipper: str) -> Iterator[str]:
    for tag in _tags(right.send):
        for origin in map(_segment, right.origins):
            yield f"{ROOT}/{right.namespace}/frames/{tag}/{zipper}/{origin}/{SOURCE}"


def _emitted(right: Right, zipper: str) -> Iterator[str]:
    for function in right.functions:
        yield from _emitted_by(function, right.namespace, zipper)


def _emitted_by(function: FunctionRight, namespace: str, zipper: str) -> Iterator[str]:
    # Of any origin: what a function makes keeps the name of the source, or is addressed to another one.
    for tag in _tags(function.emit):
        yield f"{ROOT}/{namespace}/frames/{tag}/{zipper}/*/{function.name}"


def _kept(right: Right, zipper: str) -> Iterator[str]:
    # Only the sender's number, chosen at random, is not known here.
    for tag in _tags(right.send):
        for origin in map(_segment, right.origins):
            yield f"{ROOT}/{right.namespace}/sent/{tag}/{zipper}/{origin}/{SOURCE}/*"
    for function in right.functions:
        for tag in _tags(function.emit):
            yield f"{ROOT}/{right.namespace}/sent/{tag}/{zipper}/{SOURCE}/{function.name}/*"


def _tags(tags: Tags) -> list[str]:
    return ["*"] if tags == ALL else [str(tag) for tag in sorted(tags)]


def _segment(name: str) -> str:
    """A name, or the beginning of one with `*`, in a key expression."""
    return name if name == ANY_NAME or not name.endswith("*") else f"{name[:-1]}$*"
