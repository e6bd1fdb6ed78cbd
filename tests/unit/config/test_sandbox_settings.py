"""Limits and grants in the workflow file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nearfield.config import check_content, format_limits, parse_limits
from nearfield.config.schema import SandboxConfig

BASE = Path("/base")


def check(sandbox: str) -> tuple[SandboxConfig | None, list[str]]:
    """The sandbox of a workflow with this text under `sandbox:`, and what is wrong with it."""
    indented = "\n".join(f"      {line}" for line in sandbox.splitlines())
    function = "  - name: f\n    run: f.wasm\n    observe: [1]\n    emit: [2]\n    sandbox:"
    text = f"name: n\nfunctions:\n{function}\n{indented}\n"
    checked = check_content(text.encode(), base=BASE)
    errors = [f"{finding.path}: {finding.text}" for finding in checked.findings if finding.level == "error"]
    workflow = checked.workflow
    return (None if workflow is None or errors else workflow.functions[0].sandbox), errors


def test_every_limit_and_grant_can_be_written() -> None:
    sandbox, errors = check(
        """\
host_time: 200ms
grace: 2s
log_rate: 1MiB
files: 8
loaded_models: 4MiB
loaded_models_total: 8MiB
compile_time: 10s
compile_memory: 1GiB
picture: 1MiB
picture_pixels: 1000000
picture_scans: 20
pixels: align-corners
exact_pixels: true
allow_precompiled: true
grants:
  environment: {LINE: "3", TOKEN: ""}
  directories:
    - {host: parts, guest: /data}
    - {host: /srv/out, guest: /out, write: true}
  clock_resolution: 1ms
  random_seed: 42
  http_hosts: [api.example.org, "[fd00::7]:8080"]"""
    )
    assert errors == []
    assert sandbox is not None
    assert (sandbox.host_time_s, sandbox.log_bytes_per_s, sandbox.allow_precompiled) == (0.2, 2**20, True)
    assert (sandbox.picture_bytes, sandbox.picture_pixels, sandbox.picture_scans) == (2**20, 1_000_000, 20)
    assert (sandbox.pixels, sandbox.exact_pixels) == ("align-corners", True)
    grants = sandbox.grants
    assert grants.environment == {"LINE": "3", "TOKEN": ""}
    assert [(d.host, d.guest, d.write) for d in grants.directories] == [
        (BASE / "parts", "/data", False),
        (Path("/srv/out"), "/out", True),
    ]
    assert (grants.clock_resolution_s, grants.random_seed) == (0.001, 42)


@pytest.mark.parametrize(
    ("sandbox", "error"),
    [
        ("allow_precompiled: yes", 'allow_precompiled: got "yes", expected true or false'),
        ("pixels: bilinear", 'pixels: got "bilinear", expected `align-corners` or `auto` or `smooth`'),
        ("picture_pixels: 0", "picture_pixels: got 0, expected a whole number from 1 to 268435456"),
        ("files: 0", "files: got 0, expected a whole number from 1 to 1024"),
        ("grants: {environment: {A-B: x}}", "environment.A-B: got `A-B`, expected letters, digits and `_`"),
        ("grants: {environment: {A: 1}}", "environment.A: got 1, expected printable text of 0 to 4096 characters"),
        ("grants: {directories: [{host: a, guest: data}]}", "guest: got `data`, expected an absolute path without"),
        ("grants: {directories: [{host: a, guest: /a/../b}]}", "guest: got `/a/../b`, expected an absolute path"),
        (
            "grants: {directories: [{host: a, guest: /d}, {host: b, guest: /d/}]}",
            "directories[1].guest: got `/d/` twice, expected each path once",
        ),
        ("grants: {directories: [{guest: /d}]}", "directories[0].host: missing, expected a path"),
        ("grants: {http_hosts: ['http://x']}", "http_hosts[0]: got `http://x`, expected a host such as"),
        ("grants: {clock_resolution: 2s}", "clock_resolution: got 2s, expected 1 ns to 1 s"),
        ("grants: {random_seed: -1}", "random_seed: got -1, expected a whole number from 0 to"),
        ("grants: {randomness: real}", "randomness: unknown key"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(sandbox: str, error: str) -> None:
    _, errors = check(sandbox)
    assert len(errors) == 1
    assert error in errors[0]


def test_limits_survive_the_way_to_the_worker() -> None:
    sandbox = SandboxConfig(deadline_s=0.25, host_time_s=0.1, memory_bytes=123, handles=5)
    given = parse_limits(format_limits(sandbox))
    assert all(getattr(sandbox, name) == value for name, value in given.items())
    assert given["host_time_s"] == 0.1
