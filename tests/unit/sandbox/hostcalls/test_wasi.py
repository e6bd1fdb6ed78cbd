from __future__ import annotations

import time
from struct import pack, unpack

import pytest

from nearfield.errors import GuestExited, GuestOutputExceeded, GuestTimeout
from nearfield.inference import ModelStore
from nearfield.sandbox import Grants, Invocation
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi
from nearfield.sandbox.invocation import LogLine
from nearfield.sandbox.memory import OutOfBounds
from nearfield.sandbox.process import Process
from nearfield.sandbox.shape import Extern, ImportShape
from nearfield.sandbox.signature import Signature
from tests.unit.sandbox.kit import FRAME, host_with

ALL = 2**32 - 1


def vectors(host: Host, *texts: bytes) -> tuple[int, int]:
    """Texts from 1000 on, their vectors at 0."""
    at = 1000
    for index, text in enumerate(texts):
        host.memory.write(at, text)
        host.memory.write(index * 8, pack("<II", at, len(text)))
        at += len(text)
    return 0, len(texts)


def test_there_are_no_arguments_and_no_environment(host: Host) -> None:
    for sizes_get, get in ((wasi.args_sizes_get, wasi.args_get), (wasi.environ_sizes_get, wasi.environ_get)):
        host.memory.write(0, b"\xff" * 8)
        assert sizes_get(host, 0, 4) == wasi.SUCCESS
        assert host.memory.read(0, 8) == bytes(8)
        assert get(host, 0, 4) == wasi.SUCCESS
        assert host.memory.read(0, 8) == bytes(8)


def test_granted_variables_are_the_environment(models: ModelStore) -> None:
    host = host_with(models, grants=Grants(environment={"A": "1", "LONG_NAME": "ü = x"}))
    assert wasi.environ_sizes_get(host, 0, 4) == wasi.SUCCESS
    content = b"A=1\0" + "LONG_NAME=ü = x".encode() + b"\0"
    assert unpack("<II", host.memory.read(0, 8)) == (2, len(content))
    assert wasi.environ_get(host, 0, 100) == wasi.SUCCESS
    assert unpack("<II", host.memory.read(0, 8)) == (100, 104)
    assert host.memory.read(100, len(content)) == content


def test_clocks_are_as_coarse_as_granted(models: ModelStore) -> None:
    host = host_with(models, grants=Grants(clock_resolution_ns=10**8))
    assert wasi.clock_res_get(host, wasi.REALTIME, 0) == wasi.SUCCESS
    assert wasi.clock_time_get(host, wasi.REALTIME, 0, 8) == wasi.SUCCESS
    assert wasi.clock_time_get(host, wasi.MONOTONIC, 0, 16) == wasi.SUCCESS
    resolution, wall_ns, monotonic_ns = unpack("<QQQ", host.memory.read(0, 24))
    assert (resolution, wall_ns % 10**8, monotonic_ns % 10**8) == (10**8, 0, 0)
    assert wall_ns > 0


def test_seeded_random_bytes_are_the_same_for_the_same_frame_only(models: ModelStore) -> None:
    def taken(seed: int, frame: Invocation | None) -> bytes:
        host = host_with(models, size=2 * 65536, grants=Grants(random_seed=seed))
        host.begin(frame)
        assert wasi.random_get(host, 0, 16) == wasi.SUCCESS
        assert wasi.random_get(host, 16, 70_000) == wasi.SUCCESS
        return host.memory.read(0, 70_016)

    other = Invocation(FRAME.tag, FRAME.payload, FRAME.origin, FRAME.sequence + 1, FRAME.captured_ns)
    first = taken(1, FRAME)
    assert first == taken(1, FRAME)
    assert len({first, taken(2, FRAME), taken(1, other), taken(1, None)}) == 4
    assert first[:16] != first[16:32]


def test_real_random_bytes_differ(host: Host) -> None:
    wasi.random_get(host, 0, 16)
    wasi.random_get(host, 16, 16)
    assert host.memory.read(0, 16) != host.memory.read(16, 16)


def test_clocks_run(host: Host) -> None:
    before_ns = time.time_ns()
    assert wasi.clock_time_get(host, wasi.REALTIME, 1, 0) == wasi.SUCCESS
    assert wasi.clock_time_get(host, wasi.MONOTONIC, 1, 8) == wasi.SUCCESS
    wall_ns, monotonic_ns = unpack("<QQ", host.memory.read(0, 16))
    assert before_ns <= wall_ns <= time.time_ns()
    assert monotonic_ns <= time.monotonic_ns()
    assert wasi.clock_res_get(host, wasi.REALTIME, 0) == wasi.SUCCESS


@pytest.mark.parametrize("clock", [2, 3, ALL])
def test_other_clocks_do_not_exist(host: Host, clock: int) -> None:
    assert wasi.clock_time_get(host, clock, 1, 0) == wasi.INVAL
    assert wasi.clock_res_get(host, clock, 0) == wasi.INVAL


