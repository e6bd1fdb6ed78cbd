from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
import wasmtime

from nearfield.sandbox import cache as cache_module
from nearfield.sandbox.cache import Cached, CompileCache
from nearfield.sandbox.engine import engine
from tests.unit.sandbox.kit import ECHO

HASH, OTHER_HASH = "a" * 64, "b" * 64


@pytest.fixture
def code() -> bytes:
    return bytes(wasmtime.Module(engine(), wasmtime.wat2wasm(ECHO)).serialize())


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def cache(directory: Path) -> CompileCache:
    opened = CompileCache.open(directory)
    assert opened is not None
    return opened


def only_file(directory: Path) -> Path:
    (path,) = directory.glob("*.cwasm")
    return path


def names(cached: Cached | None) -> list[str]:
    assert cached is not None
    return [export.name for export in cached.module.exports]


def test_a_stored_module_is_loaded(cache: CompileCache, code: bytes) -> None:
    assert cache.load(HASH) is None
    cache.store(HASH, code)
    assert names(cache.load(HASH)) == ["memory", "nearfield_handle"]
    assert cache.load(OTHER_HASH) is None


def test_another_process_of_this_user_loads_it_too(cache: CompileCache, code: bytes, directory: Path) -> None:
    cache.store(HASH, code)
    again = CompileCache.open(directory)
    assert again is not None and again.load(HASH) is not None


def test_directory_and_files_are_this_users_alone(cache: CompileCache, code: bytes, directory: Path) -> None:
    cache.store(HASH, code)
    assert oct(directory.stat().st_mode & 0o777) == "0o700"
    assert {oct(path.stat().st_mode & 0o777) for path in directory.iterdir()} == {"0o600"}
    assert sorted(path.suffix for path in directory.iterdir()) == ["", ".cwasm"]


@pytest.mark.parametrize("position", [0, 31, 32, 100, -1])
def test_one_flipped_bit_is_never_loaded(
    cache: CompileCache, code: bytes, directory: Path, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache.store(HASH, code)
    path = only_file(directory)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert cache.load(HASH) is None
    assert "its content has changed" in caplog.text
    assert not path.exists()


@pytest.mark.parametrize("keep", [0, 10, 32, 1000])
def test_a_torn_file_is_never_loaded(cache: CompileCache, code: bytes, directory: Path, keep: int) -> None:
    cache.store(HASH, code)
    path = only_file(directory)
    path.write_bytes(path.read_bytes()[:keep])
    assert cache.load(HASH) is None


def test_a_file_renamed_to_another_modules_name_is_not_loaded(
    cache: CompileCache, code: bytes, directory: Path
) -> None:
    cache.store(HASH, code)
    mine = only_file(directory)
    cache.store(OTHER_HASH, code)
    (other,) = set(directory.glob("*.cwasm")) - {mine}
    other.replace(mine)
    assert cache.load(HASH) is None


def test_a_file_from_another_cache_is_not_loaded(
    tmp_path: Path, cache: CompileCache, code: bytes, directory: Path
) -> None:
    foreign_directory = tmp_path / "foreign"
    foreign = CompileCache.open(foreign_directory)
    assert foreign is not None
    foreign.store(HASH, code)
    foreign_file = only_file(foreign_directory)
    foreign_file.replace(directory / foreign_file.name)
    assert cache.load(HASH) is None


def test_a_file_that_others_may_write_is_not_loaded(cache: CompileCache, code: bytes, directory: Path) -> None:
    cache.store(HASH, code)
    only_file(directory).chmod(0o666)
    assert cache.load(HASH) is None


def test_a_link_is_not_followed(cache: CompileCache, code: bytes, directory: Path, tmp_path: Path) -> None:
    cache.store(HASH, code)
    path = only_file(directory)
    moved = tmp_path / "moved"
    path.replace(moved)
    path.symlink_to(moved)
    assert cache.load(HASH) is None


def test_other_engine_settings_are_another_key(
    cache: CompileCache, code: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store(HASH, code)
    monkeypatch.setattr(cache_module, "fingerprint", lambda: "another engine")
    assert cache.load(HASH) is None


def test_code_that_wasmtime_refuses_is_compiled_again(cache: CompileCache, directory: Path) -> None:
    cache.store(HASH, b"not code")
    assert only_file(directory).exists()
    assert cache.load(HASH) is None


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_a_directory_open_to_others_is_not_used(directory: Path, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    directory.mkdir()
    directory.chmod(mode)
    assert CompileCache.open(directory) is None
    assert f"is not used: its mode is {mode:04o}" in caplog.text


def test_a_link_to_a_directory_is_not_used(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / "real")
    assert CompileCache.open(directory) is None


def test_a_file_in_place_of_the_directory_is_not_used(directory: Path) -> None:
    directory.write_text("")
    assert CompileCache.open(directory) is None


def test_a_damaged_key_is_not_used(cache: CompileCache, directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    (directory / "key").write_bytes(b"short")
    assert CompileCache.open(directory) is None
    assert "key: got 5 bytes, expected 32; delete it" in caplog.text


def test_a_full_disk_only_costs_the_cache(
    cache: CompileCache,
    code: bytes,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module, "_write_new", full)
    cache.store(HASH, code)
    assert "could not be kept" in caplog.text
    assert list(directory.glob("*.cwasm*")) == []


def test_the_oldest_files_go_first(
    cache: CompileCache, code: bytes, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "_MOST_FILES", 2)
    for age, name in enumerate("abc"):
        cache.store(name * 64, code)
        for path in directory.glob("*.cwasm"):
            if path.stat().st_mtime > 1000:
                os.utime(path, (age, age))
    assert cache.load("a" * 64) is None
    assert cache.load("c" * 64) is not None
    assert len(list(directory.glob("*.cwasm"))) == 2
