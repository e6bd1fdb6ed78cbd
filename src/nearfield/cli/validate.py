"""`nearfield validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.cli.rights_table import rights_object, rights_text
from nearfield.config import Finding, Workflow, WorkflowInvalid, check_workflow, tenants_of
from nearfield.config.findings import Lines, format_path, line_of
from nearfield.config.matrix import matrix_of
from nearfield.errors import NearfieldError

WorkflowFile = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="The workflow file.")]
Rights = Annotated[bool, typer.Option("--rights", help="Show who may do what, even if the file says nothing of it.")]


def validate(
    workflow: WorkflowFile = Path("workflow.yaml"), rights: Rights = False, json: options.Json = False
) -> None:
    """Check a workflow file, the files it names, and its models as far as that goes without running them.

    Where the file has `rights` or `namespaces`, show who may do what.
    """
    check = check_workflow(workflow)
    errors = check.errors
    if not errors and check.workflow is not None:
        errors = model_errors(check.workflow, check.lines)
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


def model_errors(workflow: Workflow, lines: Lines) -> tuple[Finding, ...]:
    """What is wrong with model files as far as it shows without a runtime: format, digest, labels that do not read."""
    if not workflow.models:
        return ()
    from nearfield.inference import ModelSource
    from nearfield.inference.labels import read_labels
    from nearfield.inference.model_file import read_model

    errors = []
    for name, model in workflow.models.items():
        try:
            read_model(ModelSource(model.path, sha256=model.sha256, backend=model.backend), name)
            if model.labels is not None:
                read_labels(model.labels, where=f"model `{name}`")
        except NearfieldError as wrong:
            text = wrong.what if wrong.hint is None else f"{wrong.what}; {wrong.hint}"
            path = ("models", name, "path")
            errors.append(Finding("error", line_of(lines, path), format_path(path), text))
    return tuple(errors)
