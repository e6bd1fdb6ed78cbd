"""What cannot work: one clear line on standard error, and the exit code of usage and configuration."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime
from ai_edge_litert import schema_py_generated as schema

from tests.processes import (
    BELT,
    PARTS,
    RECOGNISE,
    UPPERCASE,
    Commands,
    Node,
    copy_of,
    free_port,
    nearfield,
)
from tests.unit.inference.conftest import TinyModels

USAGE = 2
FAILED = 1


@pytest.fixture(scope="module")
def node(module_commands: Commands) -> Node:
    """A zipper whose only function connects by itself."""
    return module_commands.node([{"name": "recognise", "observe": ["0x10"]}])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file of the given name."""

    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


Write = Callable[[str, "str | bytes"], Path]


# ---- the workflow


@pytest.mark.parametrize(
    ("workflow", "error"),
    [
        (
            "name: x\nfunctons: []\nfunctions: []\n",
            "workflow.yaml:2: functons: unknown key; did you mean `functions`?",
        ),
        (
            "name: x\nfunctions:\n  - name: f\n    observe: [0x10, 4294967296]\n",
            "workflow.yaml:4: functions[0].observe[1]: got 4294967296, expected a tag from 0 to 4294967295",
        ),
        (
            "name: x\nfunctions:\n  - name: f\n    run: nowhere.wasm\n    observe: [0x10]\n",
            "nowhere.wasm",
        ),
        ("name: x\nfunctions: [\n", "workflow.yaml:"),
    ],
)
def test_a_workflow_that_cannot_work_is_refused_with_file_line_and_field(
    write: Write, workflow: str, error: str
) -> None:
    path = write("workflow.yaml", workflow)
    done = nearfield("serve", "-c", path.name, cwd=path.parent)
    assert done.status == USAGE
    assert error in done.error
    assert done.stdout == ""


def test_each_error_of_a_workflow_has_a_line_of_its_own(write: Write) -> None:
    path = write("workflow.yaml", "name: x\nports: 1\nport: 99999\nfunctions: []\n")
    done = nearfield("validate", path.name, cwd=path.parent)
    assert done.status == USAGE
    first, second = done.stderr.splitlines()
    assert first.startswith("error: workflow.yaml:2: ports: unknown key; did you mean `port`?")
    assert second.startswith("error: workflow.yaml:3: port: got 99999, expected")


# ---- files and values on the command line


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("serve", "-c", "nowhere.yaml"), "nowhere.yaml: cannot read the workflow: no such file or directory"),
        (("send", "nowhere.mp4", "--tag", "0x10"), "video `nowhere.mp4`: no such file"),
        (("run", "nowhere.wasm"), "nowhere.wasm: no such file"),
        (("run", "nowhere.py"), "nowhere.py: no such file"),
        (
            ("run", UPPERCASE, "--model", "nowhere.tflite"),
            "model `default`: cannot read `nowhere.tflite`: no such file",
        ),
        (("run", UPPERCASE, "--labels", "labels.txt"), "--labels: no model `default`; given: none"),
        (("inspect", "nowhere.wasm"), "nowhere.wasm: no such file"),
        (("watch", "--tag", "0xZZ"), "--tag: got '0xZZ', expected a tag from 0 to 4294967295, such as 0x10 or 16"),
        (("send", "any.mp4", "--tag", "0x10", "--fps", "0"), "--fps: got `0`, expected a number above 0, or max"),
        (("run", UPPERCASE, "--observe", "4294967296"), "--observe: got '4294967296', expected a tag"),
        (("run", UPPERCASE, "--name", "a/b"), "function name: got 'a/b'"),
        (("run", UPPERCASE, "--deadline", "soon"), "--deadline: got"),
        (("watch", "--zipper", "tcp/localhost:1"), "frames go over QUIC"),
        (("watch", "--key", "key.pem"), "--ca, --certificate and --key belong together"),
        (("watch", "--ca", "none.pem"), "none.pem: cannot read: no such file"),
    ],
)
def test_a_wrong_argument_is_named(tmp_path: Path, arguments: tuple[str | Path, ...], error: str) -> None:
    done = nearfield(*arguments, cwd=tmp_path)
    assert done.status == USAGE
    assert error in done.error
    assert done.stdout == ""


@pytest.mark.parametrize("content", [b"", b"this is no video"])
def test_a_file_that_is_no_video_is_named(write: Write, content: bytes) -> None:
    video = write("film.mp4", content)
    done = nearfield("send", video, "--tag", "0x10")
    assert done.status == FAILED
    assert done.error.startswith(f"video `{video}`: ")


# ---- guests and models


@pytest.mark.parametrize("content", [b"(module)", b"\0asm\x01\0\0\0garbage"])
def test_a_file_that_is_no_module_is_refused(write: Write, content: bytes) -> None:
    guest = write("guest.wasm", content)
    done = nearfield("run", guest)
    assert done.status == USAGE
    assert str(guest) in done.error


