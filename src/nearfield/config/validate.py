"""Rules between the fields of a workflow. Pure, except for `validate_files`."""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from nearfield.config.checks import EMISSION_KEYS, Check, check_emission, check_ports, check_signers
from nearfield.config.findings import DataPath, Finding, Lines
from nearfield.config.granted import (
    GUEST_PATH_EXPECTED,
    HTTP_HOST_EXPECTED,
    VARIABLE_EXPECTED,
    is_guest_path,
    is_variable,
    split_http_host,
)
from nearfield.config.graph import find_loops
from nearfield.config.peers import peer_problem
from nearfield.config.quantities import format_duration, format_size
from nearfield.config.rights import Tenant, tenants_of
from nearfield.config.schema import FunctionConfig, GrantsConfig, Workflow
from nearfield.config.validate_rights import path_of, rights_problems
from nearfield.frame.names import LOCAL_PREFIX
from nearfield.frame.tag import RESERVED_TAGS, format_tag
from nearfield.frame.token import DEFAULT_TOKEN_NAME, MIN_SAFE_CHARACTERS
from nearfield.signing import is_key_text

NO_LINES: Lines = {}


def validate_workflow(workflow: Workflow, lines: Lines = NO_LINES) -> list[Finding]:
    """Check what single fields cannot show.

    Args:
        lines: of the document that the workflow came from; also tells which settings were written down.
    """
    check = Check(lines)
    for tenant in tenants_of(workflow):
        _check_functions(tenant, workflow, check)
        _check_tags(tenant, check)
        _check_flow(tenant, check)
    for level, path, text in rights_problems(workflow):
        check.note(level, path, text)
    _check_devices(workflow, check)
    _check_peers(workflow, check)
    _check_limits(workflow, check)
    check_ports(workflow, check)
    check_signers(workflow, check)
    _check_auth(workflow, check)
    return check.findings


def validate_files(workflow: Workflow, lines: Lines = NO_LINES) -> list[Finding]:
    """Check that each file the workflow names exists and can be read. Touches the disk, opens each file once."""
    check = Check(lines)
    for path, file in _files(workflow):
        problem = _file_problem(file)
        if problem is not None:
            check.error(path, f"cannot read `{file}`: {problem}")
    return check.findings


def _check_functions(tenant: Tenant, workflow: Workflow, check: Check) -> None:
    first: dict[str, int] = {}
    for index, function in enumerate(tenant.functions):
        path: DataPath = (*path_of(tenant), "functions", index)
        if function.name in first:
            check.error((*path, "name"), f"`{function.name}` is already the name of functions[{first[function.name]}]")
        first.setdefault(function.name, index)
        _check_models(function, workflow, path, check)
        _check_batches(function, workflow, path, check)
        _check_grants(function.sandbox.grants, (*path, "sandbox", "grants"), check)
        if function.delivery.mode == "complete" and function.delivery.max_age_s is not None:
            check.error((*path, "delivery", "max_age"), "only for mode `live`; in `complete` no frame grows stale")
        if function.run is None:
            for key in ("instances", "sandbox", "entry", "models", "sha256", *EMISSION_KEYS):
                if (*path, key) in check.lines:
                    check.warning((*path, key), "has no effect without `run`: the function is started elsewhere")
        else:
            check_emission(function, path, check)


def _check_models(function: FunctionConfig, workflow: Workflow, path: DataPath, check: Check) -> None:
    for position, model in enumerate(function.models or ()):
        if model not in workflow.models:
            defined = ", ".join(f"`{name}`" for name in workflow.models) or "none"
            check.error((*path, "models", position), f"model `{model}` is not defined; defined: {defined}")


