"""Tokens, keys, passwords and granted values in everything that is printed, counted, or shown of processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from nearfield import Source
from nearfield.transport import StateDirectory, Token, ensure_local_token
from tests.processes import BELT, DEADLINE_S, UPPERCASE, Commands, Node, free_port, nearfield

TOKENS = {"cam-1": "SECRET-of-camera-one-0123456789", "cam-2": "SECRET-of-camera-two-0123456789"}
WRONG = "SECRET-that-is-wrong-0123456789"
GRANTED = "SECRET-granted-value"
PASSWORD = "SECRET-of-a-stream"


class Arguments:
    """What everyone on this machine sees of processes while it is looked at."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="arguments", daemon=True)

    @contextmanager
    def watched(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._ended.set()
            self._thread.join(DEADLINE_S)

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue  # it has ended


def bodies(folder: Path) -> list[str]:
    """A line of each private key that lies below a folder."""
    keys = [path for path in folder.rglob("*") if path.suffix in (".key", ".pem") and "PRIVATE" in path.read_text()]
    return [line for path in keys for line in path.read_text().splitlines() if "-----" not in line]


def test_secrets_are_in_no_line_no_ledger_and_no_list_of_processes(
    commands: Commands, tmp_path: Path, state_directory: Path
) -> None:
    port, folder = free_port(), tmp_path / "files"
    address = f"127.0.0.1:{port}"
    loud = {"RUST_LOG": "debug", "NEARFIELD_TOKEN": f"cam-1:{TOKENS['cam-1']}"}
    workflow = tmp_path / "workflow.yaml"
    upper = {"name": "upper", "observe": ["0x10"], "emit": ["0x11"], "run": str(UPPERCASE)}
    granted = {"sandbox": {"grants": {"environment": {"CODE": GRANTED}}}}
    content = {
        "name": "node",
        "host": "127.0.0.1",
        "port": port,
        "functions": [upper | granted, {"name": "other", "observe": ["0x10"], "emit": ["0x12"]}],
        "auth": {"type": "token", "tokens": TOKENS},
    }
    workflow.write_text(yaml.safe_dump(content))
    guest = tmp_path / "guest.wasm"
    guest.write_bytes(UPPERCASE.read_bytes())
    arguments, said, ledgers = Arguments(), [], []
    with arguments.watched():
        serve = commands.start("serve", "-c", workflow, "--verbose", environment=loud)
        checked = commands.start("validate", workflow)
        for line in (
            ("cert", "issue", "secret-cam", "--role", "source", "--out", folder),
            ("cert", "renew", "secret-cam", "--out", folder, "--json"),
            ("sign", "--new-key", guest, "--key", tmp_path / "vendor.pem"),
            ("sign", guest, "--key", guest),  # which is no key
        ):
            done = nearfield(*line)
            said.append(done.stdout + done.stderr)
        serve.ready()
        node = Node(commands, serve, address)
        node.until_instances("upper", 1)
        ca = state_directory / "certificates" / "ca.pem"
        at = ("--zipper", address, "--ca", ca, "--verbose")
        run = commands.start("run", UPPERCASE, "--name", "other", *at, environment=loud).ready()
        watch = commands.start("watch", *at, environment=loud).ready()
        with Source("cam", address, tag=0x10, mode="complete") as source:
            source.send(b"some text")
            watch.until(lambda: len(watch.frames) >= 2, "a frame and a result")
        url = f"rtsp://user:{PASSWORD}@127.0.0.1:{free_port()}/stream"
        sent = commands.start("send", BELT, "--every", "50", "--fps", "max", "--tag", "0x10", *at, environment=loud)
        refused = commands.start(
            *("watch", "--zipper", address, "--ca", ca), environment={"NEARFIELD_TOKEN": f"cam-1:{WRONG}"}
        )
        ill_formed = commands.start(*("watch", *at), environment={"NEARFIELD_TOKEN": f"cam 1:{WRONG}"})
        assert [sent.finish(), refused.finish(), ill_formed.finish()] == [0, 1, 2]
        top = nearfield("top", "--once", *at[:4], "--verbose", environment=loud)
        assert "upper" in top.stdout, top
        reload = nearfield("reload", "upper", "-c", workflow, "--json", timeout_s=90)
        assert reload.status == 0, reload
        ledgers.append(json.dumps(node.ledger()))
        node.close()
        for command in (watch, run, serve):
            command.stop()
    # Whoever writes a password on the command line has shown it; what we print hides it.
    failed = commands.start("send", url, "--tag", "0x10", "--zipper", address, "--verbose")
    assert failed.finish() != 0
    assert "***" in failed.stderr
    started = (serve, checked, run, watch, sent, refused, ill_formed, failed)
    text = "".join([*said, top.stdout, top.stderr, reload.stdout, reload.stderr, *ledgers])
    text += "".join(command.stderr + json.dumps(command.lines) for command in started)
    shown = "\n".join(arguments.seen)
    assert "--token-file" in shown  # that of the worker: a path, no secret
    assert "containment" in text  # the log was there
    local = ensure_local_token(StateDirectory(state_directory))
    keys = [*bodies(state_directory / "certificates"), *bodies(tmp_path)]
    passwords = [token.password for token in (*(Token(*pair) for pair in TOKENS.items()), local)]
    assert len(keys) >= 5
    for secret in ("SECRET", local.secret, *passwords, *keys):
        assert secret not in text, f"{secret} in {text[max(0, text.index(secret) - 200) :][:400]}"
        assert secret not in shown
