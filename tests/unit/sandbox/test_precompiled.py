"""Files of compiled code: never executed unless allowed, unchanged, and for this engine."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from nearfield.errors import GuestInvalid
from nearfield.inference import ModelStore
from nearfield.sandbox import Emission, Guest, compile_guest
from nearfield.sandbox import module as module_module
from nearfield.sandbox.module import Module
from nearfield.sandbox.precompiled import Damaged, Precompiled
from tests.unit.sandbox.kit import ECHO, FRAME, write


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "guest.precompiled"
    path.write_bytes(compile_guest(write(tmp_path, ECHO)).precompiled())
    return path


@pytest.fixture
def nothing_runs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it a failure to load any code."""
    monkeypatch.setattr(Module, "deserialize", lambda *_: pytest.fail("code was loaded"))


def test_what_is_written_is_read() -> None:
    written = Precompiled("engine ü; settings", "ab" * 32, b"code")
    assert Precompiled.decode(written.encode()) == written


def test_an_allowed_file_runs_without_its_module(file: Path, tmp_path: Path) -> None:
    source = compile_guest(tmp_path / "guest.wasm")
    (tmp_path / "guest.wasm").unlink()
    compiled = compile_guest(file, allow_precompiled=True)
    assert (compiled.source, compiled.sha256) == ("precompiled", source.sha256)
    guest = Guest.load(compiled, name="f", models=ModelStore({}))
    assert guest.handle(FRAME).emissions == (Emission(0x11, FRAME.payload),)


@pytest.mark.usefixtures("nothing_runs")
def test_a_file_is_refused_unless_it_is_allowed_in_so_many_words(file: Path) -> None:
    with pytest.raises(GuestInvalid, match="precompiled file: not allowed, because loading compiled code is running"):
        compile_guest(file)
    with pytest.raises(GuestInvalid, match="give --allow-precompiled if you compiled this file yourself"):
        Guest.load(file, name="f", models=ModelStore({}))


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize(
    ("found", "message"),
    [
        ("wasmtime 49.0.0; a=1", r"got code for wasmtime 49\.0\.0, expected wasmtime"),
        (None, r"got code for wasmtime [0-9.]+ with other settings \(epoch_interruption=False\)"),
    ],
)
def test_code_for_another_engine_is_always_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, found: str | None, message: str
) -> None:
    ours = module_module.fingerprint()
    monkeypatch.setattr(
        module_module,
        "fingerprint",
        lambda: ours.replace("epoch_interruption=False", "epoch_interruption=True"),
    )
    other = found or ours.replace("epoch_interruption=True", "epoch_interruption=False")
    content = Precompiled.decode(file.read_bytes())
    file.write_bytes(Precompiled(other, content.source_sha256, content.code).encode())
    with pytest.raises(GuestInvalid, match=message):
        compile_guest(file, allow_precompiled=True)


def positions(size: int) -> list[int]:
    """All of the header, and places all over the rest, the ends included."""
    numbers = random.Random(1)
    return [*range(76), *(numbers.randrange(size) for _ in range(300)), size - 1]


@pytest.mark.usefixtures("nothing_runs")
def test_no_file_with_one_flipped_byte_is_ever_loaded(file: Path) -> None:
    content = file.read_bytes()
    for position in positions(len(content)):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        file.write_bytes(flipped)
        with pytest.raises(GuestInvalid):
            compile_guest(file, allow_precompiled=True)


@pytest.mark.usefixtures("nothing_runs")
@pytest.mark.parametrize("keep", [8, 75, 76, 500, -1])
def test_no_torn_file_is_ever_loaded(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(GuestInvalid, match="precompiled file: it"):
        compile_guest(file, allow_precompiled=True)


def test_bytes_after_the_end_are_damage() -> None:
    with pytest.raises(Damaged, match="has changed"):
        Precompiled.decode(Precompiled("engine", "ab" * 32, b"code").encode() + b"x")


def test_wasmtimes_own_files_are_refused_even_when_allowed(tmp_path: Path) -> None:
    path = tmp_path / "guest.cwasm"
    path.write_bytes(compile_guest(write(tmp_path, ECHO)).code())
    with pytest.raises(GuestInvalid, match="got a native ELF program"):
        compile_guest(path, allow_precompiled=True)