def _check_batches(function: FunctionConfig, workflow: Workflow, path: DataPath, check: Check) -> None:
    """Only fresh sandboxes can be several at a time."""
    if function.run is None or function.sandbox.instance != "worker":
        return
    for name in workflow.models if function.models is None else function.models:
        model = workflow.models.get(name)
        if model is not None and model.batch is not None and model.batch.max_frames > 1:
            text = f"`batch` of model `{name}` has no effect with `worker`: one sandbox handles one frame at a time"
            check.warning((*path, "sandbox", "instance"), text)


def _check_grants(grants: GrantsConfig, path: DataPath, check: Check) -> None:
    for name in grants.environment:
        if not is_variable(name):
            check.error((*path, "environment", name), f"got `{name}`, expected {VARIABLE_EXPECTED}")
    seen: set[PurePosixPath] = set()
    for index, directory in enumerate(grants.directories):
        place = (*path, "directories", index, "guest")
        if not is_guest_path(directory.guest):
            check.error(place, f"got `{directory.guest}`, expected {GUEST_PATH_EXPECTED}")
        elif PurePosixPath(directory.guest) in seen:
            check.error(place, f"got `{directory.guest}` twice, expected each path once")
        seen.add(PurePosixPath(directory.guest))
    for index, host in enumerate(grants.http_hosts):
        try:
            split_http_host(host)
        except ValueError:
            check.error((*path, "http_hosts", index), f"got `{host}`, expected {HTTP_HOST_EXPECTED}")
    if not 1e-9 <= grants.clock_resolution_s <= 1:
        given = format_duration(grants.clock_resolution_s)
        check.error((*path, "clock_resolution"), f"got {given}, expected 1 ns to 1 s")


def _check_tags(tenant: Tenant, check: Check) -> None:
    for index, function in enumerate(tenant.functions):
        place: DataPath = (*path_of(tenant), "functions", index)
        letter = function.delivery.dead_letter
        if letter is not None and letter in RESERVED_TAGS:
            check.error((*place, "delivery", "dead_letter"), _reserved(letter))
        for key, tags in (("observe", function.observe), ("emit", function.emit)):
            for position, tag in enumerate(tags):
                path = (*place, key, position)
                if tag in tags[:position]:
                    check.error(path, f"tag {format_tag(tag)} stands at {key}[{tags.index(tag)}] already")
                elif key == "emit" and tag in RESERVED_TAGS:
                    check.error(path, _reserved(tag))


def _reserved(tag: int) -> str:
    low, high = format_tag(RESERVED_TAGS[0]), format_tag(RESERVED_TAGS[-1])
    return f"tag {format_tag(tag)} is reserved; {low} to {high} cannot be emitted"


def _check_flow(tenant: Tenant, check: Check) -> None:
    functions = tenant.functions
    for loop in find_loops([(set(function.observe), _sent_by(function)) for function in functions]):
        first = loop[0]
        if len(loop) == 1:
            tags = _format_tags(set(functions[first].observe) & _sent_by(functions[first]))
            text = f"function `{functions[first].name}` emits {tags}, which it observes itself: a frame would never end"
        else:
            names = " -> ".join(f"`{functions[index].name}`" for index in (*loop, first))
            text = f"functions feed each other in a loop: {names}: a frame would never end"
        check.error((*path_of(tenant), "functions", first, "emit"), text)
    _check_entries(tenant, check)


def _sent_by(function: FunctionConfig) -> set[int]:
    """Tags of what the function emits, and of its dead letters."""
    letter = function.delivery.dead_letter
    return set(function.emit) | (set() if letter is None else {letter})


def _check_entries(tenant: Tenant, check: Check) -> None:
    """Warn of observed tags that no function emits, where that may be a slip of the pen.

    Tags from outside enter somewhere, so one such tag is what every workflow has; more may be a misspelt one.
    """
    emitted = {tag for function in tenant.functions for tag in _sent_by(function)}
    entries = Counter(tag for function in tenant.functions for tag in function.observe if tag not in emitted)
    if len(entries) < 2 or not emitted:
        return
    for index, function in enumerate(tenant.functions):
        for position, tag in enumerate(function.observe):
            if tag in entries:
                known = _format_tags(emitted)
                text = f"no function emits {format_tag(tag)}, so it must come from a source; emitted: {known}"
                check.warning((*path_of(tenant), "functions", index, "observe", position), text)


