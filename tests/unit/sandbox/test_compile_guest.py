"""Compiling through the cache."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from nearfield.sandbox import compile_guest
from nearfield.sandbox import module as module_module
from nearfield.sandbox.cache import CompileCache
from tests.unit.sandbox.bombs import padded
from tests.unit.sandbox.kit import ECHO, write

# Three of these start at the same time; each compilation leaves one character in a file.
WORKER = """
import sys
from pathlib import Path
from nearfield.sandbox import compile_guest, module

def counting(*arguments, compile_code=module.compile_code):
    with open(sys.argv[3], "a") as file:
        file.write("x")
    return compile_code(*arguments)

module.compile_code = counting
print("ready", flush=True)
sys.stdin.readline()
print(compile_guest(Path(sys.argv[1]), cache_dir=Path(sys.argv[2])).source)
"""


def test_the_second_time_it_comes_from_the_cache(tmp_path: Path) -> None:
    path, cache = write(tmp_path, ECHO), tmp_path / "cache"
    first, second = (compile_guest(path, cache_dir=cache) for _ in range(2))
    assert (first.source, second.source) == ("compiled", "cache")
    assert (first.sha256, first.code(), first.cache_key) == (second.sha256, second.code(), second.cache_key)
    assert (cache / f"{first.cache_key}.cwasm").exists()


def test_processes_that_start_together_compile_once(tmp_path: Path) -> None:
    path, cache, count = tmp_path / "guest.wasm", tmp_path / "cache", tmp_path / "count"
    path.write_bytes(padded(20_000))
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), str(cache), str(count)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for worker in workers:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    said = sorted(worker.communicate(timeout=60)[0] for worker in workers)
    assert said == ["cache\n", "cache\n", "compiled\n"]
    assert count.read_text() == "x"


def test_a_cache_that_cannot_be_locked_is_used_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, cache = write(tmp_path, ECHO), tmp_path / "cache"
    compiled = compile_guest(path, cache_dir=cache)
    (cache / f"{compiled.cache_key}.cwasm").unlink()
    lock = cache / f"lock-{compiled.cache_key[:2]}"
    lock.unlink()
    lock.mkdir()
    assert compile_guest(path, cache_dir=cache).source == "compiled"
    assert "cannot be locked: Is a directory" in caplog.text.replace("[Errno 21] ", "")


def test_one_flipped_byte_anywhere_means_compiling_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, cache = write(tmp_path, ECHO), tmp_path / "cache"
    compiled = compile_guest(path, cache_dir=cache)
    file = cache / f"{compiled.cache_key}.cwasm"
    content = file.read_bytes()
    monkeypatch.setattr(
        module_module.Module, "deserialize_file", lambda *_: pytest.fail("code was loaded from the damaged file")
    )
    numbers = random.Random(2)
    for position in [
        *range(32),
        *(numbers.randrange(len(content)) for _ in range(100)),
        *range(len(content) - 32, len(content)),
    ]:
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        file.write_bytes(flipped)
        assert compile_guest(path, cache_dir=cache).source == "compiled"


def test_the_key_depends_on_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CompileCache.key_of("a" * 64)
    monkeypatch.setattr("nearfield.sandbox.cache.fingerprint", lambda: "another engine")
    assert CompileCache.key_of("a" * 64) != before
