"""The state directory: where it is, who may use it, how files in it are replaced and read."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from nearfield.errors import CertificateError
from nearfield.transport.state_directory import StateDirectory, read_private, refuse_shared_key, write_private


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NEARFIELD_STATE_DIR": "/a", "XDG_STATE_HOME": "/x", "HOME": "/h"}, "/a"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/nearfield"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/nearfield"),
        ({"NEARFIELD_STATE_DIR": "", "HOME": "/h"}, "/h/.local/state/nearfield"),
    ],
)
def test_first_variable_that_is_set_decides(environ: dict[str, str], expected: str) -> None:
    assert StateDirectory.from_environment(environ).path == Path(expected)


def test_relative_choice_becomes_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert StateDirectory.from_environment({"NEARFIELD_STATE_DIR": "state"}).path == tmp_path / "state"


def test_directories_are_made_for_the_owner_only(tmp_path: Path) -> None:
    made = StateDirectory(tmp_path / "deep" / "state").ensure("certificates")
    assert made == tmp_path / "deep" / "state" / "certificates"
    assert (mode_of(made), mode_of(made.parent)) == (0o700, 0o700)


def test_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(CertificateError) as caught:
        StateDirectory(shared).ensure()
    assert str(caught.value) == (
        f"{shared}: others may write to it: got mode 0777, expected 0700; run `chmod 700 {shared}`"
    )
    assert caught.value.exit_code == 2


def test_directory_of_someone_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(CertificateError, match="owned by someone else; set NEARFIELD_STATE_DIR"):
        StateDirectory(tmp_path / "state").ensure()


def test_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CertificateError, match=f"cannot make `{tmp_path}/file/state`: file exists; set NEARFIELD"):
        StateDirectory(tmp_path / "file" / "state").ensure()


def test_lock_held_elsewhere_ends_in_an_error(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    with (
        state.locked(),
        pytest.raises(CertificateError, match=r"`.*/lock` was held by another process for 0 s"),
        state.locked(timeout_s=0.0),
    ):
        pass


def test_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    with pytest.raises(ZeroDivisionError), state.locked():
        raise ZeroDivisionError
    with state.locked(timeout_s=0.0):
        pass


def test_lock_keeps_threads_apart(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    inside: list[int] = []
    overlaps: list[int] = []

    def work(number: int) -> None:
        for _ in range(5):
            with state.locked():
                inside.append(number)
                if len(inside) > 1:
                    overlaps.append(number)
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == []


def test_private_file_is_the_owners_only_and_leaves_no_partial_behind(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"old")
    write_private(path, b"new")
    assert read_private(path) == b"new"
    assert mode_of(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_partial_of_a_dead_process_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".key.{os.getpid()}.partial").write_bytes(b"half")
    write_private(tmp_path / "key", b"whole")
    assert (tmp_path / "key").read_bytes() == b"whole"


def test_write_into_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"cannot write `.*/no/key`: no such file or directory"):
        write_private(tmp_path / "no" / "key", b"")


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_key_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(mode)
    with pytest.raises(CertificateError) as caught:
        read_private(path)
    assert str(caught.value) == (
        f"{path}: the key can be used by others: got mode {mode:04o}, expected 0600; run `chmod 600 {path}`"
    )
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("name", "reason"), [("absent", "no such file or directory"), (".", "is a directory")])
def test_unreadable_key_is_named(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(CertificateError, match=f"cannot read the key: {reason}"):
        read_private(tmp_path / name)


@pytest.mark.parametrize(
    ("mode", "owner", "user", "problem"),
    [
        (0o600, 7, 7, None),
        (0o400, 7, 7, None),
        (0o640, 7, 7, "mode 0640, expected 0600"),
        (0o600, 0, 7, None),
        (0o640, 0, 7, None),
        (0o660, 0, 7, "mode 0660, expected 0640 or less"),
        (0o644, 0, 7, "mode 0644, expected 0640 or less"),
        (0o644, 0, 0, "mode 0644, expected 0600"),
        (0o600, 8, 7, "owned by someone else, expected yourself or root"),
        (0o600, 8, 0, "owned by someone else, expected yourself or root"),
    ],
)
def test_key_may_be_ours_alone_or_roots(mode: int, owner: int, user: int, problem: str | None) -> None:
    if problem is None:
        refuse_shared_key(Path("key"), mode=mode, owner=owner, user=user)
    else:
        with pytest.raises(CertificateError, match=problem):
            refuse_shared_key(Path("key"), mode=mode, owner=owner, user=user)
