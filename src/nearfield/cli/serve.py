"""`nearfield serve`: the zipper, and the functions it starts."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import msgspec
import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.cli.provenance_options import signers_of
from nearfield.cli.stopping import Stopping
from nearfield.config import Workflow, WorkflowInvalid, check_workflow, tenants_of
from nearfield.errors import InternalError, NearfieldError, TransportError
from nearfield.frame import format_tag, name_from
from nearfield.supervise import (
    Admission,
    ControlServer,
    Deployment,
    Event,
    FileWatch,
    Reloader,
    ReloadRequest,
    RightsKeeper,
    Supervisor,
    Version,
    admission_of,
    files_of,
    functions_of,
    policy_of,
    text_of,
    version_of,
)
from nearfield.telemetry import RepeatedWarning, configure_logging
from nearfield.transport import (
    Address,
    StateDirectory,
    check_listenable,
    parse_address,
)
from nearfield.zipper import ListenerCallback, RateLimit, StuckInstance, Zipper, ZipperSettings, account

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
    admission = admission_of(workflow, state, address.host)
    stuck: SimpleQueue[tuple[str, StuckInstance]] = SimpleQueue()
    listeners: SimpleQueue[tuple[str, bool]] = SimpleQueue()
    settings = _settings_of(
        workflow,
        admission,
        addresses,
        lambda *found: stuck.put(found),
        lambda *seen: listeners.put(seen),
    )
    if settings.rights is None and not workflow.insecure:
        _log.warning(
            "whoever has a certificate of `%s` may do everything; say in `rights` who may do what",
            admission.identity.ca_pem_path,
        )
    zipper = Zipper(settings)
    stopping, warn = Stopping(), RepeatedWarning(_log)
    supervisor = Supervisor()
    reach = [Address(_ANY_ADDRESS.get(each.host, each.host), each.port) for each in addresses]
    deployment = Deployment(
        zipper,
        supervisor,
        version,
        where=str(config),
        reach=reach,
        identity=admission.configured,
        token_file=admission.token_file,
    )
    rights = RightsKeeper(zipper, admission)
    reloader = Reloader(deployment, reader.read, lambda event: _tell(event, json=json), rights.apply)
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
                deployment.kill(*stuck.get())
            while not listeners.empty():
                _tell_listener(*listeners.get(), json=json)
            if watch and polls % LOOK_POLLS == 0 and reader.files.look():
                reloader.request(ReloadRequest())
            reloader.poll()
            _look_after_rights(rights, deployment.version.workflow, warn)
            supervisor.poll()
            if zipper.failure is not None:
                raise InternalError(f"the dispatcher failed: {zipper.failure}") from zipper.failure
    finally:
        reloader.close()
        supervisor.stop()
        control.close()
        ledgers = _ledgers(zipper)
        zipper.close()
    for number, ledger in enumerate(ledgers):
        _account(ledger, f"{ledger['namespace']}/" if number else "", json=json)
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


def _look_after_rights(rights: RightsKeeper, workflow: Workflow, warn: RepeatedWarning) -> None:
    try:
        if rights.look(workflow):
            _log.warning("identities were issued or revoked; every client was connected anew for it")
    except NearfieldError as error:  # tried again at the next look
        warn("rights were not read anew: %s", error)


def _settings_of(
    workflow: Workflow,
    admission: Admission,
    listen: Sequence[Address],
    on_stuck: Callable[[str, StuckInstance], None],
    on_listener: ListenerCallback,
) -> ZipperSettings:
    first, *others = tenants_of(workflow)
    return ZipperSettings(
        name=name_from(workflow.name),
        namespace=first.namespace,
        listen=listen,
        identity=admission.identity,
        policies=[policy_of(function) for function in first.functions],
        namespaces={other.namespace: [policy_of(function) for function in other.functions] for other in others},
        peers=[parse_address(peer) for peer in workflow.peers],
        client=admission.client,
        peer_names=admission.peer_names,
        rights=admission.rights(workflow),
        max_payload_bytes=workflow.limits.max_payload_bytes,
        queue_bytes=workflow.limits.queue_bytes,
        rate_limit=RateLimit(workflow.limits.source_frames_per_s, workflow.limits.source_bytes_per_s),
        on_stuck=on_stuck,
        on_listener=on_listener,
    )


def _ledgers(zipper: Zipper) -> list[dict[str, Any]]:
    try:
        return [zipper.ledger(timeout_s=0.5, namespace=namespace) for namespace in zipper.namespaces]
    except TransportError:  # it never started, or failed
        return [{"groups": {}}]


def _account(ledger: dict[str, Any], prefix: str, *, json: bool) -> None:
    if json:
        say_json({"event": "stopped", **ledger})
        return
    for name, group in ledger["groups"].items():
        if group["received"]:
            say(account(f"{prefix}{name}", group))


def _announce(workflow: Workflow, address: Address, zipper: Zipper, *, json: bool) -> None:
    name = zipper.settings.name
    if json:
        functions = list(functions_of(workflow))
        say_json({"event": "ready", "zipper": name, "address": str(address), "functions": functions})
        return
    ports = "" if workflow.second_port is None else f" and port {workflow.second_port}"
    say(f"zipper `{name}` is listening on {address}{ports} (QUIC, TLS 1.3)")
    for label, (_, function) in functions_of(workflow).items():
        tags = ", ".join(map(format_tag, function.observe)) or "the tags it asks for"
        start = f"starting {function.instances} × {function.run.name}" if function.run else "connects by itself"
        say(f"  function `{label}`: observes {tags}; {start}")
    say("Ctrl-C ends it.")
