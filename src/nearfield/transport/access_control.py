"""Rights as zenoh's access control: what a router lets through to and from each identity. Pure.

Everything is denied but what a right opens, in both directions. zenoh reads these settings when the session opens and
never again. What it denies it drops without a word.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from nearfield.frame.key_rules import Use, kept_frames, key_rules, published_frames
from nearfield.frame.rights import ANY_NAME, Right

#: What tells identities apart: the common name of a certificate, or the user name that comes with a token.
NamedBy: TypeAlias = Literal["certificate", "token"]


class _Messages(NamedTuple):
    """Kinds of messages: `ingress` those that come from the identity, `egress` those that go to it."""

    ingress: tuple[str, ...]
    egress: tuple[str, ...]


_RELAYED = (
    "put",
    "declare_subscriber",
    "query",
    "reply",
    "declare_queryable",
    "liveliness_token",
    "liveliness_query",
    "declare_liveliness_subscriber",
)
_MESSAGES: Mapping[Use, _Messages] = {
    Use.PUBLISH: _Messages(("put",), ()),
    Use.KNOW_RECEIVERS: _Messages((), ("declare_subscriber",)),
    Use.RECEIVE: _Messages(("declare_subscriber",), ("put",)),
    # Who asks repeatedly declares that, and then asks nobody before it learns of one that answers.
    Use.ASK: _Messages(("query",), ("reply", "declare_queryable")),
    Use.ANSWER: _Messages(("reply", "declare_queryable"), ("query",)),
    Use.ANNOUNCE: _Messages(("liveliness_token",), ()),
    Use.SETTLE: _Messages(("liveliness_query",), ()),
    Use.RELAY: _Messages(_RELAYED, _RELAYED),
}
_SUBJECT_FIELD: Mapping[NamedBy, str] = {"certificate": "cert_common_names", "token": "usernames"}

# Who publishes says how its messages queue on all links behind this router as well; with BLOCK, one receiver that is
# frozen would hold up everyone.
_NO_BLOCKING = {
    "messages": ["put", "query"],
    "flows": ["ingress"],
    "key_exprs": ["**"],
    "overwrite": {"congestion_control": "block_first"},
}
# Headers, and small messages that travel together; and what is only a little too large is refused further on, where it
# is counted.
_SLACK_BYTES = 65_536


def access_settings(
    rights: Iterable[Right],
    zipper: str,
    *,
    max_payload_bytes: int,
    named_by: NamedBy = "certificate",
    peer_names: Collection[str] = (),
) -> dict[str, Any]:
    """Settings of a router that lets each identity do what its rights say, and nobody anything else.

    Args:
        rights: those of one identity add up.
        zipper: name of the zipper that opens the session.
        max_payload_bytes: of every frame; rights may say less for an identity.
        peer_names: common names of certificates of zippers that are peers in every namespace that `rights` name.

    Returns:
        By the paths of zenoh's configuration, as `router_settings`.
    """
    ordered = list(rights)
    by_identity: dict[str, list[Right]] = {}
    for right in ordered:
        by_identity.setdefault(right.identity, []).append(right)
    rules: dict[str, dict[str, Any]] = {}
    subjects, policies = [], []
    for identity, own in by_identity.items():
        own_rules = _rules_of(identity, own, zipper)
        rules |= own_rules
        known_by = {} if identity == ANY_NAME else {_SUBJECT_FIELD[named_by]: [identity]}
        subjects.append({"id": identity, **known_by})
        policies.append({"id": identity, "rules": list(own_rules), "subjects": [identity]})
    for number, (name, own) in enumerate(_peers(ordered, named_by, peer_names).items()):
        peer = f"{number}/{name}"  # no identity: there are no slashes in names
        own_rules = _rules_of(peer, own, zipper)
        rules |= own_rules
        subjects.append({"id": peer, "cert_common_names": [name]})
        policies.append({"id": peer, "rules": list(own_rules), "subjects": [peer]})
    return {
        "access_control": {
            "enabled": True,
            "default_permission": "deny",
            "rules": list(rules.values()),
            "subjects": subjects,
            "policies": policies,
        },
        "low_pass_filter": _size_limits(ordered, zipper, max_payload_bytes),
        "qos/network": [_NO_BLOCKING],
    }


def _peers(rights: Sequence[Right], named_by: NamedBy, peer_names: Collection[str]) -> dict[str, list[Right]]:
    """What zippers may do, by the common name of their certificate, beside what that name may do anyway.

    A token tells who comes to us. Whom we go to shows nothing but a certificate.
    """
    namespaces = dict.fromkeys(right.namespace for right in rights)
    peers = {name: [Right(namespace, name, is_zipper=True) for namespace in namespaces] for name in peer_names}
    if named_by == "token":
        for right in rights:
            if right.is_zipper and right.identity not in (*peer_names, ANY_NAME):
                peer = Right(right.namespace, right.identity, is_zipper=True)
                peers.setdefault(right.identity, []).append(peer)
    return peers


def _rules_of(identity: str, rights: Iterable[Right], zipper: str) -> dict[str, dict[str, Any]]:
    """Rules of one identity, by their ids."""
    keys: dict[Use, dict[str, None]] = {}
    for right in rights:
        for use, opened in key_rules(right, zipper).items():
            keys.setdefault(use, {}).update(dict.fromkeys(opened))
    rules = {}
    for use, all_opened in keys.items():
        for flow, messages in _MESSAGES[use]._asdict().items():
            if messages:
                rule_id = f"{identity}/{use.value}/{flow}"
                rules[rule_id] = {
                    "id": rule_id,
                    "messages": list(messages),
                    "flows": [flow],
                    "permission": "allow",
                    "key_exprs": list(all_opened),
                }
    return rules


def _size_limits(rights: Iterable[Right], zipper: str, max_payload_bytes: int) -> list[dict[str, Any]]:
    """Of payload and attachment together, where they enter. Where several apply to a key, the lowest holds."""
    limits = [_size_limit("all", ["nearfield/**"], max_payload_bytes)]
    for right in rights:
        keys = published_frames(right, zipper) + kept_frames(right, zipper)
        if right.max_payload_bytes is not None and keys:
            limits.append(_size_limit(f"{right.namespace}/{right.identity}", keys, right.max_payload_bytes))
    return limits


def _size_limit(limit_id: str, keys: Iterable[str], max_payload_bytes: int) -> dict[str, Any]:
    return {
        "id": limit_id,
        "messages": ["put", "delete", "query", "reply"],
        "flows": ["ingress"],
        "key_exprs": list(keys),
        "size_limit": max_payload_bytes + _SLACK_BYTES,
    }
