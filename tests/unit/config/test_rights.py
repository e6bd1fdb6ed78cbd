"""Who may do what, from workflows and issued identities; and what is wrong with what a workflow says."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.config import IssuedIdentity, check_content, rights_of
from nearfield.config.schema import NAME_EXPECTED
from nearfield.frame.rights import ALL, FunctionRight, Right, every_right

HEAD = "name: w\nfunctions:\n  - {name: detect, observe: [0x10], emit: [0x11], run: d.wasm}\n  - {name: count}\n"
DETECT = FunctionRight("detect", frozenset({0x10}), frozenset({0x11}))


def found(text: str) -> list[str]:
    """Findings of a workflow that goes on after `HEAD`, on line 5."""
    findings = check_content((HEAD + text).encode(), base=Path("/")).findings
    return [f"{finding.line}: {finding.level}: {finding}" for finding in findings]


def granted(text: str, *issued: IssuedIdentity, local: tuple[str, ...] = ()) -> list[Right]:
    check = check_content((HEAD + text).encode(), base=Path("/"))
    assert check.workflow is not None, check.findings
    return rights_of(check.workflow, issued, local)


def test_without_rights_each_identity_has_what_its_role_gives() -> None:
    issued = (
        IssuedIdentity("cam-1", ["source"]),
        IssuedIdentity("dev", ["function"]),
        IssuedIdentity("screen", ["sink"]),
        IssuedIdentity("line-2", ["zipper"]),
        IssuedIdentity("both", ["source", "sink"]),
        IssuedIdentity("elsewhere", ["source"], "other"),
    )
    assert granted("", *issued, local=("local-me", "host-1")) == [
        every_right("default", "local-me"),
        every_right("default", "host-1"),
        Right("default", "cam-1", send=ALL, origins=("cam-1",)),
        Right("default", "dev", functions=(DETECT, FunctionRight("count", ALL, ALL))),
        Right("default", "screen", observe=ALL),
        Right("default", "line-2", is_zipper=True),
        Right("default", "both", send=ALL, origins=("both",), observe=ALL),
    ]


def test_with_rights_only_those_listed_and_the_local_ones_have_any() -> None:
    text = """
rights:
  cam-1: {send: [0x10], max_payload: 64KiB}
  gate: {send: all, origins: [gate, "gate-*"]}
  dev: {function: detect}
  team: {function: [detect, count], ledger: true}
  screen: {observe: [0x11]}
  wall: {observe: all}
  line-2: {zipper: true}
  local-me: {observe: [0x11]}
"""
    assert granted(text, IssuedIdentity("other", ["source"]), local=("local-me",)) == [
        every_right("default", "local-me"),
        Right("default", "cam-1", send=frozenset({16}), origins=("cam-1",), max_payload_bytes=65_536),
        Right("default", "gate", send=ALL, origins=("gate", "gate-*")),
        Right("default", "dev", functions=(DETECT,)),
        Right("default", "team", functions=(DETECT, FunctionRight("count", ALL, ALL)), reads_ledger=True),
        Right("default", "screen", observe=frozenset({17})),
        Right("default", "wall", observe=ALL),
        Right("default", "line-2", is_zipper=True),
    ]


def test_each_namespace_has_rights_of_its_own() -> None:
    text = """
namespace: north
rights: {cam-1: {send: [0x10]}}
namespaces:
  south: {functions: [{name: detect, observe: [1]}], rights: {dev: {function: detect}}}
  west: {functions: []}
