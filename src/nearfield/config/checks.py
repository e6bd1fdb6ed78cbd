"""Rules about ports, about who vouches for files, and about what functions may emit. Pure."""

from __future__ import annotations

from typing import Literal

from nearfield.config.findings import DataPath, Finding, Lines, format_path, line_of
from nearfield.config.rights import tenants_of
from nearfield.config.schema import FunctionConfig, Workflow
from nearfield.config.validate_rights import path_of

EMISSION_KEYS = ("emit_kind", "emit_bytes", "emit_rate")


class Check:
    """Findings as they come, with their lines."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.findings: list[Finding] = []

    def error(self, path: DataPath, text: str) -> None:
        self.note("error", path, text)

    def warning(self, path: DataPath, text: str) -> None:
        self.note("warning", path, text)

    def note(self, level: Literal["error", "warning"], path: DataPath, text: str) -> None:
        self.findings.append(Finding(level, line_of(self.lines, path), format_path(path), text))


def check_ports(workflow: Workflow, check: Check) -> None:
    """A second port is another one."""
    if workflow.second_port == workflow.port:
        check.error(("second_port",), f"got {workflow.port}, expected another one than `port`")


def check_signers(workflow: Workflow, check: Check) -> None:
    """`require_signed` and `trusted_signers` belong together, and reach only what this zipper starts."""
    if not workflow.require_signed:
        if workflow.trusted_signers:
            check.warning(("trusted_signers",), "has no effect without `require_signed: true`")
        return
    if not workflow.trusted_signers:
        check.error(
            ("trusted_signers",), "missing, expected the public key of at least one whom `require_signed` means"
        )
    for tenant in tenants_of(workflow):
        for index, function in enumerate(tenant.functions):
            if function.run is None:
                text = "`require_signed` says nothing of a function that connects by itself"
                check.warning((*path_of(tenant), "functions", index), text)


def check_emission(function: FunctionConfig, path: DataPath, check: Check) -> None:
    """`emit_kind` promises something only where nothing else leads out."""
    if function.emit_kind is None:
        for key in EMISSION_KEYS:
            if (*path, key) in check.lines:
                check.warning((*path, key), "has no effect without `emit_kind`")
        return
    if not function.emit:
        check.error(
            (*path, "emit"), "missing, expected tags: with `emit_kind`, a tag of its own choice would tell much"
        )
    for key, is_open in (
        ("http_hosts", bool(function.sandbox.grants.http_hosts)),
        ("directories", any(directory.write for directory in function.sandbox.grants.directories)),
    ):
        if is_open:
            check.warning((*path, "sandbox", "grants", key), "is a way out for what `emit_kind` keeps in")
    if function.delivery.dead_letter is not None:
        text = "publishes the frame itself when the function fails, whatever `emit_kind` says"
        check.warning((*path, "delivery", "dead_letter"), text)
