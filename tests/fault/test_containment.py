"""What a contained worker can still do, and what not: real processes, on whatever this kernel offers.

A measure that this kernel does not have is skipped by name; that it is then reported is tested in tests/unit.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nearfield import Source
from nearfield.containment import host_report
from nearfield.sandbox.written_pages import page_map
from tests.processes import PARTS, RECOGNISE, UPPERCASE, Commands, Node, children_of, is_alive, nearfield, poll

HOST = host_report()
needs_landlock = pytest.mark.skipif(HOST.landlock_abi is None, reason=f"Landlock: {HOST.landlock_why_not}")
needs_seccomp = pytest.mark.skipif(not HOST.seccomp, reason="no seccomp filters on this kernel")

# Applies containment for a guest, then tries what the names of the attempts say. Prints one JSON object: what came of
# each, "done" or the name of the error.
CHILD = """
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
from nearfield.containment import PythonInstallation, apply, plan_for_guest, seal
from nearfield.sandbox.written_pages import page_map
from nearfield.supervised import end_with_supervisor

end_with_supervisor()
pages = page_map()
touched = bytearray(1 << 20)
folder, port = Path(sys.argv[1]), int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)

def native(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)

def number(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), str(number))

def attempt(action):
    try:
        result = action()
    except OSError as error:
        return errno.errorcode[error.errno]
    except Exception as error:
        return type(error).__name__
    return result if isinstance(result, (str, int)) else "done"

def start_program():
    command = [sys.executable, "-c", "print(6 * 7)"]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

def in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(attempt((folder / "secret").read_text)))
    thread.start()
    thread.join()
    return found[0]

def connect(port):
    with socket.socket() as stream:
        stream.connect(("127.0.0.1", port))

def death_signal():
    got = ctypes.c_int()
    native("prctl", 2, ctypes.byref(got))
    return signal.Signals(got.value).name

pid, parent = os.getpid(), os.getppid()
report = apply(plan_for_guest(
    folder / "guest.wasm",
    models=[folder / "model.tflite"],
    certificates=[folder / "client.key"],
    writable=[folder / "modules"],
    tcp_ports=[port],
    python=PythonInstallation.current(),
    guest_memory_bytes=0, module_bytes=0, model_bytes=0,
    granted_readable=[folder / "data"],
    granted_writable=[folder / "out"],
))
tried = {"program before it is sealed": attempt(start_program)}
report = seal(report)
(folder / "modules" / "kept").write_text("1")
actions = {
    "read the guest": (folder / "guest.wasm").read_bytes,
    "read the model": (folder / "model.tflite").read_bytes,
    "read the own key": (folder / "client.key").read_bytes,
    "read granted data": (folder / "data" / "x").read_text,
    "change granted data": lambda: (folder / "data" / "x").write_text("y"),
    "make a granted directory": (folder / "out" / "new").mkdir,
    "tell which of its pages were written to": lambda: pages and str(bool(pages.written(id(touched), 8))),
    "import a module": lambda: __import__("mailbox"),
    "resolve a name": lambda: socket.getaddrinfo("localhost", 1),
    "keep compiled code": lambda: (folder / "modules" / "a").write_text("1"),
    "remove compiled code": (folder / "modules" / "kept").unlink,
    "make a directory in the cache": (folder / "modules" / "new").mkdir,
    "read a secret": (folder / "secret").read_text,
    "read a secret in a thread": in_a_thread,
    "read the authority's key": (folder / "ca.key").read_text,
    "read ssh keys": lambda: (Path.home() / ".ssh" / "id").read_text(),
    "list the home directory": lambda: os.listdir(Path.home()),
    "read the users of this machine": Path("/etc/passwd").read_text,
    "read passwords": Path("/etc/shadow").read_text,
    "read another's environment": Path(f"/proc/{parent}/environ").read_bytes,
    "write to /tmp": Path(f"/tmp/nearfield-contained-{pid}").touch,
    "write beside the guest": (folder / "new").touch,
    "change the guest": lambda: os.open(folder / "guest.wasm", os.O_WRONLY),
    "execute a program": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "execute from memory": lambda: os.execve(os.memfd_create("x"), ["x"], {}),
    "start a program": start_program,
    "fork": os.fork,
    "trace the parent": lambda: native("ptrace", 16, parent, None, None),
    "mount": lambda: native("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "make a namespace": lambda: native("unshare", 0x10000000),
    "make a ring": lambda: number(425, 1, ctypes.create_string_buffer(128)),
    "signal the parent": lambda: os.kill(parent, 0),
    "signal itself": lambda: os.kill(pid, 0),
    "limit the parent": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
    "read raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "reach daemons": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).close(),
    "a pair of sockets": lambda: [each.close() for each in socket.socketpair()],
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(("127.0.0.1", 0)),
    "listen on tcp": lambda: socket.socket().bind(("127.0.0.1", 0)),
    "connect to the zipper": lambda: connect(port),
    "connect elsewhere": lambda: connect(port + 1),
    "a thread": lambda: threading.Thread(target=int).start(),
    "reserve 64 GiB": lambda: reserve(64 << 30),
    "fill 4 GiB": lambda: bytearray(4 << 30),
    "open many files": lambda: [os.open("/dev/null", os.O_RDONLY) for _ in range(600)],
    "raise a limit": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096)),
    "death signal": death_signal,
}