"""
    issued = IssuedIdentity("cam-3", ["source"], "west"), IssuedIdentity("cam-4", ["source"], "south")
    assert granted(text, *issued, local=("me",)) == [
        every_right("north", "me"),
        Right("north", "cam-1", send=frozenset({16}), origins=("cam-1",)),
        every_right("south", "me"),
        Right("south", "dev", functions=(FunctionRight("detect", frozenset({1}), ALL),)),
        every_right("west", "me"),
        Right("west", "cam-3", send=ALL, origins=("cam-3",)),
    ]


def test_who_was_revoked_has_no_right_whatever_the_workflow_says() -> None:
    check = check_content((HEAD + "rights: {a: {observe: all}, b: {observe: all}}").encode(), base=Path("/"))
    assert check.workflow is not None
    assert [right.identity for right in rights_of(check.workflow, [], revoked={"a"})] == ["b"]


def test_sound_rights_give_no_finding() -> None:
    text = "rights:\n  cam-1: {send: [0x10]}\n  screen: {observe: [0x11]}\n  dev: {function: count}\n"
    assert found(text) == []


KEYS = "`send`, `origins`, `function`, `observe`, `zipper`, `ledger`, `max_payload`"
BAD = [
    (
        "{a: {function: detekt}}",
        ["5: error: rights.a.function: namespace `default` has no function `detekt`; it has: `detect`, `count`"],
    ),
    (
        "{a: {function: [detect, no, detect]}}",
        [
            "5: error: rights.a.function[1]: namespace `default` has no function `no`; it has: `detect`, `count`",
            "5: error: rights.a.function[2]: `detect` stands at function[0] already",
        ],
    ),
    ("{a: {}}", ["5: error: rights.a: `a` may do nothing; give it a right, or leave it out"]),
    ("{a: {send: [0xf000]}}", ["5: error: rights.a.send[0]: tag 0xf000 is reserved; 0xf000 to 0xffff cannot be sent"]),
    ("{a: {send: [0x10, 16]}}", ["5: error: rights.a.send[1]: tag 0x10 stands at send[0] already"]),
    ("{a: {send: none}}", ['5: error: rights.a.send: got "none", expected a list or `all`']),
    ("{a: {observe: 17}}", ["5: error: rights.a.observe: got 17, expected a list or `all`"]),
    ("{a: {send: [x]}}", ['5: error: rights.a.send[0]: got "x", expected a tag from 0 to 4294967295']),
    (
        "{a: {function: {x: y}}}",
        ["5: error: rights.a.function: got a mapping, expected a list or " + NAME_EXPECTED],
    ),
    (
        '{a: {send: all, origins: ["*x", "a-*", "a-*", "*"]}}',
        [
            "5: error: rights.a.origins[0]: got `*x`, expected a name or the beginning of one with `*`, such as "
            "`cam-*`; names have " + NAME_EXPECTED,
            "5: error: rights.a.origins[2]: `a-*` stands at origins[1] already",
        ],
    ),
    ("{a: {observe: all, origins: [b]}}", ["5: warning: rights.a.origins: has no effect without `send`"]),
    (
        "{a: {send: all, max_payload: 17MiB}}",
        ["5: error: rights.a.max_payload: got 17MiB, expected at most `limits.max_payload`, 16MiB"],
    ),
    (
        "{a: {observe: all, max_payload: 1MiB}}",
        ["5: warning: rights.a.max_payload: has no effect without `send` or `function`"],
    ),
    (
        '{a: {send: all}, b: {send: all, origins: ["a*"]}, c: {send: all}}',
        ["5: warning: rights.b: `a` may send as `a` too, so what comes from there may be of either"],
    ),
    (
        "{a/b: {observe: all}}",
        ['5: error: rights["a/b"]: got "a/b" as a name, expected ' + NAME_EXPECTED],
    ),
    ("{a: {observe: all}, a: {send: all}}", ["5: error: rights.a: duplicate key; it stands in line 5 already"]),
    (
        "{a: {sends: all}}",
        ["5: error: rights.a.sends: unknown key; did you mean `send`? known: " + KEYS],
    ),
]


@pytest.mark.parametrize(("rights", "expected"), BAD, ids=[text for text, _ in BAD])
def test_bad_rights_are_described_exactly(rights: str, expected: list[str]) -> None:
    nobody_counts = "4: warning: functions[1]: nobody in `rights` may be function `count`"
    assert [line for line in found(f"rights: {rights}") if not line.startswith(nobody_counts)] == expected


def test_doubtful_tags_and_functions_are_warned_of() -> None:
    text = """namespaces:
  other:
    functions: [{name: f, observe: [1], emit: [2]}]
    rights:
      a: {send: [1, 3]}
      b: {observe: [2, 4]}
"""
    assert found(text) == [
        (
            "7: warning: namespaces.other.functions[0]: nobody in `rights` may be function `f`, which is not "
            "started here (`run`)"
        ),
        (
            "9: warning: namespaces.other.rights.a.send[1]: tag 0x03 is observed by no function and no sink of this "
            "namespace"
        ),
        (
            "10: warning: namespaces.other.rights.b.observe[1]: tag 0x04 is sent by no source and emitted by no "
            "function of this namespace"
        ),
    ]


def test_namespaces_are_checked_like_the_first_one() -> None:
    text = """namespaces:
  default: {functions: []}
  other:
    functions: [{name: f, observe: [1], emit: [1]}, {name: f, observe: [0x10], emit: [0xf000]}]
"""
    assert found(text) == [
        "6: error: namespaces.default: `default` is the namespace of the workflow's own functions; choose another name",
        "8: error: namespaces.other.functions[1].name: `f` is already the name of functions[0]",
        "8: error: namespaces.other.functions[1].emit[0]: tag 0xf000 is reserved; 0xf000 to 0xffff cannot be emitted",
        (
            "8: error: namespaces.other.functions[0].emit: function `f` emits 0x01, which it observes itself: a frame "
            "would never end"
        ),
    ]


def test_identity_in_two_namespaces_is_warned_of_unless_it_is_a_zipper() -> None:
    text = """rights: {a: {observe: all}, z: {zipper: true}, f: {function: count}}
namespaces:
  other: {functions: [], rights: {a: {observe: all}, z: {zipper: true}}}
"""
    assert found(text) == [
        (
            "7: warning: namespaces.other.rights.a: `a` has rights in namespace `default` too, and joins what they "
            "keep apart"
        )
    ]


def test_files_of_every_namespace_are_looked_for() -> None:
    text = "namespaces: {other: {functions: [{name: f, run: /none.wasm}]}}"
    findings = check_content((HEAD + text).encode(), base=Path("/"), files=True).findings
    assert "namespaces.other.functions[0].run: cannot read `/none.wasm`: no such file or directory" in map(
        str, findings
    )
