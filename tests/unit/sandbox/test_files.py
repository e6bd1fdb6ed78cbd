from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfield.sandbox.files import Files
from nearfield.sandbox.grants import Directory


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    (tmp_path / "outer").mkdir()
    (tmp_path / "inner").mkdir()
    files = Files([Directory(tmp_path / "outer", "/data"), Directory(tmp_path / "inner", "/data/in")], 8)
    yield files
    files.close()


@pytest.mark.parametrize(
    ("path", "directory", "rest"),
    [
        ("/data", "outer", "."),
        ("/data/m", "outer", "m"),
        ("data/m", "outer", "m"),
        ("//data/./a//b/", "outer", "a/b"),
        ("/data/in", "inner", "."),
        ("/data/in/m", "inner", "m"),
        ("/data/inn/m", "outer", "inn/m"),
        ("/data/../../etc", "outer", "../../etc"),  # which `open_beneath` refuses
    ],
)
def test_a_path_belongs_to_the_innermost_granted_directory(
    files: Files, tmp_path: Path, path: str, directory: str, rest: str
) -> None:
    located = files.locate(path)
    assert located is not None
    assert os.fstat(located[0]).st_ino == (tmp_path / directory).stat().st_ino
    assert located[1] == rest


@pytest.mark.parametrize("path", ["", "/", ".", "..", "/etc", "/dat", "/database", "/x/../data"])
def test_other_paths_belong_nowhere(files: Files, path: str) -> None:
    assert files.locate(path) is None


def test_it_belongs_there_also_after_the_guest_gave_its_number_away(files: Files) -> None:
    files.forget(3)
    assert files.locate("/data/m") is not None