def test_an_unknown_import_is_named_with_the_abis_that_were_tried(write: Write) -> None:
    text = """(module
        (import "env" "launch_rockets" (func (param i32)))
        (memory (export "memory") 1)
        (func (export "go")))"""
    guest = write("guest.wasm", bytes(wasmtime.wat2wasm(text)))
    done = nearfield("run", guest)
    assert done.status == USAGE
    assert "launch_rockets" in done.error
    for abi in ("nearfield-v1", "wasmedge-bindgen"):
        assert abi in done.error
    shown = nearfield("inspect", guest)
    assert shown.status == FAILED
    assert "launch_rockets" in shown.stdout
    assert "nearfield-v1" in shown.stdout


def test_an_unknown_import_of_a_guest_of_ours_is_named(write: Write) -> None:
    text = """(module
        (import "nearfield_v1" "frame_colour" (func (result i32)))
        (memory (export "memory") 1)
        (func (export "nearfield_handle") (result i32) (i32.const 0)))"""
    done = nearfield("run", write("guest.wasm", bytes(wasmtime.wat2wasm(text))))
    assert done.status == USAGE
    assert "frame_colour" in done.error


@pytest.mark.parametrize("content", [b"this is no model", b"\x1c\0\0\0TFL3" + bytes(64)])
def test_a_file_that_is_no_model_is_refused(write: Write, content: bytes) -> None:
    model = write("model.tflite", content)
    done = nearfield("run", RECOGNISE, "--model", model)
    assert done.status == USAGE
    assert f"model `default` (`{model}`)" in done.error


def test_a_model_that_breaks_off_is_refused(tmp_path: Path) -> None:
    model = copy_of(PARTS, tmp_path, lambda content: content[: len(content) // 2])
    done = nearfield("run", RECOGNISE, "--model", model)
    assert done.status == USAGE
    assert f"model `default` (`{model}`)" in done.error


def test_a_model_of_the_wrong_shape_fails_each_frame_with_the_shape(
    commands: Commands, node: Node, write: Write
) -> None:
    from nearfield import Source

    model = write("adder.tflite", TinyModels().adder((1, 4), schema.TensorType.FLOAT32))
    run = node.run(RECOGNISE, "--name", "recognise", "--model", model)
    before = node.group("recognise")["received"]
    with Source("pictures", node.address, tag=0x10, mode="complete") as source:
        source.send(b"any")
        source.send(b"any")
    group = node.until_settled("recognise", before + 2)
    assert group["failed"] == {"reported": 2}
    assert "model `default`: input 0 has shape (1, 4) f32, expected (1, h, w, 3) u8, i8 or f32" in run.stderr
    assert run.stderr.count("WARNING") == 1
    assert run.stop() == 0


# ---- the network


def test_a_port_in_use_is_named(write: Write, node: Node) -> None:
    port = node.address.rpartition(":")[2]
    workflow = write("workflow.yaml", f"name: x\nhost: 127.0.0.1\nport: {port}\nfunctions: []\n")
    done = nearfield("serve", "-c", workflow)
    assert done.status == USAGE
    assert f"listen on {node.address}: the port is in use (" in done.error
    assert "--port" in done.error


def test_a_tcp_port_in_use_is_named(write: Write) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        workflow = write("workflow.yaml", f"name: x\nhost: 127.0.0.1\nport: {port}\nfunctions: []\n")
        done = nearfield("serve", "-c", workflow)
    assert done.status == USAGE
    assert "the port is in use (TCP)" in done.error


def test_nothing_at_the_address_is_said(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    done = nearfield("watch", "--zipper", address)
    assert done.status == FAILED
    assert done.error == f"{address}: nothing listens there; is the zipper running?"


@pytest.mark.parametrize("arguments", [("watch",), ("send", BELT, "--tag", "16")], ids=["sink", "source"])
def test_a_certificate_of_another_authority_is_refused(
    tmp_path: Path, node: Node, arguments: tuple[str | Path, ...]
) -> None:
    elsewhere = {"NEARFIELD_STATE_DIR": str(tmp_path / "elsewhere")}
    done = nearfield(*arguments, "--zipper", node.address, environment=elsewhere)
    assert done.status == USAGE
    assert f"{node.address}: its certificate is signed by an authority" in done.error
    assert str(tmp_path / "elsewhere") in done.error
    assert node.serve.status is None


def test_a_function_that_the_workflow_does_not_name_is_refused_with_those_it_does(node: Node) -> None:
    done = nearfield("run", UPPERCASE, "--name", "upper", "--observe", "0x10", "--zipper", node.address)
    assert done.status == FAILED
    assert done.error == ("zipper `node`: function `upper` is not in this zipper's workflow; listed there: `recognise`")


def test_other_tags_than_the_workflow_s_are_refused(node: Node) -> None:
    done = nearfield("run", UPPERCASE, "--name", "recognise", "--observe", "0x20", "--zipper", node.address)
    assert done.status == FAILED
    assert "observes 0x10 at this zipper, but the instance asks for 0x20" in done.error
