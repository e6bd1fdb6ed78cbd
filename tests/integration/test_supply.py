"""Digests and signatures, from the key to the worker that loads what was signed, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from nearfield import Source
from nearfield.signing import SigningKey, signature_path
from nearfield.transport.state_directory import write_private
from tests.processes import (
    PARTS,
    PARTS_LABELS,
    RECOGNISE,
    UPPERCASE,
    Commands,
    Node,
    children_of,
    copy_of,
    nearfield,
)

PROGRAM = """\
from nearfield import StreamFunction
f = StreamFunction("f", observe=[0x10])
@f
def handle(context):
    context.emit(0x11, context.payload.upper())
"""


@dataclass
class Signer:
    """A key pair, as `nearfield sign --new-key` makes them."""

    key: Path
    public: str

    @classmethod
    def make(cls, folder: Path, name: str) -> Signer:
        made, path = SigningKey.make(), folder / f"{name}.pem"
        write_private(path, made.pem())
        path.with_suffix(".pub").write_bytes(made.public.pem())
        return cls(path, made.public.text)

    def sign(self, *files: Path) -> None:
        done = nearfield("sign", *files, "--key", self.key)
        assert done.status == 0, done.stderr


@pytest.fixture
def vendor(tmp_path: Path) -> Signer:
    return Signer.make(tmp_path, "vendor")


def function(run: str | Path, **more: Any) -> dict[str, Any]:
    delivery = {"mode": "complete", "retries": 0}
    return {"name": "f", "observe": [0x10], "emit": [0x11], "run": str(run), "delivery": delivery, **more}


def workflow(folder: Path, *functions: dict[str, Any], **more: Any) -> Path:
    path = folder / "workflow.yaml"
    path.write_text(yaml.safe_dump({"name": "w", "functions": list(functions), **more}, sort_keys=False))
    return path


def answer(node: Node, payload: bytes) -> str:
    node.until_instances("f", 1)
    watch = node.watch("--tag", "0x11")
    with Source("s", node.address, tag=0x10, mode="complete") as source:
        source.send(payload)
        assert source.flush(timeout_s=30.0)
    watch.until(lambda: len(watch.frames) == 1, "a result")
    text: str = watch.frames[0]["text"]
    return text


def test_a_private_key_is_for_its_owner_alone_and_never_shown(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    made = nearfield("sign", "--new-key", "--key", key)
    assert made.status == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    signed = nearfield("sign", copy_of(UPPERCASE, tmp_path), "--key", key, "--json")
    again = nearfield("sign", "--new-key", "--key", key)
    assert again.status == 2
    assert again.error == f"--new-key: cannot make `{key}`: file exists"
    key.chmod(0o644)
    shared = nearfield("sign", tmp_path / UPPERCASE.name, "--key", key)
    assert "the key can be used by others: got mode 0644, expected 0600" in shared.error
    secret = key.read_text().splitlines()[1]
    for said in (made, signed, again, shared):
        assert secret not in said.stdout + said.stderr
        assert "PRIVATE KEY" not in said.stdout + said.stderr


def test_the_key_that_is_used_by_default_signs_and_verifies(tmp_path: Path) -> None:
    environment = {"NEARFIELD_STATE_DIR": str(tmp_path / "state")}
    guest = copy_of(UPPERCASE, tmp_path)
    assert nearfield("sign", guest, environment=environment).status == 2
    assert nearfield("sign", "--new-key", guest, environment=environment).status == 0
    done = nearfield("verify", guest, "--json", environment=environment)
    assert json.loads(done.stdout)["purpose"] == "guest"
    guest.write_bytes(guest.read_bytes() + b"\0")
    assert "the file was changed after it was signed" in nearfield("verify", guest, environment=environment).error


def test_each_kind_of_file_is_signed_as_what_it_is(tmp_path: Path, vendor: Signer) -> None:
    (tmp_path / "app.py").write_text(PROGRAM)
    xml = tmp_path / "net.xml"
    xml.write_text('<net name="m" version="11"></net>')
    xml.with_suffix(".bin").write_bytes(b"weights")
    files = [copy_of(UPPERCASE, tmp_path), tmp_path / "app.py", copy_of(PARTS, tmp_path), xml]
    vendor.sign(*files)
    done = nearfield("verify", *files, "--trust", vendor.public, "--json")
    assert [json.loads(line)["purpose"] for line in done.stdout.splitlines()] == ["guest", "program", "model", "model"]
    xml.with_suffix(".bin").write_bytes(b"weighty")
    assert "was changed after" in nearfield("verify", xml, "--trust", vendor.public).error
    as_model = nearfield("verify", files[0], "--as", "model", "--trust", vendor.public)
    assert as_model.status == 2
    noise = tmp_path / "noise"
    noise.write_bytes(b"\1\2\3")
    assert nearfield("sign", noise, "--key", vendor.key).status == 2


def test_what_was_signed_runs_and_what_was_changed_afterwards_does_not(
    commands: Commands, tmp_path: Path, vendor: Signer
) -> None:
    """The check is the worker's own, at the moment it loads: the zipper goes on as it was started."""
    other = Signer.make(tmp_path, "other")
    guest, model, app = copy_of(RECOGNISE, tmp_path), copy_of(PARTS, tmp_path), tmp_path / "app.py"
    app.write_text(PROGRAM)
    vendor.sign(guest, app)
    other.sign(model)
    node = commands.node(
        [{**function(guest), "name": "guest", "observe": [0x20]}, function(f"{app}:f")],
        models={"parts": {"path": str(model), "labels": str(PARTS_LABELS)}},
        require_signed=True,
        trusted_signers=[vendor.public, str(other.key.with_suffix(".pub"))],
    )
    node.until_instances("guest", 1)
    assert answer(node, b"text") == "TEXT"
    copy_of(UPPERCASE, tmp_path).replace(guest)
    app.write_text(PROGRAM + "\nprint('changed')\n")
    for worker in children_of(node.serve.pid):
        os.kill(worker, signal.SIGKILL)
    node.serve.says("the file was changed after it was signed", times=2)
    node.serve.says("cannot run as configured", times=2)


