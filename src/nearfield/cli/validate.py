"""`nearfield validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nearfield.cli import options
from nearfield.cli.output import say, say_json
from nearfield.config import WorkflowInvalid, check_workflow

WorkflowFile = Annotated[Path, typer.Argument(metavar="WORKFLOW", help="The workflow file.")]


def validate(workflow: WorkflowFile = Path("workflow.yaml"), json: options.Json = False) -> None:
    """Check a workflow file, and that the files it names can be read, without starting anything."""
    check = check_workflow(workflow)
    if json:
        for finding in check.findings:
            say_json({"level": finding.level, "line": finding.line, "path": finding.path, "text": finding.text})
    elif check.findings and not check.errors:
        for finding in check.findings:
            say(finding.located(str(workflow)))
    if check.errors:
        raise WorkflowInvalid(str(workflow), check.errors)
    if not json and check.workflow is not None:
        names = ", ".join(function.name for function in check.workflow.functions) or "none"
        say(f"{workflow}: valid; functions: {names}")