def _check_devices(workflow: Workflow, check: Check) -> None:
    for name, model in workflow.models.items():
        if model.device == "cuda" and model.backend in ("litert", "openvino"):
            text = f"`cuda` is not for backend `{model.backend}`, which computes on the CPU; expected `cpu` or `auto`"
            check.error(("models", name, "device"), text)


def _check_limits(workflow: Workflow, check: Check) -> None:
    limits = workflow.limits
    if limits.queue_bytes < limits.max_payload_bytes:
        given, least = format_size(limits.queue_bytes), format_size(limits.max_payload_bytes)
        check.error(("limits", "queue_bytes"), f"got {given}, expected at least `max_payload`, {least}")


def _check_auth(workflow: Workflow, check: Check) -> None:
    auth = workflow.auth
    if workflow.insecure:
        text = "everyone who reaches the port may send and receive everything; leave it out wherever others can"
        check.warning(("insecure",), text)
        if auth.type == "token":
            check.error(("auth", "type"), "no token is asked for with `insecure`; leave one of the two out")
    given = [key for key in ("token", "tokens") if getattr(auth, key)]
    if auth.type == "certificate":
        for key in given:
            check.error(("auth", key), "only with `type: token`")
    elif not given:
        check.error(("auth",), "got no token, expected `token` or `tokens`")
    for name, token in auth.by_name().items():
        path: DataPath = ("auth", "tokens", name) if name in auth.tokens else ("auth", "token")
        _check_token(name, token, path, check)
    if auth.token is not None and DEFAULT_TOKEN_NAME in auth.tokens:
        check.error(("auth", "tokens", DEFAULT_TOKEN_NAME), "`token` is the one of this name; leave one of them out")


def _check_token(name: str, token: str, path: DataPath, check: Check) -> None:
    if name.lower().startswith(LOCAL_PREFIX):
        check.error(path, f"names that begin with `{LOCAL_PREFIX}` are those of this machine's users")
    if len(token) < MIN_SAFE_CHARACTERS:
        check.warning(path, f"a short token can be guessed; expected {MIN_SAFE_CHARACTERS} random characters or more")


def _check_peers(workflow: Workflow, check: Check) -> None:
    for index, peer in enumerate(workflow.peers):
        problem = peer_problem(peer)
        if problem is not None:
            check.error(("peers", index), problem)
        elif peer in workflow.peers[:index]:
            check.error(("peers", index), f"got `{peer}` twice, expected each zipper once")


def _format_tags(tags: set[int]) -> str:
    return ", ".join(format_tag(tag) for tag in sorted(tags))


def _files(workflow: Workflow) -> Iterator[tuple[DataPath, Path]]:
    for tenant in tenants_of(workflow):
        for index, function in enumerate(tenant.functions):
            if function.run_file is not None:
                yield (*path_of(tenant), "functions", index, "run"), function.run_file
    for name, model in workflow.models.items():
        yield ("models", name, "path"), model.path
        if model.labels is not None:
            yield ("models", name, "labels"), model.labels
    if (certificates := workflow.certificates) is not None:
        yield ("certificates", "ca"), certificates.ca
        yield ("certificates", "certificate"), certificates.certificate
        yield ("certificates", "key"), certificates.key
    for index, signer in enumerate(workflow.trusted_signers):
        if not is_key_text(signer):
            yield ("trusted_signers", index), Path(signer)


def _file_problem(file: Path) -> str | None:
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # before opening: a pipe would block
            return "not a regular file"
        with file.open("rb"):
            return None
    except OSError as error:
        return (error.strerror or str(error)).lower()