def test_what_is_not_signed_as_it_should_be_is_refused_everywhere(
    commands: Commands, tmp_path: Path, vendor: Signer
) -> None:
    told = {
        "missing": "signature: cannot read `",
        "foreign": "expected one of the 1 trusted",
        "truncated": "got a damaged or truncated signature",
        "purpose": "signature: got one for a model, expected one for a guest",
        "changed": "the file was changed after it was signed",
        "digest": "content: got sha256 ",
        "model": "model `unsigned` (`",
    }
    guests = {}
    for name in told:
        (tmp_path / name).mkdir()
        guests[name] = copy_of(UPPERCASE, tmp_path / name)
    Signer.make(tmp_path, "foreign").sign(guests["foreign"])
    vendor.sign(*(guests[name] for name in ("truncated", "changed", "digest", "model")))
    beside = signature_path(guests["truncated"])
    beside.write_bytes(beside.read_bytes()[:100])
    model = copy_of(PARTS, tmp_path)
    vendor.sign(model)
    signature_path(model).replace(signature_path(guests["purpose"]))
    guests["changed"].write_bytes(guests["changed"].read_bytes() + b"\0")

    required = {"require_signed": True, "trusted_signers": [vendor.public]}
    models = {"unsigned": {"path": str(copy_of(PARTS, tmp_path))}}
    functions = [{**function(guest), "name": name, "models": []} for name, guest in guests.items()]
    functions[-2]["sha256"] = "0" * 64
    functions[-1]["models"] = ["unsigned"]
    checked = nearfield("validate", workflow(tmp_path, *functions, models=models, **required))
    assert checked.status == 2
    *lines, last = checked.stderr.splitlines()
    for number, (line, expected) in enumerate(zip(lines, list(told.values())[:-1], strict=True)):
        assert f"functions[{number}].run: " in line
        assert expected in line
    assert "models.unsigned.path: signature: cannot read `" in last
    compiled = nearfield("compile", guests["changed"], "--trust", vendor.public)
    assert (compiled.status, told["changed"] in compiled.error) == (2, True)
    node = commands.node(functions, models=models, **required)
    node.serve.says("cannot run as configured", times=len(told))
    for expected in told.values():
        assert expected in node.serve.stderr


def test_a_key_file_that_is_none_is_named_before_anything_starts(tmp_path: Path, vendor: Signer) -> None:
    required = {"require_signed": True, "trusted_signers": [str(vendor.key)]}
    path = workflow(tmp_path, function(UPPERCASE), **required)
    for command in (["validate", path], ["serve", "-c", path]):
        done = nearfield(*command)
        assert done.status == 2
        assert "got a private key, expected a public key of Ed25519 in PEM" in done.error
