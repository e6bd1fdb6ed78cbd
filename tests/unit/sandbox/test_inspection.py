from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from nearfield.errors import GuestInvalid
from nearfield.inference.tensorflow_runtime import is_installed
from nearfield.sandbox import Limits, inspect_guest
from nearfield.sandbox.hostcalls.wasmedge_tensorflow_a import NOTE
from tests.unit.sandbox.kit import ECHO, write


def test_a_guest_that_would_run_is_described_whole(tmp_path: Path) -> None:
    report = inspect_guest(write(tmp_path, ECHO))
    assert (report.abi, report.why_not, report.would_run) == ("nearfield-v1", None, True)
    assert report.abis_tried[0] == ("nearfield-v1", None)
    assert ("wasmedge-bindgen-0.4", "no export `allocate`") in report.abis_tried
    assert (report.memory_min_pages, report.memory_max_pages) == (2, None)
    assert report.imports[6].name == "emit"
    assert report.imports[6].signature == "(i32, i32, i32) -> i32"
    assert {entry.satisfied_by for entry in report.imports} == {"nearfield_v1"}
    assert [(entry.name, entry.signature) for entry in report.exports] == [
        ("memory", "memory of at least 2"),
        ("nearfield_handle", "() -> i32"),
    ]
    assert report.size_bytes == len((tmp_path / "guest.wasm").read_bytes())
    assert len(report.sha256) == 64
    assert json.loads(json.dumps(dataclasses.asdict(report)))["abi"] == "nearfield-v1"


def test_a_missing_import_is_one_reason_not_to_run(tmp_path: Path) -> None:
    report = inspect_guest(
        write(tmp_path, ECHO.replace("(module", '(module (import "elsewhere" "magic" (func (param i32)))', 1))
    )
    assert not report.would_run
    assert report.imports[0].satisfied_by is None
    assert report.imports[0].why_not == "no such module"
    assert report.why_not == "import `elsewhere.magic`: no such module"


def test_functions_that_only_refuse_are_marked(tmp_path: Path) -> None:
    report = inspect_guest(
        write(
            tmp_path,
            """(module
            (import "wasi_snapshot_preview1" "sock_accept" (func (param i32) (result i32)))
            (import "wasmedge_tensorflow" "run_session" (func (param i32) (result i32))))""",
        )
    )
    assert [entry.satisfied_by for entry in report.imports] == [
        "wasi_snapshot_preview1 (answers with an errno)",
        f"wasmedge_tensorflow ({NOTE})",
    ]


def test_it_says_whether_tensorflow_is_there() -> None:
    expected = "the extra `tensorflow` is installed" if is_installed() else "pip install 'nearfield[tensorflow]'"
    assert expected in NOTE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(module)", "no known guest ABI fits"),
        (
            '(module (func (export "yomo_handler")))',
            "looks like yomo, but does not fit: no export `yomo_observe_datatags`",
        ),
        (
            '(module (func (export "_start")))',
            "looks like wasi-command, but does not fit: no exported memory named `memory`",
        ),
    ],
)
def test_a_module_of_another_kind_is_named(tmp_path: Path, text: str, reason: str) -> None:
    report = inspect_guest(write(tmp_path, text))
    assert (report.abi, report.would_run) == (None, False)
    assert report.why_not is not None and report.why_not.startswith(reason)


def test_a_declared_minimum_above_the_limit_is_a_reason(tmp_path: Path) -> None:
    report = inspect_guest(write(tmp_path, ECHO), Limits(memory_bytes=65536))
    assert report.why_not == "export `memory`: got at least 131072 bytes, expected at most 65536 bytes"


def test_nothing_of_the_module_runs(tmp_path: Path) -> None:
    looping = (
        ECHO.replace("(module", "(module (start $spin) (func $spin (loop (br 0)))", 1)
        .replace("(func $spin (loop (br 0)))", "", 1)
        .replace("(memory (export", "(func $spin (loop (br 0))) (memory (export", 1)
    )
    assert inspect_guest(write(tmp_path, looping)).would_run


def test_what_is_no_module_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.wasm"
    path.write_text("(module)")
    with pytest.raises(GuestInvalid, match=r"text.wasm: content: got WebAssembly text"):
        inspect_guest(path)


@pytest.mark.parametrize(
    ("imported", "grant"),
    [
        ('"env" "yomo_http_send" (func (param i32 i32 i32 i32) (result i32))', ("http_hosts",)),
        ('"wasi_snapshot_preview1" "environ_get" (func (param i32 i32) (result i32))', ("environment",)),
        ('"nearfield_v1" "frame_tag" (func (result i32))', ()),
    ],
)
def test_grants_that_it_could_use_are_named(tmp_path: Path, imported: str, grant: tuple[str, ...]) -> None:
    assert inspect_guest(write(tmp_path, f"(module (import {imported}))")).could_use == grant
