"""`nearfield validate`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.cli.program import read_program
from nearfield.cli.provenance_options import signers_of
from nearfield.cli.rights_table import rights_object, rights_text
from nearfield.config import Finding, FunctionConfig, Workflow, WorkflowInvalid, check_workflow, tenants_of
from nearfield.config.findings import DataPath, Lines, format_path, line_of
from nearfield.config.matrix import matrix_of
from nearfield.config.validate_rights import path_of
from nearfield.errors import ConfigError, NearfieldError
from nearfield.signing import Provenance, PublicKey
from nearfield.supervise import is_program

WorkflowFile = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="The workflow file.")]
Rights = Annotated[bool, typer.Option("--rights", help="Show who may do what, even if the file says nothing of it.")]


def validate(
    workflow: WorkflowFile = Path("workflow.yaml"), rights: Rights = False, json: options.Json = False
) -> None:
    """Check a workflow file, the files it names, their digests and signatures, and its models without running them.

    Where the file has `rights` or `namespaces`, show who may do what.
    """
    check = check_workflow(workflow)
    errors = check.errors
    if not errors and check.workflow is not None:
        errors = file_errors(check.workflow, check.lines)
    if json:
        for finding in (*check.findings, *(each for each in errors if each not in check.findings)):
            say_json({"level": finding.level, "line": finding.line, "path": finding.path, "text": finding.text})
    elif check.findings and not errors:
        for finding in check.findings:
            say(finding.located(str(workflow)))
    if errors:
        raise WorkflowInvalid(str(workflow), errors)
    if not json and check.workflow is not None:
        names = (
            ", ".join(function.name for tenant in tenants_of(check.workflow) for function in tenant.functions) or "none"
        )
        say(f"{workflow}: valid; functions: {names}")
    if check.workflow is not None and (rights or says_who_may_what(check.workflow)):
        _show_rights(check.workflow, json=json)


def says_who_may_what(workflow: Workflow) -> bool:
    """Whether a workflow has rights of its own making."""
    return workflow.rights is not None or bool(workflow.namespaces)


def _show_rights(workflow: Workflow, *, json: bool) -> None:
    rows = matrix_of(workflow)
    if json:
        for row in rows:
            say_json(rights_object(row))
    else:
        say(rights_text(rows))


def file_errors(workflow: Workflow, lines: Lines) -> tuple[Finding, ...]:
    """What is wrong with the files of functions and models, as far as it shows without running them."""
    try:
        signers = signers_of(workflow)
    except ConfigError as wrong:
        return (_finding(wrong, ("trusted_signers",), lines),)
    return (*function_errors(workflow, signers, lines), *model_errors(workflow, signers, lines))


def function_errors(workflow: Workflow, signers: frozenset[PublicKey] | None, lines: Lines) -> Iterator[Finding]:
    """Guests and programs that are not those that were meant."""
    placed = (
        ((*path_of(tenant), "functions", index, "run"), function)
        for tenant in tenants_of(workflow)
        for index, function in enumerate(tenant.functions)
    )
    for path, function in placed:
        provenance = Provenance(function.sha256, signers)
        if function.run is None or function.run_file is None or provenance == Provenance():
            continue
        where = f"function `{function.name}`"
        try:
            if is_program(function.run):
                read_program(function.run_file, provenance, where=where)
            else:
                check_guest(function, provenance, where=where)
        except NearfieldError as wrong:
            yield _finding(wrong, path, lines)


def model_errors(workflow: Workflow, signers: frozenset[PublicKey] | None, lines: Lines) -> Iterator[Finding]:
    """Models of an unknown format, another digest, without a signature, and labels that do not read."""
    if not workflow.models:
        return
    from nearfield.inference import ModelSource
    from nearfield.inference.labels import read_labels
    from nearfield.inference.model_file import read_model

    for name, model in workflow.models.items():
        try:
            read_model(ModelSource(model.path, sha256=model.sha256, backend=model.backend, signers=signers), name)
            if model.labels is not None:
                read_labels(model.labels, where=f"model `{name}`")
        except NearfieldError as wrong:
            yield _finding(wrong, ("models", name, "path"), lines)


def check_guest(function: FunctionConfig, provenance: Provenance, *, where: str) -> None:
    """Hold a guest's file against what it must be."""
    # The engine takes a moment to import.
    from nearfield.sandbox import Limits
    from nearfield.sandbox.module import read_module

    assert function.run is not None
    content = read_module(function.run, Limits(module_bytes=function.sandbox.module_bytes), where)
    provenance.check([content], "guest", function.run, where=where)


def _finding(wrong: NearfieldError, path: DataPath, lines: Lines) -> Finding:
    text = wrong.what if wrong.hint is None else f"{wrong.what}; {wrong.hint}"
    return Finding("error", line_of(lines, path), format_path(path), text)
