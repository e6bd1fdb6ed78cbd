"""Loading a workflow: good files give values, bad ones give every mistake with its place."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from nearfield.config import (
    BatchConfig,
    CertificateConfig,
    FunctionConfig,
    ModelConfig,
    Workflow,
    WorkflowInvalid,
    check_content,
    check_workflow,
    load_workflow,
)
from nearfield.errors import ConfigError

PEER = "`host:port` or `quic/host:port` with a port from 1 to 65535"
NAME = "1 to 64 letters, digits, `-`, `_` or `.`, beginning with a letter, digit or `_`"
DURATION = "a duration with its unit such as `500ms`, `1.5s` or `2m`, above 0"
SIZE = "a size such as `64KiB`, `128MiB`, or a whole number of bytes, above 0"
FUNCTION_KEYS = (
    "`name`, `observe`, `emit`, `run`, `sha256`, `instances`, `delivery`, `sandbox`, `models`, `entry`, `credits`, "
    "`priority`, `emit_kind`, `emit_bytes`, `emit_rate`"
)

# A workflow as users of the original have it.
ORIGINAL = """\
name: Service
host: localhost
port: 9900
functions:
  - name: image-recognition
"""

COMPLETE = """\
name: line-1
host: 0.0.0.0
port: 9901
namespace: plant-7
functions:
  - name: image-recognition
    observe: [0x10, 18]
    emit:
      - 0x11
      - "0x12000"
    run: functions/recognise.wasm
    instances: 2
    delivery: {mode: live, queue: 8, max_age: 500ms, retries: 0}
    sandbox:
      instance: worker
      deadline: 200ms
      memory: 128MiB
      table_elements: 5
      output: 1MB
      emitted_frames: 3
      log_lines: 4
      module: 1048576
      handles: 7
    models: [parts]
    entry: infer
    credits: 1
  - {name: audit, observe: [0x11], delivery: {mode: complete}}
models:
  parts: {path: models/parts.tflite, labels: /srv/labels.txt, threads: 2}
  nuts:
    path: nuts.onnx
    sha256: "%s"
    backend: onnxruntime
    device: auto
    batch: {max: 16, wait: 500us}
  bolts: {path: bolts.xml, batch: {}}
certificates: {ca: tls/ca.pem, certificate: tls/zipper.pem, key: tls/zipper.key}
limits: {max_payload: 4MiB, source_frames_per_s: 30, source_bytes_per_s: 2MiB}
""" % ("AB" * 32)


def write(folder: Path, text: str) -> Path:
    path = folder / "workflow.yaml"
    path.write_text(text)
    return path


def messages(folder: Path, text: str) -> list[str]:
    """What loading says, with the name that the user gave shortened to the file's own."""
    path = write(folder, text)
    with pytest.raises(WorkflowInvalid) as caught:
        load_workflow(path)
    return str(caught.value).replace(str(path), "workflow.yaml").splitlines()


def test_original_workflow_loads_unchanged(tmp_path: Path) -> None:
    workflow = load_workflow(write(tmp_path, ORIGINAL))
    assert workflow == Workflow(
        name="Service", host="localhost", port=9900, functions=(FunctionConfig(name="image-recognition"),)
    )


def test_every_setting_arrives_in_its_unit_and_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    workflow = load_workflow(write(tmp_path, COMPLETE))
    first = workflow.functions[0]
    assert (first.observe, first.emit) == ((0x10, 18), (0x11, 0x12000))
    assert first.run == tmp_path / "functions" / "recognise.wasm"
    assert (first.instances, first.models, first.entry, first.credits) == (2, ("parts",), "infer", 1)
    assert (first.delivery.mode, first.delivery.queue) == ("live", 8)
    assert (first.delivery.max_age_s, first.delivery.retries) == (0.5, 0)
    sandbox = first.sandbox
    assert (sandbox.instance, sandbox.deadline_s, sandbox.memory_bytes) == ("worker", 0.2, 128 * 2**20)
    assert (sandbox.table_elements, sandbox.output_bytes, sandbox.emitted_frames) == (5, 10**6, 3)
    assert (sandbox.log_lines, sandbox.module_bytes, sandbox.handles) == (4, 2**20, 7)
    assert workflow.functions[1].delivery.mode == "complete"
    parts = ModelConfig(path=tmp_path / "models" / "parts.tflite", labels=Path("/srv/labels.txt"), threads=2)
    nuts = ModelConfig(
        path=tmp_path / "nuts.onnx",
        sha256="ab" * 32,
        backend="onnxruntime",
        device="auto",
        batch=BatchConfig(max_frames=16, wait_s=0.0005),
    )
    bolts = ModelConfig(path=tmp_path / "bolts.xml", batch=BatchConfig(max_frames=8, wait_s=0.002))
    assert workflow.models == {"parts": parts, "nuts": nuts, "bolts": bolts}
    assert workflow.certificates == CertificateConfig(
        ca=tmp_path / "tls/ca.pem", certificate=tmp_path / "tls/zipper.pem", key=tmp_path / "tls/zipper.key"
    )
    assert (workflow.namespace, workflow.limits.max_payload_bytes) == ("plant-7", 4 * 2**20)
    assert (workflow.limits.source_frames_per_s, workflow.limits.source_bytes_per_s) == (30, 2 * 2**20)


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    workflow = load_workflow(write(tmp_path, "name: a\nfunctions: [{name: f}]"))
    function = workflow.functions[0]
    assert (workflow.host, workflow.port, workflow.namespace) == ("0.0.0.0", 9900, "default")
    assert (workflow.models, workflow.peers, workflow.certificates) == ({}, (), None)
    assert (workflow.limits.max_payload_bytes, workflow.limits.queue_bytes) == (16 * 2**20, 256 * 2**20)
    assert (function.observe, function.emit, function.run, function.models) == ((), (), None, None)
    assert (function.instances, function.credits) == (1, None)
    delivery = function.delivery
    assert (delivery.mode, delivery.queue, delivery.max_age_s, delivery.retries) == ("live", 8, None, 2)
    assert (delivery.order, delivery.timeout_s, delivery.dead_letter) == ("none", None, None)
    sandbox = function.sandbox
    assert (sandbox.instance, sandbox.deadline_s, sandbox.memory_bytes) == ("frame", 1.0, 256 * 2**20)


