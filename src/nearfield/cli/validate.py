"""`nearfield validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.config import Finding, Workflow, WorkflowInvalid, check_workflow
from nearfield.config.findings import Lines, format_path, line_of
from nearfield.errors import NearfieldError

WorkflowFile = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="The workflow file.")]


def validate(workflow: WorkflowFile = Path("workflow.yaml"), json: options.Json = False) -> None:
    """Check a workflow file, the files it names, and its models as far as that goes without running them."""
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
        names = ", ".join(function.name for function in check.workflow.functions) or "none"
        say(f"{workflow}: valid; functions: {names}")


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
