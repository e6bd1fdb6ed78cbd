"""Everything the workflow says about a function reaches its worker through the options of `nearfield run`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nearfield.cli.app import Commands
from nearfield.cli.emission_options import rules_of
from nearfield.cli.provenance_options import provenance_of
from nearfield.cli.sandbox_options import grants_of, limits_of, pictures_of
from nearfield.config import (
    BatchConfig,
    DirectoryConfig,
    FunctionConfig,
    GrantsConfig,
    ModelConfig,
    SandboxConfig,
    format_limits,
    parse_limits,
)
from nearfield.function import EmissionRules
from nearfield.media import Resampling
from nearfield.sandbox import Directory, Grants, Limits, PictureRules
from nearfield.signing import Provenance, PublicKey, SigningKey
from nearfield.supervise import worker_command, worker_environment
from nearfield.transport import Identity

MODELS = {
    "parts": ModelConfig(
        path=Path("/m/a=b.tflite"),
        labels=Path("/m/a.txt"),
        sha256="ab" * 32,
        backend="onnxruntime",
        device="auto",
        threads=3,
        batch=BatchConfig(max_frames=4, wait_s=0.0025),
    ),
    "other": ModelConfig(path=Path("/m/b")),
}
IDENTITY = Identity(Path("/c/ca.pem"), Path("/c/one.pem"), Path("/c/one.key"))


def parsed(
    function: FunctionConfig,
    models: dict[str, ModelConfig],
    identity: Identity | None = None,
    signers: Sequence[PublicKey] | None = None,
) -> dict[str, Any]:
    """What `nearfield run` makes of the command line."""
    command = worker_command(
        function, models, zipper="127.0.0.1:9900", namespace="plant", identity=identity, signers=signers
    )
    assert command[:4] == [sys.executable, "-m", "nearfield", "run"]
    run = Commands().get_command(None, "run")
    params: dict[str, Any] = run.make_context("run", command[4:]).params
    return params


@pytest.mark.parametrize("run", ["/g/detect.wasm", "/g/app.py:detect"])
def test_what_a_function_must_be_and_may_emit_reaches_its_worker(run: str) -> None:
    keys = [SigningKey.make().public for _ in range(2)]
    function = FunctionConfig(
        name="detect",
        emit=(18,),
        run=Path(run),
        sha256="cd" * 32,
        emit_kind="boxes",
        emit_bytes=100,
        emit_bytes_per_s=200,
    )
    params = parsed(function, MODELS, signers=keys)
    assert provenance_of(params["file_sha256"], params["trust"]) == Provenance("cd" * 32, frozenset(keys))
    rules = rules_of(*(params[name] for name in ("emit_kind", "emit_bytes", "emit_rate")), [18])
    assert rules == EmissionRules("boxes", 100, 200)


def test_a_function_without_either_may_be_and_emit_anything() -> None:
    params = parsed(FunctionConfig(name="detect", run=Path("/g/detect.wasm")), {})
    assert provenance_of(params["file_sha256"], params["trust"]) == Provenance()
    assert rules_of(params["emit_kind"], params["emit_bytes"], params["emit_rate"], []) is None


def test_every_setting_of_a_guest_reaches_its_worker() -> None:
    sandbox = SandboxConfig(
        instance="worker",
        deadline_s=0.0002,
        host_time_s=0.1,
        memory_bytes=128 * 2**20,
        table_elements=7,
        log_bytes_per_s=9,
        handles=15,
        picture_pixels=1000,
        pixels="smooth",
        exact_pixels=True,
        allow_precompiled=True,
        grants=GrantsConfig(
            environment={"TOKEN": "secret"},
            directories=(
                DirectoryConfig(host=Path("/srv/a=b"), guest="/data"),
                DirectoryConfig(host=Path("/srv/out"), guest="/out", write=True),
            ),
            clock_resolution_s=0.001,
            random_seed=3,
            http_hosts=("api.example.org", "[::1]:8080"),
        ),
    )
    function = FunctionConfig(
        name="detect", observe=(16, 17), emit=(18,), run=Path("/g/detect.wasm"), sandbox=sandbox, entry="go", credits=5
    )
    params = parsed(function, MODELS, IDENTITY)
    assert (params["target"], params["name"], params["zipper"]) == ("/g/detect.wasm", "detect", "127.0.0.1:9900")
    assert (params["namespace"], params["credits"], params["entry"]) == ("plant", 5, "go")
    assert (list(params["observe"]), list(params["emit"])) == (["0x10", "0x11"], ["0x12"])
    assert list(params["model"]) == ["parts=/m/a=b.tflite", "other=/m/b"]
    assert (list(params["labels"]), list(params["threads"])) == (["parts=/m/a.txt"], ["parts=3"])
    assert (list(params["sha256"]), list(params["backend"])) == ([f"parts={'ab' * 32}"], ["parts=onnxruntime"])
    assert (list(params["device"]), list(params["batch"])) == (["parts=auto"], ["parts=4:2.5ms"])
    assert (params["ca"], params["certificate"], params["key"]) == (
        IDENTITY.ca_pem_path,
        IDENTITY.certificate_path,
        IDENTITY.key_path,
    )
    assert params["instance"] == "worker"
    assert limits_of(params["deadline"], params["memory"], params["limit"]) == Limits(
        deadline_s=0.0002,
        host_time_s=0.1,
        memory_bytes=128 * 2**20,
        table_elements=7,
        log_bytes_per_s=9,
        handles=15,
        picture_pixels=1000,
    )
    assert pictures_of(params["pixels"], params["exact_pixels"]) == PictureRules(Resampling.SMOOTH, exact=True)
    environ = worker_environment(function)
    grants = grants_of(
        *(params[name] for name in ("env", "dir", "writable_dir", "clock_resolution", "random_seed", "http_host")),
        environ,
    )
    assert grants == Grants(
        environment={"TOKEN": "secret"},
        directories=(Directory(Path("/srv/a=b"), "/data"), Directory(Path("/srv/out"), "/out", write=True)),
        clock_resolution_ns=1_000_000,
        random_seed=3,
        http_hosts=("api.example.org", "[::1]:8080"),
    )
    assert environ == {}
    assert params["allow_precompiled"]


def test_what_a_guest_is_told_in_secret_is_no_argument() -> None:
    sandbox = SandboxConfig(grants=GrantsConfig(environment={"TOKEN": "secret"}))
    command = worker_command(
        FunctionConfig(name="f", run=Path("/g/f.wasm"), sandbox=sandbox), {}, zipper="a:1", namespace="n", identity=None
    )
    assert "secret" not in " ".join(command)


def test_a_default_sandbox_is_a_default_sandbox_for_the_worker() -> None:
    params = parsed(FunctionConfig(name="detect", run=Path("/g/detect.wasm")), {})
    assert limits_of(params["deadline"], params["memory"], params["limit"]) == Limits()
    assert grants_of(None, None, None, params["clock_resolution"], None, None, {}) == Grants()
    assert pictures_of(params["pixels"], params["exact_pixels"]) == PictureRules()
    assert not params["allow_precompiled"]


def test_every_limit_has_its_key_in_the_workflow() -> None:
    attributes = {field.name for field in dataclasses.fields(Limits)}
    assert attributes == set(parse_limits(format_limits(SandboxConfig(host_time_s=1.0))))


@pytest.mark.parametrize(("named", "given"), [(None, ["parts", "other"]), ((), []), (("other",), ["other"])])
def test_function_gets_the_models_it_names_or_all(named: tuple[str, ...] | None, given: list[str]) -> None:
    params = parsed(FunctionConfig(name="detect", run=Path("/g/detect.wasm"), models=named), MODELS)
    assert [text.split("=")[0] for text in params["model"] or []] == given


@pytest.mark.parametrize("deadline_s", [1e-9, 0.001, 0.5, 1.0, 90.0, 86_400.0, 1_234_567.891])
def test_deadline_reaches_the_worker_to_the_nanosecond(deadline_s: float) -> None:
    sandbox = SandboxConfig(deadline_s=deadline_s)
    params = parsed(FunctionConfig(name="detect", run=Path("/g/detect.wasm"), sandbox=sandbox), {})
    given = limits_of(params["deadline"], params["memory"], params["limit"])
    assert given.deadline_s == pytest.approx(deadline_s, abs=1e-9)


def test_program_gets_no_sandbox_and_no_models() -> None:
    command = worker_command(
        FunctionConfig(name="detect", run=Path("/g/detect.py")), MODELS, zipper="a:1", namespace="plant", identity=None
    )
    assert not {"--deadline", "--model", "--ca"} & set(command)
