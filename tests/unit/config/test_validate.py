"""Rules between fields, on workflows built in Python."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nearfield.config import (
    AuthConfig,
    BatchConfig,
    CertificateConfig,
    DeliveryConfig,
    DirectoryConfig,
    Finding,
    FunctionConfig,
    GrantsConfig,
    LimitsConfig,
    ModelConfig,
    SandboxConfig,
    Workflow,
    validate_files,
    validate_workflow,
)
from nearfield.config.graph import find_loops


def found(*functions: FunctionConfig, **settings: object) -> list[str]:
    workflow = Workflow(name="w", functions=functions, **settings)  # type: ignore[arg-type]
    return [f"{finding.level}: {finding}" for finding in validate_workflow(workflow)]


def function(
    name: str, observe: tuple[int, ...] = (), emit: tuple[int, ...] = (), **settings: object
) -> FunctionConfig:
    return FunctionConfig(name=name, observe=observe, emit=emit, **settings)  # type: ignore[arg-type]


def test_sound_workflow_gives_no_finding() -> None:
    assert found(function("a", (1,), (2,)), function("b", (2,), (3,)), function("c")) == []


def test_two_functions_of_one_name_are_refused() -> None:
    assert found(function("a"), function("b"), function("a")) == [
        "error: functions[2].name: `a` is already the name of functions[0]"
    ]


def test_undefined_model_is_refused_with_those_defined() -> None:
    models = {"parts": ModelConfig(path=Path("p"))}
    assert found(function("a", models=("parts", "part")), models=models) == [
        "error: functions[0].models[1]: model `part` is not defined; defined: `parts`"
    ]
    assert found(function("a", models=("part",))) == [
        "error: functions[0].models[0]: model `part` is not defined; defined: none"
    ]


def test_queues_have_room_for_one_frame_at_least() -> None:
    limits = LimitsConfig(max_payload_bytes=2**20, queue_bytes=2**20 - 1)
    assert found(function("a"), limits=limits) == [
        "error: limits.queue_bytes: got 1048575B, expected at least `max_payload`, 1MiB"
    ]


def test_dead_letters_are_part_of_the_flow() -> None:
    letters = DeliveryConfig(dead_letter=0x10)
    assert found(function("a", (0x10,), (0x11,), delivery=letters)) == [
        "error: functions[0].emit: function `a` emits 0x10, which it observes itself: a frame would never end"
    ]
    assert found(function("a", delivery=DeliveryConfig(dead_letter=0xF001))) == [
        "error: functions[0].delivery.dead_letter: tag 0xf001 is reserved; 0xf000 to 0xffff cannot be emitted"
    ]
    others = function("mend", (0x12,)), function("b", (0x13,), (0x14,))
    assert found(function("a", (0x10,), (0x13,), delivery=DeliveryConfig(dead_letter=0x12)), *others) == []


def test_tag_given_twice_is_refused() -> None:
    assert found(function("a", (1, 1), (5, 6, 5))) == [
        "error: functions[0].observe[1]: tag 0x01 stands at observe[0] already",
        "error: functions[0].emit[2]: tag 0x05 stands at emit[0] already",
    ]


@pytest.mark.parametrize(("tag", "is_refused"), [(0xEFFF, False), (0xF000, True), (0xFFFF, True), (0x10000, False)])
def test_reserved_tags_cannot_be_emitted(tag: int, is_refused: bool) -> None:
    text = f"error: functions[0].emit[0]: tag {tag:#x} is reserved; 0xf000 to 0xffff cannot be emitted"
    assert found(function("a", (), (tag,))) == ([text] if is_refused else [])


def test_function_that_feeds_itself_is_refused() -> None:
    assert found(function("a", (1, 2), (2, 3))) == [
        "error: functions[0].emit: function `a` emits 0x02, which it observes itself: a frame would never end"
    ]


def test_functions_that_feed_each_other_are_refused_once() -> None:
    assert found(function("a", (1, 3), (2,)), function("b", (2,), (3,)), function("c", (3,), (4,))) == [
        "error: functions[0].emit: functions feed each other in a loop: `a` -> `b` -> `a`: a frame would never end"
    ]


def test_max_age_without_effect_is_refused() -> None:
    delivery = DeliveryConfig(mode="complete", max_age_s=1.0)
    assert found(function("a", delivery=delivery)) == [
        "error: functions[0].delivery.max_age: only for mode `live`; in `complete` no frame grows stale"
    ]


def test_one_tag_from_outside_is_expected_and_several_are_doubted() -> None:
    assert found(function("a", (0x10,), (0x11,)), function("b", (0x11,), (0x12,))) == []
    assert found(function("a", (0x10,), (0x11,)), function("b", (0x21,), (0x12,))) == [
        "warning: functions[0].observe[0]: no function emits 0x10, so it must come from a source; emitted: 0x11, 0x12",
        "warning: functions[1].observe[0]: no function emits 0x21, so it must come from a source; emitted: 0x11, 0x12",
    ]


@pytest.mark.parametrize("peer", ["", "b", "b:", "b:0", "b:65536", "tcp/b:1", "quic/b", "quic/b:x", "a b:1", "b:1/x"])
def test_ill_formed_peer_is_refused(peer: str) -> None:
    assert found(peers=(peer,)) == [
        f"error: peers[0]: got `{peer}`, expected `host:port` or `quic/host:port` with a port from 1 to 65535"
    ]


@pytest.mark.parametrize(
    "peer", ["b:9900", "quic/site-b.example:9900", "10.0.0.1:1", "[::1]:65535", "quic/[fe80::1]:1"]
)
def test_well_formed_peer_is_accepted_once(peer: str) -> None:
    assert found(peers=(peer,)) == []
    assert found(peers=(peer, peer)) == [f"error: peers[1]: got `{peer}` twice, expected each zipper once"]


def test_second_port_is_another_one() -> None:
    assert found(port=9900, second_port=9901) == []
    assert found(port=9900, second_port=9900) == ["error: second_port: got 9900, expected another one than `port`"]


def test_settings_without_effect_are_doubted_only_where_written() -> None:
    workflow = Workflow(name="w", functions=(function("a", instances=2), function("b", instances=2, run=Path("b.py"))))
    lines = {(): 1, ("functions", 0, "instances"): 3, ("functions", 1, "instances"): 5}
    text = "has no effect without `run`: the function is started elsewhere"
    assert validate_workflow(workflow, lines) == [Finding("warning", 3, "functions[0].instances", text)]


def test_finding_for_a_left_out_field_has_the_line_around_it() -> None:
    workflow = Workflow(name="w", functions=(function("a"), function("a")))
    assert validate_workflow(workflow, {(): 1, ("functions",): 2, ("functions", 1): 7})[0].line == 7


def test_files_that_can_be_read_give_no_finding(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    workflow = Workflow(
        name="w",
        functions=(function("a", run=file),),
        models={"m": ModelConfig(path=file, labels=file)},
        certificates=CertificateConfig(ca=file, certificate=file, key=file),
    )
    assert validate_files(workflow) == []


def test_every_missing_file_is_found(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    workflow = Workflow(
        name="w",
        functions=(function("a", run=missing), function("b")),
        models={"m": ModelConfig(path=missing, labels=missing)},
        certificates=CertificateConfig(ca=missing, certificate=missing, key=missing),
    )
    fields = [
        "functions[0].run",
        "models.m.path",
        "models.m.labels",
        "certificates.ca",
        "certificates.certificate",
        "certificates.key",
    ]
    text = f"cannot read `{missing}`: no such file or directory"
    assert validate_files(workflow) == [Finding("error", None, field, text) for field in fields]


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    workflow = Workflow(name="w", functions=(function("a", run=pipe), function("b", run=tmp_path)))
    assert [finding.text for finding in validate_files(workflow)] == [
        f"cannot read `{pipe}`: not a regular file",
        f"cannot read `{tmp_path}`: not a regular file",
    ]


@pytest.mark.parametrize(
    ("flows", "loops"),
    [
        ([], []),
        ([({1}, {2}), ({2}, {3})], []),
        ([({1}, {1})], [(0,)]),
        ([({3}, {1}), ({1}, {2}), ({2}, {3})], [(0, 1, 2)]),
        ([({0}, {1}), ({2}, {3}), ({3}, {2})], [(1, 2)]),
        ([({1}, {2}), ({2}, {1}), ({9}, {9})], [(0, 1), (2,)]),
        ([({1, 4}, {2}), ({2}, {3}), ({3}, {4, 1})], [(0, 1, 2)]),
    ],
)
def test_loops_are_found_in_the_order_of_a_frame(
    flows: list[tuple[set[int], set[int]]], loops: list[tuple[int, ...]]
) -> None:
    assert find_loops(flows) == loops


def test_a_batch_is_said_to_have_no_effect_on_a_sandbox_that_keeps_its_memory(tmp_path: Path) -> None:
    models = {
        "batched": ModelConfig(path=tmp_path, batch=BatchConfig(max_frames=4)),
        "alone": ModelConfig(path=tmp_path, batch=BatchConfig(max_frames=1)),
    }
    worker, run = SandboxConfig(instance="worker"), tmp_path / "guest.wasm"
    (warning,) = found(function("a", run=run, sandbox=worker), models=models)
    assert warning.startswith("warning: functions[0].sandbox.instance: `batch` of model `batched` has no effect with")
    assert found(function("a", run=run, sandbox=worker, models=("alone",)), models=models) == []
    assert found(function("a", run=run), models=models) == []


KEY = "A" * 43 + "="


def test_required_signatures_need_somebody_who_is_trusted() -> None:
    assert found(function("a", run=Path("a.wasm")), require_signed=True) == [
        "error: trusted_signers: missing, expected the public key of at least one whom `require_signed` means"
    ]
    assert found(function("a", run=Path("a.wasm")), require_signed=True, trusted_signers=(KEY,)) == []
    assert found(function("a"), require_signed=True, trusted_signers=(KEY,)) == [
        "warning: functions[0]: `require_signed` says nothing of a function that connects by itself"
    ]
    assert found(function("a"), trusted_signers=(KEY,)) == [
        "warning: trusted_signers: has no effect without `require_signed: true`"
    ]


def test_a_declared_kind_needs_declared_tags() -> None:
    assert found(function("a", (1,), (2,), run=Path("a.wasm"), emit_kind="text")) == []
    assert found(function("a", (1,), run=Path("a.wasm"), emit_kind="text")) == [
        "error: functions[0].emit: missing, expected tags: with `emit_kind`, a tag of its own choice would tell much"
    ]


def test_other_ways_out_are_named_where_a_kind_is_declared() -> None:
    grants = GrantsConfig(
        http_hosts=("example.org",),
        directories=(
            DirectoryConfig(host=Path("/a"), guest="/a"),
            DirectoryConfig(host=Path("/b"), guest="/b", write=True),
        ),
    )
    more = {"sandbox": SandboxConfig(grants=grants), "delivery": DeliveryConfig(dead_letter=9), "run": Path("a.wasm")}
    way = "is a way out for what `emit_kind` keeps in"
    letter = "publishes the frame itself when the function fails, whatever `emit_kind` says"
    assert found(function("a", (1,), (2,), emit_kind="text", **more)) == [
        f"warning: functions[0].sandbox.grants.http_hosts: {way}",
        f"warning: functions[0].sandbox.grants.directories: {way}",
        f"warning: functions[0].delivery.dead_letter: {letter}",
    ]
    assert found(function("a", (1,), (2,), **more)) == []


def test_the_function_after_the_colon_is_no_part_of_a_programs_file(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("")
    for run, problems in (("app.py:one", 0), ("app.py", 0), ("none.py:one", 1), ("a:b.wasm", 1)):
        workflow = Workflow(name="w", functions=(function("a", run=tmp_path / run),))
        assert len(validate_files(workflow)) == problems, run


def test_key_files_must_be_there_and_keys_themselves_need_no_file(tmp_path: Path) -> None:
    workflow = Workflow(name="w", functions=(), trusted_signers=(KEY, str(tmp_path / "none.pub")))
    assert [finding.path for finding in validate_files(workflow)] == ["trusted_signers[1]"]


# ---- who is let in ----

LONG = "x" * 16
SHORT = "a short token can be guessed; expected 16 random characters or more"


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        (AuthConfig(), []),
        (AuthConfig(type="token", token=LONG), []),
        (AuthConfig(type="token", tokens={"cam-1": LONG, "cam-2": LONG}), []),
        (AuthConfig(type="token", token="z-token"), [f"warning: auth.token: {SHORT}"]),
        (AuthConfig(type="token", tokens={"cam-1": "x"}), [f"warning: auth.tokens.cam-1: {SHORT}"]),
        (AuthConfig(type="token"), ["error: auth: got no token, expected `token` or `tokens`"]),
        (AuthConfig(token=LONG), ["error: auth.token: only with `type: token`"]),
        (AuthConfig(tokens={"a": LONG}), ["error: auth.tokens: only with `type: token`"]),
        (
            AuthConfig(type="token", token=LONG, tokens={"default": LONG}),
            ["error: auth.tokens.default: `token` is the one of this name; leave one of them out"],
        ),
        (
            AuthConfig(type="token", tokens={"Local-ada": LONG}),
            ["error: auth.tokens.Local-ada: names that begin with `local-` are those of this machine's users"],
        ),
    ],
)
def test_tokens_are_given_where_they_count(auth: AuthConfig, expected: list[str]) -> None:
    assert found(auth=auth) == expected


def test_insecure_workflow_is_warned_of_and_asks_for_nothing() -> None:
    warning = (
        "warning: insecure: everyone who reaches the port may send and receive everything; "
        "leave it out wherever others can"
    )
    assert found(insecure=True) == [warning]
    assert found(insecure=True, auth=AuthConfig(type="token", token=LONG)) == [
        warning,
        "error: auth.type: no token is asked for with `insecure`; leave one of the two out",
    ]
