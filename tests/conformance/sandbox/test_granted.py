"""What a real program, built with Rust's standard library, makes of its grants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nearfield.inference import ModelStore
from nearfield.sandbox import Directory, Grants, Guest, Invocation
from nearfield.sandbox.hostcalls import wasi_types as w
from tests.unit.sandbox.kit import ROOT, open_descriptors

Obey = Callable[..., list[str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    (directory / "folder/inner").mkdir(parents=True)
    (directory / "parts.txt").write_text("bolt nut")
    (tmp_path / "secret").write_text("secret")
    return directory


@pytest.fixture
def obey() -> Iterator[Obey]:
    loaded: list[Guest] = []

    def run(grants: Grants, *orders: str) -> list[str]:
        path = ROOT / "guests/wasi-files/wasi-files.wasm"
        guest = Guest.load(path, name="files", models=ModelStore({}), grants=grants, result_tag=0x11)
        loaded.append(guest)
        (emission,) = guest.handle(Invocation(0x10, "\n".join(orders).encode(), "cam", 1, 0)).emissions
        return emission.payload.decode().splitlines()

    yield run
    for guest in loaded:
        guest.close()


def test_without_grants_there_is_nothing(obey: Obey) -> None:
    said = obey(Grants(), "env HOME", "read /etc/passwd", "list /", "write /x y")
    assert said[0] == "unset"
    assert all(line.startswith("error: ") for line in said[1:])


def test_a_readable_directory_is_read(obey: Obey, data: Path) -> None:
    said = obey(
        Grants(directories=(Directory(data, "/data"),)),
        "read /data/parts.txt",
        "size /data/parts.txt",
        "seek /data/parts.txt 3",
        "list /data",
        "list /data/folder",
        "read /data/folder/../parts.txt",
    )
    assert said == ["bolt nut", "8", "nut", "folder/ parts.txt", "inner/", "bolt nut"]


def test_a_readable_directory_cannot_be_changed_nor_left(obey: Obey, data: Path) -> None:
    (data / "link").symlink_to("../secret")
    said = obey(
        Grants(directories=(Directory(data, "/data"),)),
        "write /data/new text",
        "append /data/parts.txt !",
        "mkdir /data/new",
        "remove /data/parts.txt",
        "rename /data/parts.txt /data/x",
        "read /data/../secret",
        "read /data/link",
        "read /secret",
    )
    assert said[:5] == [f"error: Some({w.ROFS})"] * 5
    assert all(line.startswith("error: ") for line in said[5:])
    assert (data / "parts.txt").read_text() == "bolt nut"


def test_a_writable_directory_is_changed(obey: Obey, data: Path) -> None:
    said = obey(
        Grants(directories=(Directory(data, "/out", write=True),)),
        "mkdir /out/made",
        "write /out/made/text one",
        "append /out/made/text  two",
        "rename /out/made/text /out/made/other",
        "list /out/made",
        "remove /out/parts.txt",
        "rmdir /out/folder/inner",
    )
    assert said == ["made", "written", "appended", "renamed", "other", "removed", "removed"]
    assert (data / "made/other").read_text() == "one two"
    assert not (data / "parts.txt").exists()


def test_granted_variables_are_seen_and_ours_are_not(obey: Obey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "secret")
    assert obey(Grants(environment={"LINE": "3"}), "env LINE", "env OURS") == ["3", "unset"]


def test_files_are_closed_with_the_instance(obey: Obey, data: Path) -> None:
    path = ROOT / "guests/wasi-files/wasi-files.wasm"
    grants = Grants(directories=(Directory(data, "/data"),))
    guest = Guest.load(path, name="files", models=ModelStore({}), grants=grants, result_tag=0x11)
    before = open_descriptors()
    for number in range(20):
        guest.handle(Invocation(0x10, b"read /data/parts.txt\nlist /data", "cam", number, 0))
    assert open_descriptors() == before
    guest.close()
    assert open_descriptors() < before
