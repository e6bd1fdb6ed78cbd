"""`nearfield serve`: the zipper, and the functions it starts."""

from __future__ import annotations

import logging
from pathlib import Path
from queue import SimpleQueue
from typing import Annotated, Any

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.cli.stopping import Stopping
from nearfield.config import FunctionConfig, Workflow, WorkflowInvalid, check_workflow
from nearfield.errors import ConfigError, InternalError, TransportError
from nearfield.frame import format_tag, name_from
from nearfield.supervise import Supervisor, is_program, worker_command, worker_environment
from nearfield.telemetry import configure_logging
from nearfield.transport import (
    Address,
    Identity,
    StateDirectory,
    check_listenable,
    ensure_local_identity,
    ensure_server_certificate,
    load_identity,
    parse_address,
)
from nearfield.zipper import GroupPolicy, StuckInstance, Zipper, ZipperSettings, account

_log = logging.getLogger("nearfield.serve")

POLL_S = 0.1
# A program says nothing of how long it may take; guests have a deadline.
PROGRAM_TIMEOUT_S = 60.0
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "localhost"}

ConfigFile = Annotated[Path, typer.Option("--config", "-c", metavar="WORKFLOW", help="The workflow file.")]
Host = Annotated[str | None, typer.Option(metavar="HOST", help="Listen here, whatever the file says.")]
Port = Annotated[
    int | None, typer.Option(metavar="PORT", min=1, max=65535, help="Listen on this port, whatever the file says.")
]


def serve(
    config: ConfigFile = Path("workflow.yaml"),
    host: Host = None,
    port: Port = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run a zipper: listen over QUIC, start the functions that the workflow says to run, and route frames.

    Functions without `run:` connect by themselves (`nearfield run`). Ctrl-C ends everything.
    """
    configure_logging(verbose=verbose)
    check = check_workflow(config)
    for finding in check.findings:
        if finding.level == "warning":
            _log.warning("%s", finding.located(str(config)))
    if check.errors or check.workflow is None:
        raise WorkflowInvalid(str(config), check.errors)
    workflow = check.workflow
    _refuse_rights(workflow, config)
    address = Address(host or workflow.host, port or workflow.port)
    check_listenable(address)
    configured = _configured_identity(workflow)
    stuck: SimpleQueue[StuckInstance] = SimpleQueue()
    zipper = Zipper(
        ZipperSettings(
            name=name_from(workflow.name),
            namespace=workflow.namespace,
            listen=[address],
            identity=configured or ensure_server_certificate(StateDirectory.from_environment(), [address.host]),
            policies=[policy_of(function) for function in workflow.functions],
            peers=[parse_address(peer) for peer in workflow.peers],
            client=configured or ensure_local_identity(StateDirectory.from_environment()),
            max_payload_bytes=workflow.limits.max_payload_bytes,
            queue_bytes=workflow.limits.queue_bytes,
            on_stuck=stuck.put,
        )
    )
    stopping = Stopping()
    supervisor = Supervisor()
    try:
        zipper.start()
        _announce(workflow, address, zipper, json=json)
        _add_workers(supervisor, workflow, address, configured)
        while not stopping.wait(POLL_S):
            while not stuck.empty():
                supervisor.kill(stuck.get().pid)
            supervisor.poll()
            if zipper.failure is not None:
                raise InternalError(f"the dispatcher failed: {zipper.failure}") from zipper.failure
    finally:
        supervisor.stop()
        ledger = _ledger(zipper)
        zipper.close()
    _account(ledger, json=json)
    raise typer.Exit(stopping.exit_code)


def _refuse_rights(workflow: Workflow, config: Path) -> None:
    """Rather than serve with everyone allowed everything."""
    if workflow.rights is not None or workflow.namespaces:
        what = "`rights` and `namespaces` are checked and compiled, and not enforced by `serve` yet"
        raise ConfigError(what, where=str(config))


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


def policy_of(function: FunctionConfig) -> GroupPolicy:
    """What the dispatcher needs to know about a function."""
    delivery = function.delivery
    return GroupPolicy(
        name=function.name,
        observe=frozenset(function.observe),
        mode=delivery.mode,
        queue=delivery.queue,
        max_age_ns=None if delivery.max_age_s is None else round(delivery.max_age_s * 1e9),
        retries=delivery.retries,
        order=delivery.order,
        timeout_ns=round(_timeout_s(function) * 1e9),
        dead_letter=delivery.dead_letter,
    )


def _timeout_s(function: FunctionConfig) -> float:
    """After which an instance counts as stuck that is at one frame still."""
    if function.delivery.timeout_s is not None:
        return function.delivery.timeout_s
    if function.run is None or is_program(function.run):
        return PROGRAM_TIMEOUT_S
    # Its own watchdog comes first.
    return function.sandbox.deadline_s + function.sandbox.grace_s + 2.0


def _configured_identity(workflow: Workflow) -> Identity | None:
    files = workflow.certificates
    if files is None:
        return None
    # The workers that we start present the same certificate, as clients; and so do we to other zippers.
    is_client = bool(workflow.peers) or any(function.run is not None for function in workflow.functions)
    return load_identity(
        files.ca, files.certificate, files.key, purposes=["server", "client"] if is_client else ["server"]
    )


def _add_workers(supervisor: Supervisor, workflow: Workflow, address: Address, configured: Identity | None) -> None:
    reach = Address(_ANY_ADDRESS.get(address.host, address.host), address.port)
    for function in workflow.functions:
        if function.run is None:
            continue
        command = worker_command(
            function, workflow.models, zipper=str(reach), namespace=workflow.namespace, identity=configured
        )
        for number in range(function.instances):
            supervisor.add(f"{function.name}#{number + 1}", command, worker_environment(function))


def _announce(workflow: Workflow, address: Address, zipper: Zipper, *, json: bool) -> None:
    name = zipper.settings.name
    if json:
        functions = [function.name for function in workflow.functions]
        say_json({"event": "ready", "zipper": name, "address": str(address), "functions": functions})
        return
    say(f"zipper `{name}` is listening on {address} (QUIC, TLS 1.3)")
    for function in workflow.functions:
        tags = ", ".join(map(format_tag, function.observe)) or "the tags it asks for"
        start = f"starting {function.instances} × {function.run.name}" if function.run else "connects by itself"
        say(f"  function `{function.name}`: observes {tags}; {start}")
    say("Ctrl-C ends it.")
