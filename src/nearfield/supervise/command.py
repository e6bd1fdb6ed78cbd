"""The command line of a worker: everything the workflow says about a function, as options of `nearfield run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from nearfield.config import FunctionConfig, ModelConfig, format_duration
from nearfield.frame import format_tag
from nearfield.transport import Identity


def worker_command(
    function: FunctionConfig,
    models: Mapping[str, ModelConfig],
    *,
    zipper: str,
    namespace: str,
    identity: Identity | None,
) -> list[str]:
    """Arguments for one worker process.

    Args:
        models: all of the workflow; the function gets those it names, or all.
        zipper: address the worker connects to.
        identity: certificates to present; None: the local development identity.
    """
    assert function.run is not None
    sandbox = function.sandbox
    arguments = [sys.executable, "-m", "nearfield", "run", str(function.run)]
    arguments += ["--name", function.name, "--zipper", zipper, "--namespace", namespace]
    arguments += ["--credits", str(function.credits)]
    for tag in function.observe:
        arguments += ["--observe", format_tag(tag)]
    for tag in function.emit:
        arguments += ["--emit", format_tag(tag)]
    if identity is not None:
        arguments += ["--ca", str(identity.ca_pem_path)]
        arguments += ["--certificate", str(identity.certificate_path), "--key", str(identity.key_path)]
    if function.run.suffix != ".wasm":
        return arguments
    for name in models if function.models is None else function.models:
        model = models[name]
        arguments += ["--model", f"{name}={model.path}"]
        if model.labels is not None:
            arguments += ["--labels", f"{name}={model.labels}"]
        if model.threads != 1:
            arguments += ["--threads", f"{name}={model.threads}"]
    if function.entry is not None:
        arguments += ["--entry", function.entry]
    arguments += [
        *("--instance", sandbox.instance),
        *("--deadline", format_duration(sandbox.deadline_s)),
        *("--memory", str(sandbox.memory_bytes)),
        *("--max-table", str(sandbox.table_elements)),
        *("--max-output", str(sandbox.output_bytes)),
        *("--max-emitted", str(sandbox.emitted_frames)),
        *("--max-log-lines", str(sandbox.log_lines)),
        *("--max-module", str(sandbox.module_bytes)),
        *("--max-handles", str(sandbox.handles)),
    ]
    return arguments
