"""What differs between two versions of a workflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from nearfield.config import (
    AuthConfig,
    DeliveryConfig,
    FunctionConfig,
    ModelConfig,
    NamespaceConfig,
    RightConfig,
    SandboxConfig,
    Workflow,
)
from nearfield.errors import ConfigError
from nearfield.signing import PublicKey
from nearfield.supervise.changes import Version, code_of, compare, files_of, functions_of, refuse_fixed, version_of

GUEST, PROGRAM = Path("/w/detect.wasm"), Path("/w/count.py")
NET, OTHER = Path("/w/net.tflite"), Path("/w/other.onnx")
DETECT = FunctionConfig(name="detect", observe=(16,), run=GUEST, instances=2)
COUNT = FunctionConfig(name="count", observe=(17,), run=PROGRAM)
FOREIGN = FunctionConfig(name="foreign", observe=(18,))
MODELS = {"net": ModelConfig(path=NET), "other": ModelConfig(path=OTHER)}


def version(*functions: FunctionConfig, models: dict[str, ModelConfig] = MODELS, **digests: str) -> Version:
    """Digests by the name of the file up to its dot; others are "same"."""
    workflow = Workflow(name="line", functions=functions, models=models)
    return Version(workflow, {path: digests.get(path.stem, "same") for path in (GUEST, PROGRAM, NET, OTHER)})


def changes(before: Version, after: Version, *named: str) -> list[tuple[str, str, tuple[str, ...], int, int]]:
    """(name, kind, what, starts, stops) of those that are not unchanged."""
    return [
        (change.name, change.kind, change.what, change.starts, change.stops)
        for change in compare(before, after, named)
        if change.kind != "unchanged"
    ]


def test_nothing_differs_from_itself() -> None:
    same = version(DETECT, COUNT, FOREIGN)
    assert [change.as_dict() for change in compare(same, same)] == [
        {"function": name, "change": "unchanged", "what": []} for name in ("detect", "count", "foreign")
    ]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"delivery": DeliveryConfig(queue=3)}, ("changed", ("delivery",), 0, 0)),
        ({"instances": 3}, ("changed", ("instances",), 1, 0)),
        ({"instances": 1}, ("changed", ("instances",), 0, 1)),
        ({"sandbox": SandboxConfig(deadline_s=3)}, ("restarted", ("sandbox",), 2, 2)),
        ({"observe": (19,)}, ("restarted", ("observe",), 2, 2)),
        ({"emit": (19,), "instances": 1}, ("restarted", ("emit", "instances"), 1, 2)),
        ({"entry": "other"}, ("restarted", ("entry",), 2, 2)),
        ({"credits": 5}, ("restarted", ("credits",), 2, 2)),
        ({"priority": "high"}, ("restarted", ("priority",), 2, 2)),
        ({"models": ("other",)}, ("restarted", ("models",), 2, 2)),
        ({"models": ("other", "net")}, ("restarted", ("models",), 2, 2)),
        ({"run": None}, ("changed", ("run",), 0, 2)),
    ],
    ids=str,
)
def test_settings_of_a_guest(after: dict[str, Any], expected: tuple[str, tuple[str, ...], int, int]) -> None:
    assert changes(version(DETECT), version(replace(DETECT, **after))) == [("detect", *expected)]


def test_models_that_are_named_in_their_own_order_are_the_same_as_all() -> None:
    assert changes(version(DETECT), version(replace(DETECT, models=("net", "other")))) == []


def test_changed_code_restarts_the_functions_that_run_it() -> None:
    assert changes(version(DETECT, COUNT), version(DETECT, COUNT, detect="new")) == [
        ("detect", "restarted", ("code",), 2, 2)
    ]
    assert changes(version(DETECT, COUNT), version(DETECT, COUNT, count="new")) == [
        ("count", "restarted", ("code",), 1, 1)
    ]


def test_changed_model_restarts_the_guests_that_may_use_it() -> None:
    without = replace(DETECT, name="without", models=("other",))
    before = version(DETECT, without, COUNT)
    assert changes(before, version(DETECT, without, COUNT, net="new")) == [("detect", "restarted", ("models",), 2, 2)]
    threads = MODELS | {"net": ModelConfig(path=NET, threads=2)}
    assert changes(before, version(DETECT, without, COUNT, models=threads)) == [
        ("detect", "restarted", ("models",), 2, 2)
    ]


def test_other_signers_restart_what_they_must_have_signed() -> None:
    before = version(DETECT, COUNT, FOREIGN)
    after = Version(before.workflow, before.digests, frozenset({PublicKey.of(bytes(32))}))
    assert changes(before, after) == [
        ("detect", "restarted", ("signers",), 2, 2),
        ("count", "restarted", ("signers",), 1, 1),
    ]


def test_sandbox_means_nothing_to_a_program() -> None:
    assert changes(version(COUNT), version(replace(COUNT, sandbox=SandboxConfig(deadline_s=3), models=("net",)))) == []


def test_function_that_connects_by_itself_has_settings_only() -> None:
    assert changes(version(FOREIGN), version(replace(FOREIGN, observe=(20,), instances=4))) == [
        ("foreign", "changed", ("observe", "instances"), 0, 0)
    ]
    assert changes(version(FOREIGN), version(replace(FOREIGN, run=GUEST))) == [("foreign", "restarted", ("run",), 1, 0)]


def test_functions_come_and_go() -> None:
    assert changes(version(DETECT, FOREIGN), version(COUNT, FOREIGN)) == [
        ("count", "added", (), 1, 0),
        ("detect", "removed", (), 0, 2),
    ]


def test_named_function_is_restarted_though_nothing_differs() -> None:
    same = version(DETECT, COUNT)
    assert changes(same, same, "detect") == [("detect", "restarted", ("asked for",), 2, 2)]


@pytest.mark.parametrize(
    "field",
    [
        {"name": "b"},
        {"host": "b"},
        {"port": 1},
        {"second_port": 2},
        {"namespace": "b"},
        {"peers": ("b:1",)},
        {"auth": AuthConfig(type="token")},
        {"insecure": True},
        {"namespaces": {"dairy": NamespaceConfig(functions=())}},
    ],
    ids=str,
)
def test_what_only_another_start_can_change_is_refused(field: dict[str, Any]) -> None:
    before = version(DETECT).workflow
    refuse_fixed(before, before, "w.yaml")
    (name,) = field
    with pytest.raises(ConfigError, match=rf"^w\.yaml: `{name}`: cannot change while the zipper runs; start `serve`"):
        refuse_fixed(before, replace(before, **field), "w.yaml")


def test_rights_and_functions_of_namespaces_may_change() -> None:
    before = replace(version(DETECT).workflow, namespaces={"dairy": NamespaceConfig(functions=(DETECT,))})
    rights = {"cam": RightConfig(send=(16,))}
    refuse_fixed(before, replace(before, rights=rights), "w.yaml")
    refuse_fixed(before, replace(before, namespaces={"dairy": NamespaceConfig(functions=(), rights=rights)}), "w.yaml")


def test_functions_of_other_namespaces_are_named_after_both() -> None:
    dairy = NamespaceConfig(functions=(COUNT, replace(DETECT, observe=(20,))))
    before = Version(replace(version(DETECT).workflow, namespaces={"dairy": dairy}), version().digests)
    assert functions_of(before.workflow) == {
        "detect": ("default", DETECT),
        "dairy/count": ("dairy", COUNT),
        "dairy/detect": ("dairy", dairy.functions[1]),
    }
    without = version(DETECT)
    assert changes(without, before) == [("dairy/count", "added", (), 1, 0), ("dairy/detect", "added", (), 2, 0)]
    assert changes(before, without) == [("dairy/count", "removed", (), 0, 1), ("dairy/detect", "removed", (), 0, 2)]
    # Moved to another namespace: that is another function.
    moved = Version(replace(before.workflow, functions=(COUNT, DETECT), namespaces={}), before.digests)
    assert [(change.namespace, change.name, change.kind) for change in compare(before, moved)] == [
        ("default", "count", "added"),
        ("default", "detect", "unchanged"),
        ("dairy", "dairy/count", "removed"),
        ("dairy", "dairy/detect", "removed"),
    ]
    assert changes(before, before, "dairy/detect") == [("dairy/detect", "restarted", ("asked for",), 2, 2)]
    assert files_of(before.workflow) == {GUEST, PROGRAM, NET, OTHER}


def test_every_field_of_a_workflow_is_either_compared_or_fixed() -> None:
    from nearfield.supervise.changes import FIXED

    # `Version.signers` is what the two last come to.
    compared = {"functions", "models", "require_signed", "trusted_signers"}
    # What is in `namespaces` is compared, which there are is fixed; rights are set when the functions are through.
    elsewhere = {"namespaces", "rights"}
    assert {*FIXED, *compared, *elsewhere} == set(Workflow.__struct_fields__)


def test_version_has_the_digest_of_each_file_that_can_be_read(tmp_path: Path) -> None:
    code, net, labels = (tmp_path / name for name in ("app.py", "net.xml", "labels.txt"))
    code.write_bytes(b"abc")
    net.write_bytes(b"")
    workflow = Workflow(
        name="line",
        functions=(FunctionConfig(name="f", run=tmp_path / "app.py:other"), FOREIGN),
        models={"net": ModelConfig(path=net, labels=labels)},
    )
    assert files_of(workflow) == {code, net, tmp_path / "net.bin", labels}
    digests = version_of(workflow).digests
    assert set(digests) == {code, net}
    assert digests[code] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("run", "code"), [("/w/a.wasm", "/w/a.wasm"), ("/w/a.py", "/w/a.py"), ("/w/a.py:name", "/w/a.py")]
)
def test_code_is_the_file_that_is_run(run: str, code: str) -> None:
    assert code_of(Path(run)) == Path(code)
