"""`nearfield serve`: the zipper, and the functions it starts."""

from __future__ import annotations

import dataclasses
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import msgspec
import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.cli.provenance_options import signers_of
from nearfield.cli.stopping import Stopping
from nearfield.config import Workflow, WorkflowInvalid, check_workflow
from nearfield.errors import InternalError, TransportError
from nearfield.frame import format_tag, name_from
from nearfield.supervise import (
    ControlServer,
    Deployment,
    Event,
    FileWatch,
    Reloader,
    ReloadRequest,
    Supervisor,
    Version,
    files_of,
    policy_of,
    text_of,
    version_of,
)
from nearfield.telemetry import configure_logging
from nearfield.transport import (
    Access,
    Address,
    Identity,
    OpenAccess,
    StateDirectory,
    Token,
    TokenAccess,
    check_listenable,
    ensure_local_identity,
    ensure_local_token,
    ensure_server_certificate,
    load_identity,
    local_token_path,
    parse_address,
)
from nearfield.zipper import RateLimit, StuckInstance, Zipper, ZipperSettings, account

_log = logging.getLogger("nearfield.serve")

POLL_S = 0.1
# Between two looks at the files: what is still being written has changed again by the second.
LOOK_POLLS = 4
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "localhost"}

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="WORKFLOW", help="The workflow file.")]
Host = Annotated[str | None, typer.Option(metavar="HOST", help="Listen here, whatever the file says.")]
Port = Annotated[
    int | None, typer.Option(metavar="PORT", min=1, max=65535, help="Listen on this port, whatever the file says.")
]
Watch = Annotated[
    bool, typer.Option("--watch", help="Reload when the workflow, or a file of its functions and models, changes.")
]


