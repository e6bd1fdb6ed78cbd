"""Files in granted directories, function by function; whole programs are in tests/conformance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from struct import pack, unpack

import pytest

from nearfield.errors import ConfigError
from nearfield.inference import ModelStore
from nearfield.sandbox import Directory, Grants, Limits
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi, wasi_files
from nearfield.sandbox.hostcalls import wasi_types as w
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.sandbox.kit import FRAME, host_with, open_descriptors

READABLE, WRITABLE = 3, 4
READ = w.RIGHT_READ | w.RIGHT_READDIR
WRITE = w.RIGHT_WRITE


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("outside")
    for name in ("data", "out"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "text").write_text("0123456789")
    return tmp_path / "data"


@pytest.fixture
def out(data: Path) -> Path:
    return data.parent / "out"


@pytest.fixture
def host(models: ModelStore, data: Path, out: Path) -> Iterator[Host]:
    grants = Grants(directories=(Directory(data, "/data"), Directory(out, "/out", write=True)))
    host = host_with(models, grants=grants, limits=Limits(files=6, output_bytes=1000))
    yield host
    host.close()


def place(host: Host, path: str | bytes) -> tuple[int, int]:
    """The path in memory."""
    content = path if isinstance(path, bytes) else path.encode()
    host.memory.write(5000, content)
    return 5000, len(content)


def opened(host: Host, path: str, directory: int = READABLE, how: int = 0, rights: int = READ, flags: int = 0) -> int:
    """The number of a file."""
    errno = wasi_files.path_open(host, directory, 1, *place(host, path), how, rights, 0, flags, 8)
    assert errno == w.SUCCESS
    return host.memory.read_u32(8)


def refusal(host: Host, path: str | bytes, directory: int = READABLE, how: int = 0, rights: int = READ) -> int:
    """The errno of an open that fails."""
    host.memory.write_u32(8, 77)
    errno = wasi_files.path_open(host, directory, 1, *place(host, path), how, rights, 0, 0, 8)
    assert host.memory.read_u32(8) == 77
    return errno


def read(host: Host, fd: int, *lengths: int) -> bytes:
    """What is read into buffers of these lengths, one after the other from 1000 on."""
    host.memory.write(0, bytes(2000))
    at = 1000
    for index, length in enumerate(lengths):
        host.memory.write(100 + 8 * index, pack("<II", at, length))
        at += length
    assert wasi.fd_read(host, fd, 100, len(lengths), 8) == w.SUCCESS
    return host.memory.read(1000, host.memory.read_u32(8))


def write(host: Host, fd: int, content: bytes) -> int:
    host.memory.write(1000, content)
    host.memory.write(100, pack("<II", 1000, len(content)))
    return wasi.fd_write(host, fd, 100, 1, 8)


def size_of(host: Host, fd: int) -> int:
    assert wasi.fd_filestat_get(host, fd, 200) == w.SUCCESS
    size: int = unpack("<Q", host.memory.read(232, 8))[0]
    return size


# Granted directories --------------------------------------------------------------------------------------------------


def test_granted_directories_have_names_and_numbers(host: Host) -> None:
    names = []
    for fd in (READABLE, WRITABLE):
        assert wasi_files.prestat_get(host, fd, 0) == w.SUCCESS
        kind, length = unpack("<II", host.memory.read(0, 8))
        assert kind == 0
        assert wasi_files.prestat_dir_name(host, fd, 100, length) == w.SUCCESS
        names.append(host.memory.read(100, length))
    assert names == [b"/data", b"/out"]
    assert wasi_files.prestat_get(host, 5, 0) == w.BADF
    assert wasi_files.prestat_dir_name(host, READABLE, 100, 4) == w.NAMETOOLONG


def test_without_a_grant_there_is_nothing_to_open(models: ModelStore) -> None:
    host = host_with(models)
    assert wasi_files.prestat_get(host, 3, 0) == w.BADF
    for fd in (0, 1, 2, 3, 2**32 - 1):
        assert refusal(host, "text", fd) == w.BADF


@pytest.mark.parametrize("name", ["none", "text"])
def test_a_directory_that_is_none_is_refused_when_the_guest_is_loaded(
    models: ModelStore, data: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"granted directory `.*`: cannot be opened: N"):
        host_with(models, grants=Grants(directories=(Directory(data / name, "/data"),)))


def test_rights_tell_a_readable_directory_from_a_writable_one(host: Host) -> None:
    rights = []
    for fd in (READABLE, WRITABLE):
        assert wasi.fd_fdstat_get(host, fd, 0) == w.SUCCESS
        kind, base = unpack("<B7xQ", host.memory.read(0, 16))
        assert kind == w.DIRECTORY
        rights.append(base)
    assert [bool(right & w.RIGHT_WRITE) for right in rights] == [False, True]
    assert all(right & w.RIGHT_READ for right in rights)


# Reading --------------------------------------------------------------------------------------------------------------


def test_a_file_is_read_through_several_buffers_and_to_its_end(host: Host) -> None:
    fd = opened(host, "text")
    assert read(host, fd, 3, 0, 4) == b"0123456"
    assert read(host, fd, 100) == b"789"
    assert read(host, fd, 100) == b""


def test_places_in_a_file(host: Host) -> None:
    fd = opened(host, "text")
    assert wasi.fd_seek(host, fd, 2**64 - 4, 2, 16) == w.SUCCESS
    assert host.memory.read_u32(16) == 6
    assert wasi_files.tell(host, fd, 24) == w.SUCCESS
    assert host.memory.read_u32(24) == 6
    assert read(host, fd, 2) == b"67"
    assert wasi.fd_seek(host, fd, 2**64 - 1, 0, 16) == w.INVAL
    assert wasi.fd_seek(host, fd, 0, 3, 16) == w.INVAL
    host.memory.write(100, pack("<II", 1000, 4))
    assert wasi_files.pread(host, fd, 100, 1, 3, 8) == w.SUCCESS
    assert host.memory.read(1000, 4) == b"3456"
    assert wasi_files.pread(host, fd, 100, 1, 2**63, 8) == w.INVAL
    assert read(host, fd, 2) == b"89"


def test_what_has_no_place_in_memory_is_not_read(host: Host) -> None:
    fd = opened(host, "text")
    host.memory.write(100, pack("<IIII", 1000, 4, 65530, 10))
    with pytest.raises(OutOfBounds):
        wasi.fd_read(host, fd, 100, 2, 8)
    assert read(host, fd, 4) == b"0123"


def test_metadata(host: Host, data: Path) -> None:
    assert size_of(host, opened(host, "text")) == 10
    assert wasi_files.path_filestat_get(host, READABLE, 1, *place(host, "folder"), 200) == w.SUCCESS
    _, inode, kind = unpack("<QQB", host.memory.read(200, 17))
    assert (inode, kind) == ((data / "folder").stat().st_ino, w.DIRECTORY)
    assert wasi_files.path_filestat_get(host, READABLE, 1, *place(host, "none"), 200) == w.NOENT


def entries(host: Host, fd: int, room: int = 4096) -> list[tuple[bytes, int]]:
    """All of a directory, in portions of `room` bytes."""
    found: list[tuple[bytes, int]] = []
    cookie = 0
    while True:
        assert wasi_files.readdir(host, fd, 10_000, room, cookie, 8) == w.SUCCESS
        used, at = host.memory.read_u32(8), 0
        content = host.memory.read(10_000, used)
        while at + w.DIRENT.size <= used:
            after, _, length, kind = w.DIRENT.unpack_from(content, at)
            at += w.DIRENT.size
            if at + length > used:
                break
            found.append((content[at : at + length], kind))
            at += length
            cookie = after
        if used < room:
            return found


@pytest.mark.parametrize("room", [64, 100, 4096])
def test_a_directory_is_listed_in_portions_of_any_size(host: Host, data: Path, room: int) -> None:
    for number in range(20):
        (data / f"file{number:02}").touch()
    (data / "zlink").symlink_to("text")
    (data / "bad\nname").touch()
    expected = [(b".", w.DIRECTORY), (b"..", w.DIRECTORY)]
    expected += [(b"file%02d" % number, w.REGULAR_FILE) for number in range(20)]
    expected += [(b"folder", w.DIRECTORY), (b"text", w.REGULAR_FILE), (b"zlink", w.SYMBOLIC_LINK)]
    assert entries(host, READABLE, room) == expected
    assert entries(host, opened(host, ".", how=w.OFLAG_DIRECTORY), room) == expected


@pytest.mark.parametrize(
    ("path", "errno"),
    [
        ("../secret", w.NOTCAPABLE),
        ("folder/../../secret", w.NOTCAPABLE),
        ("/etc/passwd", w.NOTCAPABLE),
        ("out-link", w.NOTCAPABLE),
        ("none", w.NOENT),
        ("text/x", w.NOTDIR),
        ("", w.NOENT),
        (b"te\0xt", w.INVAL),
        (b"\xff", w.ILSEQ),
        ("x" * 5000, w.NAMETOOLONG),
        ("pipe", w.NOTCAPABLE),
    ],
)
def test_what_cannot_be_opened_has_its_errno(host: Host, data: Path, path: str | bytes, errno: int) -> None:
    (data / "out-link").symlink_to("../secret")
    os.mkfifo(data / "pipe")
    assert refusal(host, path) == errno
    assert len(host.files) == 2


def test_a_link_is_not_followed_unless_asked_for(host: Host, data: Path) -> None:
    (data / "link").symlink_to("text")
    assert wasi_files.path_open(host, READABLE, 0, *place(host, "link"), 0, READ, 0, 0, 8) == w.LOOP
    assert read(host, opened(host, "link"), 4) == b"0123"


def test_a_link_that_leads_out_is_not_even_read(host: Host, data: Path) -> None:
    (data / "inner").symlink_to("text")
    (data / "outer").symlink_to("/etc/passwd")
    assert wasi_files.path_readlink(host, READABLE, *place(host, "inner"), 1000, 3, 8) == w.SUCCESS
    assert host.memory.read(1000, host.memory.read_u32(8)) == b"tex"
    assert wasi_files.path_readlink(host, READABLE, *place(host, "outer"), 1000, 100, 8) == w.NOTCAPABLE


# Writing --------------------------------------------------------------------------------------------------------------


def test_nothing_in_a_readable_directory_can_be_changed(host: Host, data: Path) -> None:
    for how, rights in ((0, WRITE), (w.OFLAG_CREATE, READ), (w.OFLAG_TRUNCATE, READ), (0, READ | w.RIGHT_SET_SIZE)):
        assert refusal(host, "text", how=how, rights=rights) == w.ROFS
    text, new = (5000, 4), (5000, 4)
    place(host, "text")
    assert wasi_files.path_unlink_file(host, READABLE, *text) == w.ROFS
    assert wasi_files.path_create_directory(host, READABLE, *new) == w.ROFS
    assert wasi_files.path_remove_directory(host, READABLE, *text) == w.ROFS
    assert wasi_files.path_rename(host, READABLE, *text, WRITABLE, *new) == w.ROFS
    assert wasi_files.path_rename(host, WRITABLE, *text, READABLE, *new) == w.ROFS
    assert wasi_files.path_filestat_set_times(host, READABLE, 0, *text, 0, 0, w.SET_MTIME_NOW) == w.ROFS
    fd = opened(host, "text")
    assert write(host, fd, b"x") == w.BADF
    assert wasi_files.filestat_set_size(host, fd, 0) == w.BADF
    assert wasi_files.filestat_set_times(host, fd, 0, 0, w.SET_MTIME) == w.ROFS
    folder = opened(host, "folder")
    assert refusal(host, "new", folder, how=w.OFLAG_CREATE) == w.ROFS
    assert (data / "text").read_text() == "0123456789"
    assert sorted(path.name for path in data.iterdir()) == ["folder", "text"]


def test_a_writable_directory_can_be_written(host: Host, out: Path) -> None:
    fd = opened(host, "folder/new", WRITABLE, w.OFLAG_CREATE | w.OFLAG_EXCLUSIVE, READ | WRITE)
    assert write(host, fd, b"some text") == w.SUCCESS
    assert host.memory.read_u32(8) == 9
    host.memory.write(100, pack("<II", 1000, 4))
    assert wasi_files.pwrite(host, fd, 100, 1, 5, 8) == w.SUCCESS
    assert wasi_files.filestat_set_size(host, fd, 7) == w.SUCCESS
    assert wasi_files.sync(host, fd) == w.SUCCESS
    assert (out / "folder/new").read_text() == "some so"
    assert refusal(host, "folder/new", WRITABLE, w.OFLAG_CREATE | w.OFLAG_EXCLUSIVE) == 20
    appending = opened(host, "text", WRITABLE, rights=WRITE, flags=w.FDFLAG_APPEND)
    assert write(host, appending, b"!") == w.SUCCESS
    assert (out / "text").read_text() == "0123456789!"


def test_entries_are_made_moved_and_removed(host: Host, out: Path) -> None:
    assert wasi_files.path_create_directory(host, WRITABLE, *place(host, "made")) == w.SUCCESS
    host.memory.write(6000, b"made/text")
    assert wasi_files.path_rename(host, WRITABLE, *place(host, "text"), WRITABLE, 6000, 9) == w.SUCCESS
    assert (out / "made/text").exists()
    assert wasi_files.path_remove_directory(host, WRITABLE, *place(host, "made")) == 55
    assert wasi_files.path_unlink_file(host, WRITABLE, *place(host, "made/text")) == w.SUCCESS
    assert wasi_files.path_remove_directory(host, WRITABLE, *place(host, "made")) == w.SUCCESS
    assert [path.name for path in out.iterdir()] == ["folder"]


@pytest.mark.parametrize("path", ["../secret", "folder/../../secret", "..", "/etc/passwd", "link/secret"])
def test_nothing_outside_is_made_moved_or_removed(host: Host, out: Path, path: str) -> None:
    (out / "link").symlink_to("..")
    outside = out.parent
    before = sorted(path.name for path in outside.iterdir())
    at = place(host, path)
    assert wasi_files.path_unlink_file(host, WRITABLE, *at) != w.SUCCESS
    assert wasi_files.path_remove_directory(host, WRITABLE, *at) != w.SUCCESS
    assert wasi_files.path_create_directory(host, WRITABLE, *at) != w.SUCCESS
    assert wasi_files.path_filestat_set_times(host, WRITABLE, 1, *at, 0, 0, w.SET_MTIME) != w.SUCCESS
    assert refusal(host, path, WRITABLE, w.OFLAG_CREATE, READ | WRITE) == w.NOTCAPABLE
    host.memory.write(6000, b"text")
    assert wasi_files.path_rename(host, WRITABLE, 6000, 4, WRITABLE, *at) != w.SUCCESS
    assert wasi_files.path_rename(host, WRITABLE, *at, WRITABLE, 6000, 4) != w.SUCCESS
    assert sorted(path.name for path in outside.iterdir()) == before
    assert (outside / "secret").read_text() == "outside"


def test_links_are_never_made(host: Host) -> None:
    assert wasi_files.path_no_link(host, WRITABLE, 1, 5000, 4, WRITABLE, 5000, 4) == w.NOTSUP


def test_one_call_writes_no_more_than_it_may_emit(host: Host, out: Path) -> None:
    fd = opened(host, "text", WRITABLE, rights=READ | WRITE)
    assert write(host, fd, bytes(900)) == w.SUCCESS
    assert write(host, fd, bytes(101)) == w.DQUOT
    assert wasi_files.filestat_set_size(host, fd, 2000) == w.DQUOT
    assert write(host, fd, bytes(100)) == w.SUCCESS
    host.begin(FRAME)
    assert write(host, fd, bytes(100)) == w.SUCCESS
    assert (out / "text").stat().st_size == 1100


def test_times_are_set_where_they_may_be(host: Host, out: Path) -> None:
    fd = opened(host, "text", WRITABLE, rights=WRITE)
    assert wasi_files.filestat_set_times(host, fd, 5, 7_000_000_000, w.SET_MTIME) == w.SUCCESS
    assert (out / "text").stat().st_mtime_ns == 7_000_000_000
    assert wasi_files.path_filestat_set_times(host, WRITABLE, 0, *place(host, "text"), 3, 0, w.SET_ATIME) == w.SUCCESS
    assert (out / "text").stat().st_atime_ns == 3
    assert wasi_files.filestat_set_times(host, fd, 0, 0, w.SET_ATIME | w.SET_ATIME_NOW) == w.INVAL


# Numbers --------------------------------------------------------------------------------------------------------------


def test_files_end_at_their_limit_and_a_closed_one_makes_room(host: Host) -> None:
    numbers = [opened(host, "text") for _ in range(4)]
    assert refusal(host, "text") == w.MFILE
    assert host.call.logs()[-1].text == "wasi: path_open: all 6 files are open; close some, or raise `files`"
    assert wasi.fd_close(host, numbers[0]) == w.SUCCESS
    assert wasi.fd_close(host, numbers[0]) == w.BADF
    again = opened(host, "text")
    assert again not in numbers


def test_a_number_can_be_moved(host: Host) -> None:
    one, two = opened(host, "text"), opened(host, "folder")
    assert wasi_files.renumber(host, one, two) == w.SUCCESS
    assert wasi.fd_filestat_get(host, one, 200) == w.BADF
    assert read(host, two, 2) == b"01"
    assert wasi_files.renumber(host, two, two) == w.SUCCESS
    assert wasi_files.renumber(host, two, 99) == w.BADF


def test_the_next_instance_finds_the_granted_directories_only(host: Host) -> None:
    before = open_descriptors()
    fd = opened(host, "text")
    wasi.fd_close(host, READABLE)
    assert refusal(host, "text") == w.BADF
    host.end_instance()
    host.memory = host_with(host.models).memory
    assert open_descriptors() == before
    assert wasi.fd_filestat_get(host, fd, 200) == w.BADF
    assert read(host, opened(host, "text"), 2) == b"01"


def test_a_closed_host_holds_no_descriptors(models: ModelStore, data: Path) -> None:
    before = open_descriptors()
    host = host_with(models, grants=Grants(directories=(Directory(data, "/data"),)))
    opened(host, "text")
    host.close()
    host.close()
    assert open_descriptors() == before
