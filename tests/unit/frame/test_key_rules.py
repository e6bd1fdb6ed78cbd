"""Which keys rights open."""

from __future__ import annotations

from nearfield.frame.key_rules import Use, key_rules, published_frames
from nearfield.frame.rights import ALL, FunctionRight, Right, every_right

GREETING = {
    Use.SETTLE: ("nearfield/settled",),
    Use.ASK: ("nearfield/ns/hello/*", "nearfield/ns/rights/z/me"),
    Use.RECEIVE: ("nearfield/ns/state/z",),
}


def opened(right: Right) -> dict[Use, tuple[str, ...]]:
    """Beyond what everyone has who has any right."""
    rules = key_rules(right, "z")
    beyond = {use: tuple(key for key in keys if key not in GREETING.get(use, ())) for use, keys in rules.items()}
    assert all(set(keys) <= set(rules[use]) for use, keys in GREETING.items())
    return {use: keys for use, keys in beyond.items() if keys}


def test_who_has_no_right_but_a_name_may_greet() -> None:
    assert opened(Right("ns", "me")) == {}


def test_source_sends_its_tags_under_its_names_and_receives_what_comes_of_them() -> None:
    assert opened(Right("ns", "me", send=frozenset({16, 2}), origins=("me", "cam-*"))) == {
        Use.PUBLISH: (
            "nearfield/ns/frames/2/z/me/-",
            "nearfield/ns/frames/2/z/cam-$*/-",
            "nearfield/ns/frames/16/z/me/-",
            "nearfield/ns/frames/16/z/cam-$*/-",
            "nearfield/ns/sent/2/z/me/-/*",
            "nearfield/ns/sent/2/z/cam-$*/-/*",
            "nearfield/ns/sent/16/z/me/-/*",
            "nearfield/ns/sent/16/z/cam-$*/-/*",
        ),
        Use.ANSWER: (
            "nearfield/ns/sent/2/z/me/-/*",
            "nearfield/ns/sent/2/z/cam-$*/-/*",
            "nearfield/ns/sent/16/z/me/-/*",
            "nearfield/ns/sent/16/z/cam-$*/-/*",
        ),
        Use.KNOW_RECEIVERS: ("nearfield/ns/frames/2/*/*/*", "nearfield/ns/frames/16/*/*/*"),
        Use.RECEIVE: (
            "nearfield/ns/acks/*/me",
            "nearfield/ns/frames/*/*/me/*",
            "nearfield/ns/acks/*/cam-$*",
            "nearfield/ns/frames/*/*/cam-$*/*",
        ),
    }


def test_instance_has_the_keys_of_its_function_and_emits_its_tags_for_any_origin() -> None:
    assert opened(Right("ns", "me", functions=(FunctionRight("f", frozenset({1}), frozenset({2})),))) == {
        Use.PUBLISH: ("nearfield/ns/frames/2/z/*/f", "nearfield/ns/sent/2/z/-/f/*", "nearfield/ns/reports/z/f/*"),
        Use.ANSWER: ("nearfield/ns/sent/2/z/-/f/*",),
        Use.KNOW_RECEIVERS: ("nearfield/ns/frames/2/*/*/*",),
        Use.RECEIVE: ("nearfield/ns/dispatch/z/f/*",),
        Use.ANNOUNCE: ("nearfield/ns/alive/z/f/*",),
        Use.ASK: ("nearfield/ns/join/z/f", "nearfield/ns/leave/z/f"),
    }


def test_sink_receives_its_tags_from_anywhere() -> None:
    assert opened(Right("ns", "me", observe=frozenset({17}))) == {
        Use.RECEIVE: ("nearfield/ns/frames/17/*/*/*", "nearfield/ns/sent/17/*/*/*/*"),
        Use.ASK: ("nearfield/ns/sent/17/*/*/*/*",),
    }
    assert opened(Right("ns", "me", observe=ALL)) == {
        Use.RECEIVE: ("nearfield/ns/frames/*/*/*/*", "nearfield/ns/sent/*/*/*/*/*"),
        Use.ASK: ("nearfield/ns/sent/*/*/*/*/*",),
    }


def test_zipper_relays_what_passes_between_zippers_and_nothing_of_instances() -> None:
    rules = opened(Right("ns", "me", is_zipper=True))
    assert list(rules) == [Use.RELAY]
    assert {key.split("/")[2] for key in rules[Use.RELAY]} == {
        "frames",
        "sent",
        "acks",
        "zippers",
        "capacity",
        "forward",
        "forwarded",
    }


def test_ledger_is_a_right_of_its_own() -> None:
    assert opened(Right("ns", "me", reads_ledger=True)) == {Use.ASK: ("nearfield/ns/ledger/z",)}


def test_every_right_stays_within_its_namespace() -> None:
    keys = [key for keys in key_rules(every_right("ns", "me"), "z").values() for key in keys]
    assert [key for key in keys if not key.startswith("nearfield/ns/")] == ["nearfield/settled"]
    assert published_frames(every_right("ns", "me"), "z") == (
        "nearfield/ns/frames/*/z/*/-",
        "nearfield/ns/frames/*/z/*/*",
    )
