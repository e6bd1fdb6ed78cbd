"""Compilation bombs, and where they go off."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nearfield.errors import GuestInvalid, InternalError
from nearfield.inference import ModelStore
from nearfield.sandbox import Guest, Limits
from nearfield.sandbox import compiler as compiler_module
from nearfield.sandbox.compiler import MOST_BYTES_HERE, Refused, compile_code
from tests.unit.sandbox.bombs import many_locals, nested_ifs, padded
from tests.unit.sandbox.kit import load


def test_a_small_module_is_compiled_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert compile_code(padded(100), "here", Limits())


def test_a_larger_module_is_compiled_elsewhere_to_the_same_code() -> None:
    data = padded(MOST_BYTES_HERE)
    assert len(data) > MOST_BYTES_HERE
    assert compile_code(data, "here", Limits())[:4] == b"\x7fELF"


@pytest.mark.parametrize("size", [10, 5000])
def test_what_is_not_valid_is_refused_with_wasmtimes_reason(size: int) -> None:
    with pytest.raises(Refused, match="malformed section id"):
        compile_code(padded(size) + b"\xff", "here", Limits())


def test_a_bomb_that_takes_time_is_ended_by_the_clock() -> None:
    with pytest.raises(GuestInvalid, match=r"^here: compile: took longer than 0\.5 s; raise `compile_time`"):
        compile_code(many_locals(5000), "here", Limits(compile_s=0.5))


def test_a_bomb_that_takes_memory_is_ended_by_its_limit() -> None:
    with pytest.raises(GuestInvalid, match=r"compile: the compiler .*, with 200 MiB of memory to use; raise"):
        compile_code(nested_ifs(3000), "here", Limits(compile_memory_bytes=200 * 2**20))


def test_a_bomb_refuses_the_guest_and_leaves_nothing_in_the_cache(tmp_path: Path) -> None:
    path = tmp_path / "bomb.wasm"
    path.write_bytes(many_locals(5000))
    with pytest.raises(GuestInvalid, match=r"^function `f`: .*bomb\.wasm: compile: took longer than 0\.5 s"):
        Guest.load(path, name="f", models=ModelStore({}), limits=Limits(compile_s=0.5), cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").glob("*.cwasm")) == []


def test_a_process_that_cannot_be_started_is_our_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiler_module.sys, "executable", str(tmp_path / "none"))
    with pytest.raises(InternalError, match="compile: no process could be started: No such file or directory"):
        compile_code(padded(5000), "here", Limits())


def test_a_guest_that_was_compiled_elsewhere_runs(tmp_path: Path) -> None:
    nops = "(nop)" * 3000
    guest = load(
        tmp_path,
        f'(module (memory (export "memory") 1) (func (export "nearfield_handle") (result i32) {nops} (i32.const 0)))',
    )
    assert guest.abi == "nearfield-v1"
