"""Files that change, on a real disk; looks take the place of time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nearfield.supervise import FileWatch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "code.wasm"
    path.write_bytes(b"one")
    return path


def following(*paths: Path) -> FileWatch:
    watch = FileWatch()
    watch.follow(paths)
    return watch


def replace(path: Path, content: bytes) -> None:
    partial = path.with_name("partial")
    partial.write_bytes(content)
    partial.replace(path)


def test_nothing_is_seen_where_nothing_changes(file: Path) -> None:
    watch = following(file)
    assert [watch.look() for _ in range(3)] == [False] * 3


def test_replaced_file_is_seen_once_it_is_at_rest(file: Path) -> None:
    watch = following(file)
    replace(file, b"two")
    assert [watch.look() for _ in range(4)] == [False, True, False, False]


def test_file_that_is_still_written_is_waited_for(file: Path) -> None:
    watch = following(file)
    seen = []
    with file.open("ab") as writing:
        for _ in range(3):
            writing.write(b"more")
            writing.flush()
            seen.append(watch.look())
    assert [*seen, watch.look(), watch.look()] == [False, False, False, True, False]


def test_file_that_is_gone_for_the_moment_is_waited_for(file: Path) -> None:
    watch = following(file)
    file.unlink()
    assert [watch.look() for _ in range(3)] == [False] * 3
    file.write_bytes(b"two")
    assert [watch.look(), watch.look()] == [False, True]


def test_same_size_and_another_time_is_a_change(file: Path) -> None:
    watch = following(file)
    os.utime(file, ns=(1, 1))
    assert [watch.look(), watch.look()] == [False, True]


def test_change_from_before_a_file_was_followed_is_none_and_one_from_before_it_was_followed_again_is(
    file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    replace(file, b"two")
    watch = following(file)
    assert [watch.look(), watch.look()] == [False, False]
    replace(file, b"three")
    watch.follow([file, other])
    assert [watch.look(), watch.look()] == [False, True]
    other.write_bytes(b"it comes")
    assert [watch.look(), watch.look()] == [False, True]


def test_file_that_is_followed_no_more_is_not_seen(file: Path, tmp_path: Path) -> None:
    watch = following(file)
    watch.follow([tmp_path / "other"])
    replace(file, b"two")
    assert [watch.look(), watch.look()] == [False, False]
