"""Rights as settings of zenoh."""

from __future__ import annotations

import json
from typing import Any

import pytest
import zenoh

from nearfield.frame.rights import ALL, ANY_NAME, Right
from nearfield.transport.access_control import access_settings

CAMERA = Right("ns", "cam", send=frozenset({16}), origins=("cam",), max_payload_bytes=1_000)
SCREEN = Right("ns", "screen", observe=frozenset({17}))


def compiled(*rights: Right, **options: Any) -> dict[str, Any]:
    settings = access_settings(rights, "z", max_payload_bytes=1_000_000, **options)
    config = zenoh.Config()
    for path, value in settings.items():
        config.insert_json5(path, json.dumps(value))  # zenoh refuses what it does not know
    return settings


def test_everything_is_denied_but_what_a_right_opens() -> None:
    access = compiled(SCREEN)["access_control"]
    assert (access["enabled"], access["default_permission"]) == (True, "deny")
    asked = ["nearfield/ns/hello/*", "nearfield/ns/rights/z/screen", "nearfield/ns/sent/17/*/*/*/*"]
    received = ["nearfield/ns/state/z", "nearfield/ns/frames/17/*/*/*", "nearfield/ns/sent/17/*/*/*/*"]
    assert access["rules"] == [
        rule("screen/settle/ingress", "liveliness_query", keys=["nearfield/settled"]),
        rule("screen/ask/ingress", "query", keys=asked),
        rule(
            "screen/ask/egress",
            "reply",
            "declare_queryable",
            keys=asked,
        ),
        rule(
            "screen/receive/ingress",
            "declare_subscriber",
            keys=received,
        ),
        rule("screen/receive/egress", "put", keys=received),
    ]


def rule(rule_id: str, *messages: str, keys: list[str]) -> dict[str, Any]:
    return {
        "id": rule_id,
        "messages": list(messages),
        "flows": [rule_id.rsplit("/", 1)[-1]],
        "permission": "allow",
        "key_exprs": keys,
    }


def test_policies_name_only_rules_and_subjects_that_exist() -> None:
    # zenoh opens without a word when they do not, and denies.
    access = compiled(CAMERA, SCREEN)["access_control"]
    known = {each["id"] for each in access["rules"]}
    named = [name for policy in access["policies"] for name in policy["rules"]]
    assert sorted(named) == sorted(known)
    assert [policy["subjects"] for policy in access["policies"]] == [["cam"], ["screen"]]
    assert [subject["id"] for subject in access["subjects"]] == ["cam", "screen"]


def test_identities_are_told_apart_by_certificate_or_by_the_name_of_a_token() -> None:
    assert compiled(SCREEN)["access_control"]["subjects"] == [{"id": "screen", "cert_common_names": ["screen"]}]
    by_token = compiled(SCREEN, named_by="token")["access_control"]["subjects"]
    assert by_token == [{"id": "screen", "usernames": ["screen"]}]


def test_rights_of_one_identity_in_several_namespaces_add_up() -> None:
    access = compiled(SCREEN, Right("other", "screen", reads_ledger=True))["access_control"]
    assert len(access["subjects"]) == len(access["policies"]) == 1
    (asks,) = (rule["key_exprs"] for rule in access["rules"] if rule["id"] == "screen/ask/ingress")
    assert {"nearfield/ns/hello/*", "nearfield/other/hello/*", "nearfield/other/ledger/z"} <= set(asks)


def test_sizes_are_limited_for_all_and_lower_where_a_right_says_so() -> None:
    limits = compiled(CAMERA, SCREEN)["low_pass_filter"]
    assert [(limit["key_exprs"], limit["size_limit"]) for limit in limits] == [
        (["nearfield/**"], 1_065_536),
        (["nearfield/ns/frames/16/z/cam/-", "nearfield/ns/sent/16/z/cam/-/*"], 66_536),
    ]
    assert all(limit["flows"] == ["ingress"] for limit in limits)


# ---- peers


def policies(access: dict[str, Any]) -> dict[str, tuple[dict[str, Any], set[str]]]:
    """What tells each subject, and the keys that are opened for it."""
    keys = {rule["id"]: rule["key_exprs"] for rule in access["rules"]}
    subjects = {subject["id"]: {k: v for k, v in subject.items() if k != "id"} for subject in access["subjects"]}
    return {
        policy["id"]: (subjects[policy["subjects"][0]], {key for rule in policy["rules"] for key in keys[rule]})
        for policy in access["policies"]
    }


PEER = Right("ns", "hall-2", is_zipper=True)


@pytest.mark.parametrize("named_by", ["certificate", "token"])
def test_certificate_of_a_peer_opens_what_passes_between_zippers_in_every_namespace(named_by: Any) -> None:
    other = Right("other", "x", observe=ALL)
    access = compiled(CAMERA, other, named_by=named_by, peer_names=("machine",))["access_control"]
    known_by, keys = policies(access)["0/machine"]
    assert known_by == {"cert_common_names": ["machine"]}
    assert {"nearfield/ns/forward/*/*/*", "nearfield/other/forward/*/*/*"} <= keys
    assert not {key for key in keys if key.split("/")[2:3] in (["reports"], ["dispatch"], ["join"], ["ledger"])}


def test_zipper_that_comes_with_a_token_is_known_by_its_certificate_when_one_goes_to_it() -> None:
    # Whom we go to shows us no token.
    found = policies(compiled(CAMERA, PEER, named_by="token")["access_control"])
    assert [known_by for known_by, _ in found.values()] == [
        {"usernames": ["cam"]},
        {"usernames": ["hall-2"]},
        {"cert_common_names": ["hall-2"]},
    ]
    assert found["hall-2"][1] == found["0/hall-2"][1]


def test_certificate_with_the_name_of_a_token_gives_what_a_zipper_has_and_nothing_else() -> None:
    both = Right("ns", "hall-2", send=ALL, origins=("*",), is_zipper=True, reads_ledger=True)
    found = policies(compiled(both, named_by="token")["access_control"])
    assert found["0/hall-2"][1] == policies(compiled(PEER, named_by="token")["access_control"])["0/hall-2"][1]
    assert "nearfield/ns/ledger/z" in found["hall-2"][1] - found["0/hall-2"][1]
    (camera,) = policies(compiled(CAMERA, named_by="token")["access_control"])
    assert camera == "cam"


def test_right_of_any_name_is_that_of_whoever_is_let_in() -> None:
    found = policies(compiled(Right("ns", ANY_NAME, is_zipper=True), named_by="token")["access_control"])
    assert [known_by for known_by, _ in found.values()] == [{}]
