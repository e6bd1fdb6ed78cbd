"""No path leads out of a granted directory, with the kernel's help and without."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfield.sandbox import beneath
from nearfield.sandbox.beneath import open_beneath, parent_beneath
from tests.unit.sandbox.kit import open_descriptors

SECRET = "not for guests"


@pytest.fixture(params=["openat2", "walk"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    way = str(request.param)
    if way == "walk":
        monkeypatch.setattr(beneath, "has_openat2", lambda: False)
    elif not beneath.has_openat2():
        pytest.skip("this kernel has no openat2")
    return way


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").write_text(SECRET)
    return tmp_path


@pytest.fixture
def inside(outside: Path) -> Path:
    directory = outside / "granted"
    (directory / "deep/deeper").mkdir(parents=True)
    (directory / "file").write_text("plain")
    (directory / "deep/file").write_text("deep")
    return directory


@pytest.fixture
def granted(inside: Path) -> Iterator[int]:
    descriptor = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def read(directory: int, path: str) -> str:
    with os.fdopen(open_beneath(directory, path, os.O_RDONLY)) as file:
        return file.read()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("file", "plain"),
        ("./file", "plain"),
        ("deep//file", "deep"),
        ("deep/../file", "plain"),
        ("deep/deeper/../../file", "plain"),
        ("deep/./deeper/../file", "deep"),
    ],
)
def test_paths_inside_lead_to_their_files(granted: int, path: str, text: str) -> None:
    assert read(granted, path) == text


@pytest.mark.parametrize(
    "path",
    ["../secret", "deep/../../secret", "/etc/passwd", "..", "../granted/file", "deep/deeper/../../../secret", "/"],
)
def test_paths_that_lead_out_are_refused(granted: int, path: str) -> None:
    with pytest.raises(OSError) as caught:
        open_beneath(granted, path, os.O_RDONLY)
    assert caught.value.errno == errno.EXDEV


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "../elsewhere/secret", "deep/../../secret"])
def test_links_that_lead_out_are_refused(inside: Path, granted: int, target: str) -> None:
    (inside / "link").symlink_to(target)
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT | os.O_TRUNC):
        with pytest.raises(OSError) as caught:
            open_beneath(granted, "link", flags, 0o600)
        assert caught.value.errno in (errno.EXDEV, errno.ELOOP)


def test_links_to_directories_outside_are_refused_on_the_way(inside: Path, granted: int) -> None:
    (inside / "link").symlink_to("../elsewhere")
    for path in ("link/secret", "link/../file", "deep/../link/secret"):
        with pytest.raises(OSError):
            open_beneath(granted, path, os.O_RDONLY)


def test_links_inside_are_followed_by_the_kernel_and_refused_without(inside: Path, granted: int, way: str) -> None:
    (inside / "link").symlink_to("deep/file")
    if way == "openat2":
        assert read(granted, "link") == "deep"
    else:
        with pytest.raises(OSError) as caught:
            read(granted, "link")
        assert caught.value.errno == errno.ELOOP


def test_magic_links_are_not_followed(inside: Path, granted: int) -> None:
    (inside / "link").symlink_to("/proc/self/root/etc/passwd")
    with pytest.raises(OSError):
        open_beneath(granted, "link", os.O_RDONLY)


@pytest.mark.parametrize(
    ("path", "number"),
    [("", errno.ENOENT), ("a\0b", errno.EINVAL), ("x" * 4096, errno.ENAMETOOLONG), ("x" * 300, errno.ENAMETOOLONG)],
)
def test_paths_that_are_none_are_refused(granted: int, path: str, number: int) -> None:
    with pytest.raises(OSError) as caught:
        open_beneath(granted, path, os.O_RDONLY)
    assert caught.value.errno == number


def test_a_file_is_made_inside(inside: Path, granted: int) -> None:
    os.close(open_beneath(granted, "deep/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    assert (inside / "deep/new").exists()


@pytest.mark.parametrize("path", ["..", ".", "/", "deep/..", "/file", ""])
def test_what_is_no_entry_has_no_parent(granted: int, path: str) -> None:
    with pytest.raises(OSError), parent_beneath(granted, path):
        pytest.fail("there was one")


@pytest.mark.parametrize("path", ["../secret", "deep/../../secret", "out/secret"])
def test_no_parent_is_outside(inside: Path, granted: int, path: str) -> None:
    (inside / "out").symlink_to("../elsewhere")
    with pytest.raises(OSError), parent_beneath(granted, path):
        pytest.fail("there was one")


def test_the_parent_of_an_entry_is_its_directory(inside: Path, granted: int) -> None:
    with parent_beneath(granted, "deep/../deep/file") as (parent, name):
        assert (os.fstat(parent).st_ino, name) == ((inside / "deep").stat().st_ino, "file")


def test_a_directory_that_turns_into_a_link_meanwhile_leads_nowhere(inside: Path, granted: int) -> None:
    """Another process swaps a directory and a link to outside while paths through it are opened."""
    (inside / "real").mkdir()
    (inside / "real/secret").write_text("plain")
    (inside / "link").symlink_to("../elsewhere")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            (inside / "real").rename(inside / "way")
            (inside / "way").rename(inside / "real")
            (inside / "link").rename(inside / "way")
            (inside / "way").rename(inside / "link")

    swapper = threading.Thread(target=swap)
    swapper.start()
    found = []
    try:
        for _ in range(3000):
            try:
                found.append(read(granted, "way/secret"))
            except OSError:
                continue
    finally:
        done.set()
        swapper.join()
    assert SECRET not in found


def test_no_descriptors_are_left_open(inside: Path, granted: int) -> None:
    before = open_descriptors()
    for path in ("file", "deep/../file", "../secret", "none/x", "deep/deeper/../../../secret"):
        try:
            os.close(open_beneath(granted, path, os.O_RDONLY))
        except OSError:
            continue
    assert open_descriptors() == before
