"""From a workflow file to a `Workflow`, or to everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nearfield.config.convert import convert_workflow
from nearfield.config.findings import Finding, Lines, location
from nearfield.config.schema import Workflow
from nearfield.config.validate import validate_files, validate_workflow
from nearfield.config.yaml import MAX_BYTES, YamlRefused, read_yaml
from nearfield.errors import ConfigError


class WorkflowInvalid(ConfigError):
    """A workflow file cannot be used. Its text has one line for each error.

    Attributes:
        name: the file as the user named it.
        findings: the errors, in the order of their lines. `where` and `what` are those of the first.
    """

    def __init__(self, name: str, findings: tuple[Finding, ...]) -> None:
        super().__init__(str(findings[0]), where=location(name, findings[0].line))
        self.name = name
        self.findings = findings

    def __str__(self) -> str:
        return "\n".join(finding.located(self.name) for finding in self.findings)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.name, self.findings))


@dataclass(frozen=True, slots=True)
class WorkflowCheck:
    """What checking a file gave.

    Attributes:
        workflow: None when an error keeps it from being built.
        findings: errors and warnings in the order of their lines.
        lines: of every value in the file, for further checks.
    """

    workflow: Workflow | None
    findings: tuple[Finding, ...]
    lines: Lines = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == "error")


def load_workflow(path: str | Path, *, files: bool = False) -> Workflow:
    """Read a workflow file for use.

    Args:
        path: as the user gave it; messages name it so. Paths inside the file are relative to its folder.
        files: check too that the files it names can be read.

    Raises:
        ConfigError: the file cannot be read.
        WorkflowInvalid: a ConfigError with every error found.
    """
    check = check_workflow(path, files=files)
    if check.errors or check.workflow is None:
        raise WorkflowInvalid(str(path), check.errors)
    return check.workflow


def check_workflow(path: str | Path, *, files: bool = True) -> WorkflowCheck:
    """Find all that is wrong or doubtful in a workflow file.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot read the workflow: {reason.lower()}", where=str(path)) from error
    return check_content(content, base=Path(path).absolute().parent, files=files)


def check_content(content: bytes, *, base: Path, files: bool = False) -> WorkflowCheck:
    """Like `check_workflow` for text at hand; `base` is the absolute folder that its paths are relative to."""
    try:
        document = read_yaml(content)
    except YamlRefused as refused:
        return WorkflowCheck(None, (refused.finding,))
    workflow, findings = convert_workflow(document, base)
    if workflow is not None:
        findings += validate_workflow(workflow, document.lines)
        if files:
            findings += validate_files(workflow, document.lines)
    return WorkflowCheck(workflow, tuple(sorted(findings, key=lambda finding: finding.line or 0)), document.lines)
