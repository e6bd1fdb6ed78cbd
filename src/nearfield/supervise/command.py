"""The command line of a worker: everything the workflow says about a function, as options of `nearfield run`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from nearfield.config import FunctionConfig, GrantsConfig, ModelConfig, format_duration, format_limits
from nearfield.frame import format_tag
from nearfield.signing import PublicKey
from nearfield.supervised import GUEST_ENVIRONMENT_VARIABLE
from nearfield.transport import Identity


def worker_command(
    function: FunctionConfig,
    models: Mapping[str, ModelConfig],
    *,
    zipper: str,
    namespace: str,
    identity: Identity | None,
    signers: Iterable[PublicKey] | None = None,
    token_file: Path | None = None,
) -> list[str]:
    """Arguments for one worker process.

    Args:
        models: all of the workflow; the function gets those it names, or all.
        zipper: address the worker connects to.
        identity: certificates to present; None: the local development identity.
        signers: of whom one must have signed what it loads; None: it need not be signed.
        token_file: where the worker finds its token, if the zipper asks for one.
    """
    assert function.run is not None
    sandbox = function.sandbox
    arguments = [sys.executable, "-m", "nearfield", "run", str(function.run)]
    arguments += ["--name", function.name, "--zipper", zipper, "--namespace", namespace]
    if function.credits is not None:
        arguments += ["--credits", str(function.credits)]
    if function.priority != "normal":
        arguments += ["--priority", function.priority]
    for tag in function.observe:
        arguments += ["--observe", format_tag(tag)]
    for tag in function.emit:
        arguments += ["--emit", format_tag(tag)]
    arguments += [*_provenance(function, signers), *_emission(function)]
    if identity is not None:
        arguments += ["--ca", str(identity.ca_pem_path)]
        arguments += ["--certificate", str(identity.certificate_path), "--key", str(identity.key_path)]
    if token_file is not None:
        arguments += ["--token-file", str(token_file)]
    if is_program(function.run):
        return arguments
    for name in models if function.models is None else function.models:
        arguments += _model(name, models[name])
    if function.entry is not None:
        arguments += ["--entry", function.entry]
    arguments += ["--instance", sandbox.instance]
    for limit in format_limits(sandbox):
        arguments += ["--limit", limit]
    arguments += ["--pixels", sandbox.pixels]
    arguments += ["--exact-pixels"] if sandbox.exact_pixels else []
    return [*arguments, *_grants(sandbox.grants), *(["--allow-precompiled"] if sandbox.allow_precompiled else [])]


def is_program(run: Path) -> bool:
    """Whether what a function runs is a program of Python's, `app.py` or `app.py:name`, and no guest."""
    return run.suffix == ".py" or ".py:" in run.name


def worker_environment(function: FunctionConfig) -> dict[str, str]:
    """Variables for one worker process: what would be seen by everyone on this machine as an argument."""
    granted = function.sandbox.grants.environment
    return {GUEST_ENVIRONMENT_VARIABLE: json.dumps(granted)} if granted else {}


def _provenance(function: FunctionConfig, signers: Iterable[PublicKey] | None) -> list[str]:
    arguments = [] if function.sha256 is None else ["--file-sha256", function.sha256]
    for signer in sorted(signer.text for signer in signers or ()):
        arguments += ["--trust", signer]
    return arguments


def _emission(function: FunctionConfig) -> list[str]:
    if function.emit_kind is None:
        return []
    arguments = ["--emit-kind", function.emit_kind, "--emit-bytes", str(function.emit_bytes)]
    return [*arguments, "--emit-rate", str(function.emit_bytes_per_s)]


def _model(name: str, model: ModelConfig) -> list[str]:
    arguments = ["--model", f"{name}={model.path}"]
    if model.labels is not None:
        arguments += ["--labels", f"{name}={model.labels}"]
    if model.sha256 is not None:
        arguments += ["--sha256", f"{name}={model.sha256}"]
    if model.backend is not None:
        arguments += ["--backend", f"{name}={model.backend}"]
    if model.device != "cpu":
        arguments += ["--device", f"{name}={model.device}"]
    if model.threads != 1:
        arguments += ["--threads", f"{name}={model.threads}"]
    if model.batch is not None:
        arguments += ["--batch", f"{name}={model.batch.max_frames}:{format_duration(model.batch.wait_s)}"]
    return arguments


def _grants(grants: GrantsConfig) -> list[str]:
    arguments = ["--clock-resolution", format_duration(grants.clock_resolution_s)]
    if grants.random_seed is not None:
        arguments += ["--random-seed", str(grants.random_seed)]
    for directory in grants.directories:
        arguments += ["--writable-dir" if directory.write else "--dir", f"{directory.guest}={directory.host}"]
    for host in grants.http_hosts:
        arguments += ["--http-host", host]
    return arguments