def test_random_bytes_fill_the_whole_buffer(host: Host) -> None:
    assert wasi.random_get(host, 0, 65536) == wasi.SUCCESS
    assert len(set(host.memory.read(65536 - 64, 64))) > 1


def test_random_bytes_outside_memory_are_refused_before_they_are_made(host: Host) -> None:
    with pytest.raises(OutOfBounds):
        wasi.random_get(host, 1, ALL)


def test_stdout_and_stderr_become_log_lines(host: Host) -> None:
    assert wasi.fd_write(host, 1, *vectors(host, b"hel", b"lo\nwor", b"ld\n"), 900) == wasi.SUCCESS
    assert host.memory.read_u32(900) == 12
    assert wasi.fd_write(host, 2, *vectors(host, b"oops"), 900) == wasi.SUCCESS
    assert host.call.logs() == (LogLine(1, "hello"), LogLine(1, "world"), LogLine(2, "oops"))


def test_a_large_write_is_short(host: Host) -> None:
    assert wasi.fd_write(host, 1, *vectors(host, b"x" * 20_000, b"y" * 20_000), 900) == wasi.SUCCESS
    assert host.memory.read_u32(900) == 16 * 1024


@pytest.mark.parametrize("fd", [0, 3, ALL])
def test_other_descriptors_cannot_be_written(host: Host, fd: int) -> None:
    assert wasi.fd_write(host, fd, 0, 0, 900) == wasi.BADF


def test_too_many_vectors_are_refused(host: Host) -> None:
    assert wasi.fd_write(host, 1, 0, 1025, 900) == wasi.INVAL


def test_stdin_is_empty(host: Host) -> None:
    host.memory.write_u32(900, 7)
    assert wasi.fd_read(host, 0, 0, 1, 900) == wasi.SUCCESS
    assert host.memory.read_u32(900) == 0
    assert wasi.fd_read(host, 3, 0, 1, 900) == wasi.BADF


@pytest.mark.parametrize(("fd", "rights"), [(0, 2), (1, 64), (2, 64)])
def test_the_standard_streams_look_like_a_terminal(host: Host, fd: int, rights: int) -> None:
    assert wasi.fd_fdstat_get(host, fd, 0) == wasi.SUCCESS
    assert unpack("<BxHxxxxQQ", host.memory.read(0, 24)) == (2, 0, rights, 0)
    assert wasi.fd_filestat_get(host, fd, 100) == wasi.SUCCESS
    assert host.memory.read(116, 1) == b"\2"
    assert wasi.fd_seek(host, fd, 0, 0, 0) == wasi.SPIPE
    assert wasi.fd_close(host, fd) == wasi.SUCCESS


@pytest.mark.parametrize("fd", [3, ALL])
def test_nothing_else_is_open(host: Host, fd: int) -> None:
    assert wasi.fd_fdstat_get(host, fd, 0) == wasi.BADF
    assert wasi.fd_filestat_get(host, fd, 0) == wasi.BADF
    assert wasi.fd_seek(host, fd, 0, 0, 0) == wasi.BADF
    assert wasi.fd_close(host, fd) == wasi.BADF


def test_exit_carries_its_status(host: Host) -> None:
    with pytest.raises(GuestExited, match="status 3"):
        wasi.proc_exit(host, 3)


def subscribe(host: Host, *clocks: tuple[int, int, int]) -> tuple[int, int]:
    """(user data, timeout in ns, flags) each, on the monotonic clock, at 0."""
    for index, (user_data, timeout_ns, flags) in enumerate(clocks):
        content = pack("<QBxxxxxxxIxxxxQQHxxxxxx", user_data, 0, wasi.MONOTONIC, timeout_ns, 0, flags)
        host.memory.write(index * 48, content)
    return 0, len(clocks)


def test_sleeping_ends_with_the_first_clock(host: Host) -> None:
    pointer, count = subscribe(host, (7, 10**18, 0), (8, 1000, 0))
    assert wasi.poll_oneoff(host, pointer, 1000, count, 900) == wasi.SUCCESS
    assert host.memory.read_u32(900) == 1
    assert unpack("<QHB", host.memory.read(1000, 11)) == (8, 0, 0)


def test_an_absolute_time_in_the_past_is_due_at_once(host: Host) -> None:
    pointer, count = subscribe(host, (7, 1, 1))
    assert wasi.poll_oneoff(host, pointer, 1000, count, 900) == wasi.SUCCESS


def test_sleeping_never_goes_beyond_the_deadline(host: Host) -> None:
    host.call.ends_at_s = time.monotonic() + 0.01
    pointer, count = subscribe(host, (7, 2**64 - 1, 0))
    with pytest.raises(GuestTimeout):
        wasi.poll_oneoff(host, pointer, 1000, count, 900)