# Each row: a file, and all that is said about it.
BAD: list[tuple[str, list[str]]] = [
    ("", ["workflow.yaml: the file is empty, expected a mapping with `name` and `functions`"]),
    ("- a", ["workflow.yaml:1: got a list, expected a mapping with `name` and `functions`"]),
    ("name: a", ["workflow.yaml:1: functions: missing, expected a list"]),
    ("functions: []", ["workflow.yaml:1: name: missing, expected printable text of 1 to 200 characters"]),
    (
        "functions: []\nnaem: a",
        [
            (
                "workflow.yaml:2: naem: unknown key; did you mean `name`? known: `name`, `host`, `port`, "
                "`second_port`, `functions`, `models`, `peers`, `namespace`, `certificates`, `require_signed`, "
                "`trusted_signers`, `auth`, `insecure`, `limits`"
            )
        ],
    ),
    ("name: a\nfunctions:", ["workflow.yaml:2: functions: got nothing, expected a list"]),
    ("name: a\nfunctions: f", ['workflow.yaml:2: functions: got "f", expected a list']),
    ("name: a\nfunctions: {f: 1}", ["workflow.yaml:2: functions: got a mapping, expected a list"]),
    ("name: a\nfunctions:\n- f", ['workflow.yaml:3: functions[0]: got "f", expected a mapping with `name`']),
    ("name: a\nfunctions:\n-", ["workflow.yaml:3: functions[0]: got nothing, expected a mapping with `name`"]),
    ("name: a\nfunctions:\n- run: f.wasm", [f"workflow.yaml:3: functions[0].name: missing, expected {NAME}"]),
    ("name: a\nfunctions:\n- name: a/b", [f'workflow.yaml:3: functions[0].name: got "a/b", expected {NAME}']),
    ("name: a\nfunctions:\n- name: 7", [f"workflow.yaml:3: functions[0].name: got 7, expected {NAME}"]),
    (
        "name: a\nfunctions:\n- name: " + "x" * 65,
        [f'workflow.yaml:3: functions[0].name: got "{"x" * 57}...", expected {NAME}'],
    ),
    (
        "name: a\nfunctions:\n- name: f\n- name: g\n  observe: [4294967296]",
        ["workflow.yaml:5: functions[1].observe[0]: got 4294967296, expected a tag from 0 to 4294967295"],
    ),
    (
        "name: a\nfunctions:\n- name: f\n  emit:\n  - -1\n  - 1.0\n  - true\n  - door\n  - 0x100000000",
        [
            "workflow.yaml:5: functions[0].emit[0]: got -1, expected a tag from 0 to 4294967295",
            "workflow.yaml:6: functions[0].emit[1]: got 1.0, expected a tag from 0 to 4294967295",
            "workflow.yaml:7: functions[0].emit[2]: got true, expected a tag from 0 to 4294967295",
            'workflow.yaml:8: functions[0].emit[3]: got "door", expected a tag from 0 to 4294967295',
            "workflow.yaml:9: functions[0].emit[4]: got 0x100000000, expected a tag from 0 to 4294967295",
        ],
    ),
    (
        "name: a\nfunctions: [{name: f, observe: 0x10}]",
        ["workflow.yaml:2: functions[0].observe: got 0x10, expected a list"],
    ),
    (
        "name: a\nfunctions: [{name: f, emit: []}]",
        ["workflow.yaml:2: functions[0].emit: got an empty list, expected at least one entry; or leave `emit` out"],
    ),
    (
        "name: a\nfunctions:\n- name: f\n  observ: [1]",
        [f"workflow.yaml:4: functions[0].observ: unknown key; did you mean `observe`? known: {FUNCTION_KEYS}"],
    ),
    (
        "name: a\nfunctions:\n- name: f\n  zzz: 1",
        [f"workflow.yaml:4: functions[0].zzz: unknown key; known: {FUNCTION_KEYS}"],
    ),
    (
        "name: a\nfunctions: [{name: f, instances: 0}]",
        ["workflow.yaml:2: functions[0].instances: got 0, expected a whole number from 1 to 256"],
    ),
    (
        "name: a\nfunctions: [{name: f, instances: two}]",
        ['workflow.yaml:2: functions[0].instances: got "two", expected a whole number from 1 to 256'],
    ),
    *(
        (
            f"name: a\nfunctions: []\nlimits: {{source_frames_per_s: {written}}}",
            [(f"workflow.yaml:3: limits.source_frames_per_s: got {shown}, expected a number above 0, up to 1000000")],
        )
        for written, shown in [("0", "0"), ("true", "true"), ("fast", '"fast"'), ("1e7", "1e7"), ("-0.5", "-0.5")]
    ),
    ("name: a\nfunctions: []\nport: 0", ["workflow.yaml:3: port: got 0, expected a whole number from 1 to 65535"]),
    (
        "name: a\nfunctions: []\nport: 65536",
        ["workflow.yaml:3: port: got 65536, expected a whole number from 1 to 65535"],
    ),
    (
        "name: a\nfunctions: []\nport: '9900'",
        ['workflow.yaml:3: port: got "9900", expected a whole number from 1 to 65535'],
    ),
    (
        "name: a\nfunctions: []\nport: true",
        ["workflow.yaml:3: port: got true, expected a whole number from 1 to 65535"],
    ),
    (
        "name: a\nfunctions: []\nhost: localhost:9900",
        ['workflow.yaml:3: host: got "localhost:9900", expected an address or host name, without port'],
    ),
    (
        "name: a\nfunctions:\n- name: f\n  delivery: {mode: fast, max_age: 500}",
        [
            'workflow.yaml:4: functions[0].delivery.mode: got "fast", expected `complete` or `live`',
            f"workflow.yaml:4: functions[0].delivery.max_age: got 500, expected {DURATION}",
        ],
    ),
    (
        "name: a\nfunctions:\n- name: f\n  sandbox:\n    deadline: 0\n    memory: lots\n    instance: null",
        [
            f"workflow.yaml:5: functions[0].sandbox.deadline: got 0, expected {DURATION}",
            f'workflow.yaml:6: functions[0].sandbox.memory: got "lots", expected {SIZE}',
            "workflow.yaml:7: functions[0].sandbox.instance: got nothing, expected `frame` or `worker`",
        ],
    ),
    ("name: a\nfunctions: [{name: f, run: ''}]", ['workflow.yaml:2: functions[0].run: got "", expected a path']),
    (
        'name: "\\e[31m"\nfunctions: []',
        ['workflow.yaml:1: name: got "\\x1b[31m", expected printable text of 1 to 200 characters'],
    ),
    ("name: a\nfunctions: []\nmodels: [m]", ["workflow.yaml:3: models: got a list, expected a mapping"]),
    (
        "name: a\nfunctions: []\nmodels: {m: m.tflite}",
        ['workflow.yaml:3: models.m: got "m.tflite", expected a mapping with `path`'],
    ),
    (
        "name: a\nfunctions: []\nmodels:\n  a b: {path: m}",
        [f'workflow.yaml:4: models["a b"]: got "a b" as a name, expected {NAME}'],
    ),
    (
        "name: a\nfunctions: []\nmodels:\n  m:\n    path: m\n    sha256: 12\n    device: gpu\n    backend: torch",
        [
            "workflow.yaml:6: models.m.sha256: got 12, expected 64 hexadecimal digits, in quotes",
            'workflow.yaml:7: models.m.device: got "gpu", expected `auto` or `cpu` or `cuda`',
            'workflow.yaml:8: models.m.backend: got "torch", expected `litert` or `onnxruntime` or `openvino`',
        ],
    ),
    (
        "name: a\nfunctions: []\nmodels:\n  m:\n    path: m\n    batch: {max: 0, wait: 2}",
        [
            "workflow.yaml:6: models.m.batch.max: got 0, expected a whole number from 1 to 256",
            f"workflow.yaml:6: models.m.batch.wait: got 2, expected {DURATION}",
        ],
    ),
    (
        "name: a\nfunctions: []\nmodels:\n  m: {path: m, device: cuda, backend: litert}",
        [
            (
                "workflow.yaml:4: models.m.device: `cuda` is not for backend `litert`, which computes on the CPU; "
                "expected `cpu` or `auto`"
            )
        ],
    ),
    (
        "name: a\nfunctions: []\ncertificates: {ca: a}",
        [
            "workflow.yaml:3: certificates.certificate: missing, expected a path",
            "workflow.yaml:3: certificates.key: missing, expected a path",
        ],
    ),
    ("name: a\nname: b\nfunctions: []", ["workflow.yaml:2: name: duplicate key; it stands in line 1 already"]),
    (
        "name: a\nfunctions: []\npeers: [tcp/b:9900]",
        [f"workflow.yaml:3: peers[0]: got `tcp/b:9900`, expected {PEER}"],
    ),
]