def reserve(size):
    import mmap
    reserved = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | 0x4000, prot=0)
    reserved.close()

for name, action in actions.items():
    tried[name] = attempt(action)
print(json.dumps({"tried": tried, "report": str(report), "core": resource.getrlimit(resource.RLIMIT_CORE)}))
"""

ALLOWED = {
    "program before it is sealed": "42",
    "read the guest": "done",
    "read the model": "done",
    "read the own key": "done",
    "read granted data": "fine",
    "make a granted directory": "done",
    "tell which of its pages were written to": "True" if page_map() else "done",
    "import a module": "done",
    "resolve a name": "done",
    "keep compiled code": 1,
    "remove compiled code": "done",
    "signal itself": "done",
    "a pair of sockets": "done",
    "udp": "done",
    "connect to the zipper": "ECONNREFUSED",
    "a thread": "done",
    "reserve 64 GiB": "done",
    "death signal": "SIGKILL",
}
BY_LANDLOCK = {
    "change granted data": "EACCES",
    "make a directory in the cache": "EACCES",
    "read a secret": "EACCES",
    "read a secret in a thread": "EACCES",
    "read the authority's key": "EACCES",
    "read ssh keys": "EACCES",
    "list the home directory": "EACCES",
    "read the users of this machine": "EACCES",
    "read passwords": "EACCES",
    "read another's environment": "EACCES",
    "write to /tmp": "EACCES",
    "write beside the guest": "EACCES",
    "change the guest": "EACCES",
}
BY_LANDLOCK_4 = {"listen on tcp": "EACCES", "connect elsewhere": "EACCES"}
BY_SECCOMP = {
    "execute a program": "EPERM",
    "execute from memory": "EPERM",
    "start a program": "EPERM",
    "fork": "EPERM",
    "trace the parent": "EPERM",
    "mount": "EPERM",
    "make a namespace": "EPERM",
    "make a ring": "EPERM",
    "signal the parent": "EPERM",
    "limit the parent": "EPERM",
    "read raw packets": "EPERM",
    "reach daemons": "EPERM",
}
BY_LIMITS = {"fill 4 GiB": "MemoryError", "open many files": "EMFILE", "raise a limit": "ValueError"}


@pytest.fixture(scope="module")
def contained(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """What a contained process could do."""
    folder = tmp_path_factory.mktemp("contained")
    for name in ("guest.wasm", "model.tflite", "client.key", "ca.key", "secret"):
        (folder / name).write_text("content")
    for name in ("modules", "data", "out", "home/.ssh"):
        (folder / name).mkdir(parents=True)
    (folder / "data" / "x").write_text("fine")
    (folder / "home" / ".ssh" / "id").write_text("key")
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), "9"],  # discard: nobody listens there
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
        # numpy would start threads when it is imported, before the process is contained.
        env={
            **os.environ,
            "HOME": str(folder / "home"),
            "NEARFIELD_SUPERVISOR": str(os.getpid()),
            "OPENBLAS_NUM_THREADS": "1",
        },
    )
    assert ended.returncode == 0, ended.stderr
    result: dict[str, Any] = json.loads(ended.stdout)
    return result


def check(contained: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert {name: contained["tried"][name] for name in expected} == expected


def test_a_contained_worker_can_do_its_work(contained: Mapping[str, Any]) -> None:
    check(contained, ALLOWED)


@needs_landlock
def test_files_that_a_worker_does_not_need_are_out_of_reach(contained: Mapping[str, Any]) -> None:
    if not Path("/etc/shadow").exists():
        BY_LANDLOCK.pop("read passwords")
    check(contained, BY_LANDLOCK)


@pytest.mark.skipif((HOST.landlock_abi or 0) < 4, reason="Landlock restricts TCP from ABI 4 on")
def test_tcp_is_for_the_zipper_only(contained: Mapping[str, Any]) -> None:
    check(contained, BY_LANDLOCK_4)


@needs_seccomp
def test_calls_that_a_worker_does_not_need_are_refused(contained: Mapping[str, Any]) -> None:
    check(contained, BY_SECCOMP)


def test_memory_and_descriptors_are_bounded(contained: Mapping[str, Any]) -> None:
    check(contained, BY_LIMITS)
    assert contained["core"] == [0, 0]


@needs_landlock
@needs_seccomp
def test_the_report_names_everything_that_is_active(contained: Mapping[str, Any]) -> None:
    assert contained["report"] == (
        "rlimits, oom-score, capabilities, no-new-privs, no-dump, "
        f"landlock (ABI {HOST.landlock_abi}), seccomp, no-processes"
    )


# ---- workers as the command line makes them


def function(run: Path = UPPERCASE, **more: Any) -> dict[str, Any]:
    return {
        "name": "upper",
        "observe": ["0x10"],
        "emit": ["0x11"],
        "run": str(run),
        "delivery": {"mode": "complete"},
        **more,
    }


def worker_of(node: Node, name: str = "upper") -> int:
    """Process id of the only instance, once it has joined."""
    node.until_instances(name, 1)
    (worker,) = children_of(node.serve.pid)
    return worker


def kernel_says(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_a_contained_guest_handles_frames_over_quic(commands: Commands) -> None:
    node = commands.node([function()])
    worker = worker_of(node)
    watch = node.watch("--tag", "0x11")
    with Source("texts", node.address, tag=0x10, mode="complete") as source:
        for number in range(20):
            source.send(f"text {number}".encode())
        assert source.flush(timeout_s=30.0)
    assert node.until_settled("upper", 20)["completed"] == 20
    watch.until(lambda: len(watch.frames) == 20, "20 results")
    node.serve.says("containment: rlimits")
    if HOST.landlock_abi is not None:
        # Without a word of threads that were there before and stay outside.
        assert f"landlock (ABI {HOST.landlock_abi}), " in node.serve.stderr
    status = kernel_says(worker)
    assert (status["NoNewPrivs"], int(status["CapEff"], 16)) == ("1", 0)
    if HOST.seccomp:
        assert (status["Seccomp"], status["Seccomp_filters"]) == ("2", "2")
    assert Path(f"/proc/{worker}/oom_score_adj").read_text().strip() == "500"


@needs_landlock
def test_a_worker_started_by_hand_is_confined_before_it_has_threads(commands: Commands) -> None:
    function_without_run = {key: value for key, value in function().items() if key != "run"}
    node = commands.node([function_without_run])
    # Threads that exist before are counted in the report; numpy starts some where nobody forbids it.
    environment = {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": None}
    worker = commands.start("run", UPPERCASE, "--name", "upper", "--zipper", node.address, environment=environment)
    worker.ready().says("containment: ")
    assert f"landlock (ABI {HOST.landlock_abi})" in worker.stderr


@needs_seccomp
def test_every_thread_of_a_worker_is_under_the_filters(commands: Commands) -> None:
    node = commands.node([function()])
    worker = worker_of(node)
    for thread in Path(f"/proc/{worker}/task").iterdir():
        status = (thread / "status").read_text()
        assert "Seccomp_filters:\t2" in status, status
        assert "CapEff:\t0000000000000000" in status, status


def test_a_model_is_tried_out_and_computes_under_containment(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A state directory of its own: nothing is compiled, and no model has been tried out yet.
    monkeypatch.setenv("NEARFIELD_STATE_DIR", str(tmp_path / "state"))
    models = {"parts": {"path": str(PARTS), "threads": 2}}
    node = commands.node([function(RECOGNISE)], models=models)
    worker_of(node)
    with Source("pictures", node.address, tag=0x10, mode="complete") as source:
        source.send(picture())
        assert source.flush(timeout_s=30.0)
    group = node.until_settled("upper", 1)
    assert (group["completed"], group["failed"]) == (1, {})
    assert (tmp_path / "state" / "models" / "admitted").read_text().count("\n") == 1
    assert list((tmp_path / "state" / "modules").glob("*.cwasm"))
    assert sorted(path.name for path in (tmp_path / "state" / "modules").glob(".*")) == []


def test_a_model_that_kills_its_runtime_is_still_refused_with_its_reason(tmp_path: Path) -> None:
    model = tmp_path / "broken.tflite"
    model.write_bytes(PARTS.read_bytes()[:1000])
    done = nearfield("run", RECOGNISE, "--name", "upper", "--model", model, "--zipper", "127.0.0.1:1")
    assert done.status == 2
    assert str(model) in done.error


# Dies by a real segmentation fault in the midst of its first frame; the flag says that it has.
CRASHES_ONCE = """
import ctypes
from pathlib import Path
from nearfield import StreamFunction