def serve(
    config: ConfigFile = Path("workflow.yaml"),
    host: Host = None,
    port: Port = None,
    watch: Watch = False,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run a zipper: listen over QUIC, start the functions that the workflow says to run, and route frames.

    Functions without `run:` connect by themselves (`nearfield run`). Ctrl-C ends everything. `nearfield reload`, or
    SIGHUP, reads the workflow anew and takes on what has changed, without dropping a frame.
    """
    configure_logging(verbose=verbose)
    reader = _Reader(config, host, port)
    version = reader.read()
    workflow = version.workflow
    ports = dict.fromkeys(port for port in (workflow.port, workflow.second_port) if port is not None)
    addresses = [Address(workflow.host, port) for port in ports]
    address = addresses[0]
    for each in addresses:
        check_listenable(each)
    state = StateDirectory.from_environment()
    configured = _configured_identity(workflow)
    identity = configured or ensure_server_certificate(state, [address.host])
    stuck: SimpleQueue[StuckInstance] = SimpleQueue()
    listeners: SimpleQueue[tuple[str, bool]] = SimpleQueue()
    zipper = Zipper(
        ZipperSettings(
            name=name_from(workflow.name),
            namespace=workflow.namespace,
            listen=addresses,
            identity=dataclasses.replace(identity, access=access_of(workflow, state)),
            policies=[policy_of(function) for function in workflow.functions],
            peers=[parse_address(peer) for peer in workflow.peers],
            client=configured or ensure_local_identity(state),
            max_payload_bytes=workflow.limits.max_payload_bytes,
            queue_bytes=workflow.limits.queue_bytes,
            rate_limit=RateLimit(workflow.limits.source_frames_per_s, workflow.limits.source_bytes_per_s),
            on_stuck=stuck.put,
            on_listener=lambda name, answers: listeners.put((name, answers)),
        )
    )
    stopping = Stopping()
    supervisor = Supervisor()
    reach = [Address(_ANY_ADDRESS.get(each.host, each.host), each.port) for each in addresses]
    token_file = local_token_path(state) if workflow.auth.type == "token" else None
    deployment = Deployment(
        zipper, supervisor, version, where=str(config), reach=reach, identity=configured, token_file=token_file
    )
    reloader = Reloader(deployment, reader.read, lambda event: _tell(event, json=json))
    description = {"zipper": zipper.settings.name, "address": str(address), "workflow": str(config.resolve())}
    control = ControlServer(state, description, reloader.request)
    try:
        zipper.start()
        control.start()
        _on_hang_up(lambda: reloader.request(ReloadRequest()))
        _announce(workflow, address, zipper, json=json)
        deployment.start()
        polls = 0
        while not stopping.wait(POLL_S):
            polls += 1
            while not stuck.empty():
                supervisor.kill(stuck.get().pid)
            while not listeners.empty():
                _tell_listener(*listeners.get(), json=json)
            if watch and polls % LOOK_POLLS == 0 and reader.files.look():
                reloader.request(ReloadRequest())
            reloader.poll()
            supervisor.poll()
            if zipper.failure is not None:
                raise InternalError(f"the dispatcher failed: {zipper.failure}") from zipper.failure
    finally:
        reloader.close()
        supervisor.stop()
        control.close()
        ledger = _ledger(zipper)
        zipper.close()
    _account(ledger, json=json)
    raise typer.Exit(stopping.exit_code)


class _Reader:
    """Reads the workflow file, and remembers of which moment its files are.

    Args:
        host, port: in place of what the file says.

    Attributes:
        files: those that what runs is made of, and those of the last attempt.
    """

    def __init__(self, config: Path, host: str | None, port: int | None) -> None:
        self.files = FileWatch()
        self._config = config
        self._changes = {name: value for name, value in (("host", host), ("port", port)) if value}
        self._former: set[Path] = set()
        self._warnings: list[str] = []

    def read(self) -> Version:
        """The workflow as it is now. Warnings go to the log, once as long as they do not change.

        Raises:
            ConfigError, WorkflowInvalid: it cannot be used.
        """
        self.files.follow({self._config, *self._former})
        check = check_workflow(self._config)
        if check.workflow is not None:
            named = files_of(check.workflow)
            self.files.follow({self._config, *self._former, *named})
        warnings = [finding.located(str(self._config)) for finding in check.findings if finding.level == "warning"]
        for line in warnings:
            if line not in self._warnings:
                _log.warning("%s", line)
        self._warnings = warnings
        if check.errors or check.workflow is None:
            raise WorkflowInvalid(str(self._config), check.errors)
        self._former = files_of(check.workflow)
        signers = signers_of(check.workflow)
        return version_of(msgspec.structs.replace(check.workflow, **self._changes), signers)


def _on_hang_up(reload: Callable[[], None]) -> None:
    """SIGHUP means to reload, unless it comes because the terminal was closed: then to end, as ever."""
    had_terminal = _has_terminal()

    def handle(number: int, frame: object) -> None:
        if had_terminal and not _has_terminal():
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            reload()

    signal.signal(signal.SIGHUP, handle)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _tell(event: Event, *, json: bool) -> None:
    if event["event"] == "reload-failed":
        for line in text_of(event).splitlines():
            _log.error("reload failed: %s", line)
    elif not json:
        say(f"reload: {text_of(event)}" if event["event"] == "reloading" else text_of(event))
    if json:
        say_json(event)


def _tell_listener(name: str, answers: bool, *, json: bool) -> None:
    if json:  # else the log says it
        say_json({"event": "listener", "listener": name, "answers": answers})


def _ledger(zipper: Zipper) -> dict[str, Any]:
    try:
        return zipper.ledger(timeout_s=0.5)
    except TransportError:  # it never started, or failed
        return {"groups": {}}


def _account(ledger: dict[str, Any], *, json: bool) -> None:
    if json:
        say_json({"event": "stopped", **ledger})
        return
    for name, group in ledger["groups"].items():
        if group["received"]:
            say(account(name, group))


def _configured_identity(workflow: Workflow) -> Identity | None:
    files = workflow.certificates
    if files is None:
        return None
    # The workers that we start present the same certificate, as clients; and so do we to other zippers.
    is_client = bool(workflow.peers) or any(function.run is not None for function in workflow.functions)
    return load_identity(
        files.ca, files.certificate, files.key, purposes=["server", "client"] if is_client else ["server"]
    )


def access_of(workflow: Workflow, state: StateDirectory) -> Access | None:
    """Whom the zipper lets in; None: those with a certificate.

    Where tokens are asked for, this user's own commands have one that is made for them. To other zippers the node shows
    the token that has its own name, else that one too, which zippers of the same user on the same machine know.

    Raises:
        CertificateError: see `ensure_local_token`.
    """
    if workflow.insecure:
        return OpenAccess()
    if workflow.auth.type != "token":
        return None
    local = ensure_local_token(state)
    given = {name: Token(name, secret) for name, secret in workflow.auth.by_name().items()}
    return TokenAccess((local, *given.values()), own=given.get(name_from(workflow.name), local))


def _announce(workflow: Workflow, address: Address, zipper: Zipper, *, json: bool) -> None:
    name = zipper.settings.name
    if json:
        functions = [function.name for function in workflow.functions]
        say_json({"event": "ready", "zipper": name, "address": str(address), "functions": functions})
        return
    ports = "" if workflow.second_port is None else f" and port {workflow.second_port}"
    say(f"zipper `{name}` is listening on {address}{ports} (QUIC, TLS 1.3)")
    for function in workflow.functions:
        tags = ", ".join(map(format_tag, function.observe)) or "the tags it asks for"
        start = f"starting {function.instances} × {function.run.name}" if function.run else "connects by itself"
        say(f"  function `{function.name}`: observes {tags}; {start}")
    say("Ctrl-C ends it.")