@pytest.mark.parametrize(("text", "expected"), BAD, ids=[repr(text[-28:]) for text, _ in BAD])
def test_bad_file_is_described_exactly(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert messages(tmp_path, text) == expected


def test_where_and_what_are_those_of_the_first_error(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nport: 0\nfunctions: x")
    with pytest.raises(ConfigError) as caught:
        load_workflow(path)
    assert caught.value.where == f"{path}:2"
    assert caught.value.what == "port: got 0, expected a whole number from 1 to 65535"
    assert caught.value.exit_code == 2


def test_file_is_named_as_the_user_gave_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "name: a")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^workflow\.yaml:1: functions: missing"):
        load_workflow("workflow.yaml")


def test_error_survives_pickling(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nport: 0\nfunctions: x")
    with pytest.raises(WorkflowInvalid) as caught:
        load_workflow(path)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.findings) == (str(caught.value), caught.value.findings)


@pytest.mark.parametrize(
    ("name", "reason"), [("absent.yaml", "no such file or directory"), (".", "is a directory"), ("a\0b", "null byte")]
)
def test_unreadable_file_is_a_config_error(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot read the workflow: .*{reason}") as caught:
        load_workflow(tmp_path / name)
    assert caught.value.exit_code == 2


def test_check_gives_warnings_beside_the_workflow(tmp_path: Path) -> None:
    check = check_workflow(write(tmp_path, "name: a\nfunctions:\n- name: f\n  instances: 2"))
    assert check.workflow is not None
    assert check.errors == ()
    assert [finding.located("w.yaml") for finding in check.findings] == [
        "w.yaml:4: warning: functions[0].instances: has no effect without `run`: the function is started elsewhere"
    ]


def test_missing_files_are_errors_when_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path, "name: a\nfunctions:\n- name: f\n  run: f.wasm")
    assert load_workflow(path).functions[0].run == tmp_path / "f.wasm"
    with pytest.raises(ConfigError) as caught:
        load_workflow(path, files=True)
    expected = f"{path}:4: functions[0].run: cannot read `{tmp_path / 'f.wasm'}`: no such file or directory"
    assert str(caught.value) == expected


def test_signers_are_keys_or_files_beside_the_workflow(tmp_path: Path) -> None:
    key = "A" * 43 + "="
    path = write(tmp_path, f"name: a\nfunctions: []\nrequire_signed: true\ntrusted_signers: ['{key}', key.pub]")
    assert load_workflow(path).trusted_signers == (key, str(tmp_path / "key.pub"))


# ---- tokens ----


@pytest.mark.parametrize(
    "auth",
    [
        "z-SECRET-token",
        "[z-SECRET-token]",
        "{type: z-SECRET-token}",
        "{type: token, token: 'SECRET:with a colon'}",
        "{type: token, token: [SECRET]}",
        "{type: token, tokens: SECRET}",
        "{type: token, tokens: {cam-1: 'a SECRET'}}",
        "{type: token, token: SECRET, tokens: {cam-1: x, local-ada: SECRET}}",
        "{token: SECRET}",
    ],
)
def test_what_may_be_a_token_is_never_shown(auth: str) -> None:
    check = check_content(f"name: a\nfunctions: []\nauth: {auth}\n".encode(), base=Path("/"))
    assert check.errors
    assert "SECRET" not in repr(check) + "".join(map(str, check.findings))


def test_tokens_of_a_loaded_workflow_are_hidden_in_its_representation() -> None:
    text = b"name: a\nfunctions: []\nauth: {type: token, token: z-token, tokens: {cam-1: y-token}}\n"
    workflow = check_content(text, base=Path("/")).workflow
    assert workflow is not None
    assert workflow.auth.by_name() == {"default": "z-token", "cam-1": "y-token"}
    assert "z-token" not in f"{workflow!r} {workflow.auth}"
    assert "y-token" not in f"{workflow!r} {workflow.auth}"
