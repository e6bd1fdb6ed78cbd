"""Everything the workflow says about a function reaches its worker through the options of `nearfield run`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from nearfield.cli.app import Commands
from nearfield.config import FunctionConfig, ModelConfig, SandboxConfig, parse_duration, parse_size
from nearfield.supervise import worker_command
from nearfield.transport import Identity

MODELS = {
    "parts": ModelConfig(path=Path("/m/a=b.tflite"), labels=Path("/m/a.txt"), threads=3),
    "other": ModelConfig(path=Path("/m/b")),
}
IDENTITY = Identity(Path("/c/ca.pem"), Path("/c/one.pem"), Path("/c/one.key"))


def parsed(
    function: FunctionConfig, models: dict[str, ModelConfig], identity: Identity | None = None
) -> dict[str, Any]:
    """What `nearfield run` makes of the command line."""
    command = worker_command(function, models, zipper="127.0.0.1:9900", namespace="plant", identity=identity)
    assert command[:4] == [sys.executable, "-m", "nearfield", "run"]
    run = Commands().get_command(None, "run")
    params: dict[str, Any] = run.make_context("run", command[4:]).params
    return params


def test_every_setting_of_a_guest_reaches_its_worker() -> None:
    sandbox = SandboxConfig(
        instance="worker",
        deadline_s=0.0002,
        memory_bytes=128 * 2**20,
        table_elements=7,
        output_bytes=1_000,
        emitted_frames=9,
        log_lines=11,
        module_bytes=13_000,
        handles=15,
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
    assert (params["ca"], params["certificate"], params["key"]) == (
        IDENTITY.ca_pem_path,
        IDENTITY.certificate_path,
        IDENTITY.key_path,
    )
    assert params["instance"] == "worker"
    assert parse_duration(params["deadline"]) == 0.0002
    assert parse_size(params["memory"]) == 128 * 2**20
    assert [params["max_table"], parse_size(params["max_output"]), params["max_emitted"]] == [7, 1_000, 9]
    assert [params["max_log_lines"], parse_size(params["max_module"]), params["max_handles"]] == [11, 13_000, 15]


@pytest.mark.parametrize(("named", "given"), [(None, ["parts", "other"]), ((), []), (("other",), ["other"])])
def test_function_gets_the_models_it_names_or_all(named: tuple[str, ...] | None, given: list[str]) -> None:
    params = parsed(FunctionConfig(name="detect", run=Path("/g/detect.wasm"), models=named), MODELS)
    assert [text.split("=")[0] for text in params["model"] or []] == given


@pytest.mark.parametrize("deadline_s", [1e-9, 0.001, 0.5, 1.0, 90.0, 86_400.0, 1_234_567.891])
def test_deadline_reaches_the_worker_to_the_nanosecond(deadline_s: float) -> None:
    sandbox = SandboxConfig(deadline_s=deadline_s)
    params = parsed(FunctionConfig(name="detect", run=Path("/g/detect.wasm"), sandbox=sandbox), {})
    assert parse_duration(params["deadline"]) == pytest.approx(deadline_s, abs=1e-9)


def test_program_gets_no_sandbox_and_no_models() -> None:
    command = worker_command(
        FunctionConfig(name="detect", run=Path("/g/detect.py")), MODELS, zipper="a:1", namespace="plant", identity=None
    )
    assert not {"--deadline", "--model", "--ca"} & set(command)