FLAG = Path(__file__).with_name("crashed")
app = StreamFunction("upper", observe=[0x10])

@app
def handle(context):
    if not FLAG.exists():
        FLAG.touch()
        ctypes.string_at(0)
    context.emit(0x11, context.payload.upper())
"""


@pytest.mark.parametrize("mode", ["complete", "live"])
def test_a_worker_that_segfaults_starts_again_and_the_ledger_tells_of_its_frame(
    commands: Commands, tmp_path: Path, mode: str
) -> None:
    program = tmp_path / "crashes_once.py"
    program.write_text(CRASHES_ONCE)
    node = commands.node([function(program, delivery={"mode": mode}, credits=1)])
    victim = worker_of(node)
    with Source("texts", node.address, tag=0x10, mode=mode) as source:  # type: ignore[arg-type]
        source.send(b"held by the victim")
        node.serve.says("was killed by SIGSEGV; starts again in 0.5 s")
        node.until_instances("upper", 1)
        if mode == "complete":
            assert source.flush(timeout_s=30.0)
    group = node.until_settled("upper", 1)
    assert not is_alive(victim)
    assert (group["received"], group["completed"], group["redelivered"], group["dropped"]) == (1, 1, 1, {})


def test_renewed_certificates_are_taken_up_by_a_fresh_worker(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARFIELD_STATE_DIR", str(tmp_path))
    node = commands.node([function()])
    first = worker_of(node)
    certificate = tmp_path / "certificates" / "client.pem"
    shutil.copy2(certificate, tmp_path / "renewed")
    (tmp_path / "renewed").replace(certificate)
    node.serve.says("certificates were renewed; starting again to use them")
    poll(lambda: not is_alive(first), "the end of the first worker")
    node.serve.says("joined, observing 0x10", times=2)
    assert worker_of(node) != first


def test_host_is_described_for_people_and_for_programs() -> None:
    done = nearfield("inspect", "--host", "--json")
    assert done.status == 0
    host = json.loads(done.stdout)["host"]
    assert (host["landlock_abi"], host["seccomp"]) == (HOST.landlock_abi, HOST.seccomp)
    assert {"wasmtime", "eclipse-zenoh", "ai-edge-litert"} <= host["engines"].keys()
    assert "  landlock " in nearfield("inspect", "--host").stdout


def picture() -> bytes:
    """A small JPEG picture."""
    import numpy as np
    import simplejpeg

    return bytes(simplejpeg.encode_jpeg(np.full((64, 64, 3), 128, np.uint8), quality=80, colorspace="RGB"))


def test_python_programs_are_not_contained(commands: Commands, tmp_path: Path) -> None:
    program = tmp_path / "app.py"
    program.write_text(
        "from nearfield import StreamFunction\n"
        "app = StreamFunction('upper', observe=[0x10], handler=lambda context: None)\n"
    )
    node = commands.node([function(program)])
    assert kernel_says(worker_of(node))["NoNewPrivs"] == "0"