def test_waiting_for_files_is_not_offered(host: Host) -> None:
    host.memory.write(8, b"\1")
    assert wasi.poll_oneoff(host, 0, 1000, 1, 900) == wasi.NOTSUP


@pytest.mark.parametrize("count", [0, 17, ALL])
def test_a_senseless_number_of_subscriptions_is_refused(host: Host, count: int) -> None:
    assert wasi.poll_oneoff(host, 0, 1000, count, 900) == wasi.INVAL


def entry(name: str, text: str = "i32 i64 -> i32", module: str = wasi.MODULE) -> ImportShape:
    return ImportShape(module, name, Extern("function", Signature.of(text)))


@pytest.mark.parametrize(
    ("name", "errno"),
    [
        ("fd_from_the_future", wasi.BADF),
        ("sock_accept", wasi.BADF),
        ("proc_raise", wasi.NOSYS),
        ("from_the_future", wasi.NOSYS),
    ],
)
def test_every_other_function_answers_with_an_errno_and_a_line(host: Host, name: str, errno: int) -> None:
    stand_in = wasi.stand_in(entry(name))
    assert stand_in is not None
    assert stand_in.body(host, 1, 2) == errno
    assert host.call.logs() == (LogLine(0, f"wasi: `{name}` is not offered"),)


@pytest.mark.parametrize(
    "wanted",
    [
        entry("fd_write", "i32 -> i32"),
        entry("anything", "i32 -> i64"),
        entry("anything", "f32 -> i32"),
        entry("anything", "->"),
        entry("anything", module="env"),
        ImportShape(wasi.MODULE, "anything", Extern("memory", None, 1)),
    ],
)
def test_nothing_stands_in_for_what_has_no_errno(wanted: ImportShape) -> None:
    assert wasi.stand_in(wanted) is None


# As a command ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def process(host: Host) -> Process:
    host.call.process = Process(("grüß", "two"), b"abcdefgh", 10)
    return host.call.process


def test_arguments_end_with_a_zero_byte_each(host: Host, process: Process) -> None:
    assert wasi.args_sizes_get(host, 0, 4) == wasi.SUCCESS
    assert unpack("<II", host.memory.read(0, 8)) == (2, 11)
    assert wasi.args_get(host, 8, 100) == wasi.SUCCESS
    assert unpack("<II", host.memory.read(8, 8)) == (100, 107)
    assert host.memory.read(100, 11) == "grüß\0two\0".encode()


def test_standard_input_is_scattered_over_the_vectors(host: Host, process: Process) -> None:
    host.memory.write(0, pack("<IIIIII", 200, 3, 300, 0, 400, 2))
    assert wasi.fd_read(host, 0, 0, 3, 900) == wasi.SUCCESS
    assert host.memory.read_u32(900) == 5
    assert (host.memory.read(200, 3), host.memory.read(400, 2)) == (b"abc", b"de")
    assert wasi.fd_read(host, 0, 0, 1, 900) == wasi.SUCCESS
    assert wasi.fd_read(host, 0, 0, 1, 900) == wasi.SUCCESS
    assert host.memory.read_u32(900) == 0


def test_standard_input_is_empty_for_guests_that_are_no_commands(host: Host) -> None:
    host.memory.write(0, pack("<II", 200, 3))
    assert wasi.fd_read(host, 0, 0, 1, 900) == wasi.SUCCESS
    assert host.memory.read_u32(900) == 0
    assert wasi.fd_read(host, 1, 0, 1, 900) == wasi.BADF
    assert wasi.fd_read(host, 0, 0, 1025, 900) == wasi.INVAL


def test_standard_output_is_kept_and_standard_error_logged(host: Host, process: Process) -> None:
    wasi.fd_write(host, 1, *vectors(host, b"re", b"sult"), 900)
    wasi.fd_write(host, 2, *vectors(host, b"why\n"), 900)
    assert process.stdout == b"result"
    assert process.last_words() == "why"
    assert host.call.logs() == (LogLine(2, "why"),)
    with pytest.raises(GuestOutputExceeded):
        wasi.fd_write(host, 1, *vectors(host, b"12345"), 900)


def test_streams_have_no_flags_to_set(host: Host) -> None:
    assert [wasi.fd_fdstat_set_flags(host, fd, 4) for fd in (0, 2, 3)] == [wasi.NOTSUP, wasi.NOTSUP, wasi.BADF]


def test_the_exit_status_is_kept_until_it_is_taken(host: Host) -> None:
    with pytest.raises(GuestExited) as caught:
        wasi.proc_exit(host, 3)
    host.call.stop(caught.value)
    assert host.call.take_exit() == 3
    assert (host.call.take_exit(), host.call.stopped) == (None, None)
