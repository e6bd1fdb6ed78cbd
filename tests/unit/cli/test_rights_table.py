"""Who may do what, as `nearfield validate` shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nearfield.cli.rights_table import cells, rights_object, rights_text
from nearfield.cli.validate import validate
from nearfield.config import AuthConfig, NamespaceConfig, RightConfig, load_workflow
from nearfield.config.matrix import ANY_TOKEN, ANYBODY, BY_ROLE, THIS_USER, matrix_of

ROOT = Path(__file__).parents[3]
TWO_TENANTS = ROOT / "examples" / "two-tenants" / "workflow.yaml"
FACTORY_LINE = ROOT / "examples" / "factory-line" / "workflow.yaml"


def test_two_tenants_as_a_table() -> None:
    assert rights_text(matrix_of(load_workflow(TWO_TENANTS))).split("\n") == [
        "",
        "namespace bakery",
        "identity        sends               runs  observes  emits  zipper  ledger",
        "(this user)     all as anyone       all   all       all    yes     yes",
        "oven-cam        0x10, at most 2MiB  -     -         -      -       -",
        "gateway         0x10 as shelf-*     -     -         -      -       -",
        "counter-screen  -                   -     0x11      -      -       -",
        "hall-2          -                   -     -         -      yes     -",
        "",
        "namespace dairy",
        "identity         sends          runs   observes  emits  zipper  ledger",
        "(this user)      all as anyone  all    all       all    yes     yes",
        "tank-cam         0x10           -      -         -      -       -",
        "dairy-developer  -              label  0x10      0x11   -       -",
        "dairy-office     -              -      all       -      -       yes",
    ]


def test_without_rights_the_roles_are_shown() -> None:
    rows = {row.identity: cells(row)[1:] for row in matrix_of(load_workflow(FACTORY_LINE))}
    assert rows == {
        THIS_USER: ("all as anyone", "all", "all", "all", "yes", "yes"),
        BY_ROLE["source"]: ("all", "-", "-", "-", "-", "-"),
        BY_ROLE["function"]: ("-", "recognise", "0x10", "0x11", "-", "-"),
        BY_ROLE["sink"]: ("-", "-", "all", "-", "-", "-"),
        BY_ROLE["zipper"]: ("-", "-", "-", "-", "yes", "-"),
    }


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"auth": AuthConfig(type="token")}, [THIS_USER, ANY_TOKEN, THIS_USER]),
        ({"insecure": True}, [THIS_USER, ANYBODY, THIS_USER, ANYBODY]),
        ({"insecure": True, "rights": {"cam": RightConfig(send=(16,))}}, [THIS_USER, ANYBODY, THIS_USER, ANYBODY]),
    ],
    ids=["token", "insecure", "insecure with rights"],
)
def test_no_roles_are_shown_where_nobody_is_asked_for_one(more: dict[str, Any], expected: list[str]) -> None:
    workflow = replace(load_workflow(FACTORY_LINE), namespaces={"other": NamespaceConfig(functions=())}, **more)
    rows = matrix_of(workflow)
    assert [row.identity for row in rows] == expected
    assert len({cells(row)[1:] for row in rows}) == 1


def test_row_for_programs_has_numbers() -> None:
    rows = {row.identity: rights_object(row) for row in matrix_of(load_workflow(TWO_TENANTS))}
    assert rows["oven-cam"] == {
        "namespace": "bakery",
        "identity": "oven-cam",
        "sends": [16],
        "origins": ["oven-cam"],
        "runs": [],
        "observes": [],
        "emits": [],
        "zipper": False,
        "ledger": False,
        "max_payload": 2 * 2**20,
    }
    assert (rows["dairy-developer"]["runs"], rows["dairy-developer"]["observes"]) == (["label"], [16])


def test_validate_shows_rights_where_the_file_has_some_or_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    validate(TWO_TENANTS)
    assert "namespace dairy\n" in capsys.readouterr().out
    validate(FACTORY_LINE)
    assert capsys.readouterr().out == f"{FACTORY_LINE}: valid; functions: recognise\n"
    validate(FACTORY_LINE, rights=True)
    assert "(any source)" in capsys.readouterr().out


def test_validate_prints_one_object_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    validate(TWO_TENANTS, json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["namespace"] for row in rows] == ["bakery"] * 5 + ["dairy"] * 4
