"""`nearfield run`: one instance of a stream function, a WebAssembly guest or a Python program."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nearfield.cli import emission_options, model_options, options, provenance_options, sandbox_options
from nearfield.cli.output import say, say_json
from nearfield.cli.program import load_program
from nearfield.cli.stopping import Stopping
from nearfield.errors import NearfieldError, UsageError
from nearfield.frame import Frame, Priority, check_name, format_tag, name_from
from nearfield.function import Handler, PythonFunction, Worker, WorkerSettings
from nearfield.signing import Provenance
from nearfield.supervised import is_supervised
from nearfield.telemetry import configure_logging
from nearfield.transport import DEFAULT_ZIPPER, dial

if TYPE_CHECKING:
    # Its engines are imported where a guest is run, and only then.
    from nearfield.cli.contained import RenewalWatch

Target = Annotated[str, typer.Argument(metavar="GUEST.wasm|APP.py[:FUNCTION]", help="What to run.")]
Name = Annotated[
    str | None,
    typer.Option("--name", "-n", metavar="NAME", help="Function name, as in the workflow; default: the file's."),
]
Observe = Annotated[
    list[str] | None,
    typer.Option("--observe", metavar="TAG", help="Tag to observe; repeat for more; default: those in the workflow."),
]
Emit = Annotated[
    list[str] | None,
    typer.Option(
        "--emit",
        metavar="TAG",
        help="Tag it may emit; repeat for more; default: any. The first is the tag "
        "of results from guests that name none; default: the observed tag + 1.",
    ),
]
Entry = Annotated[str | None, typer.Option(metavar="EXPORT", help="Export to call, for guests that leave a choice.")]
Instance = Annotated[
    str, typer.Option(metavar="frame|worker", help="A fresh sandbox for every frame, or one that keeps its memory.")
]
Deadline = Annotated[str, typer.Option(metavar="DURATION", help="Wall-clock limit of one call.")]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="Memory limit of the sandbox.")]
EmitPriority = Annotated[
    str | None,
    typer.Option("--priority", metavar="high|normal|low", help="Of what it emits; default: normal."),
]
Credits = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=64, help="Frames to take before the first is done; 2, or more of quick ones."),
]


def run(
    target: Target,
    name: Name = None,
    observe: Observe = None,
    emit: Emit = None,
    zipper: options.Zipper = DEFAULT_ZIPPER,
    model: model_options.Model = None,
    labels: model_options.Labels = None,
    sha256: model_options.Sha256 = None,
    backend: model_options.BackendName = None,
    device: model_options.DeviceName = None,
    threads: model_options.Threads = None,
    batch: model_options.Batch = None,
    entry: Entry = None,
    instance: Instance = "frame",
    deadline: Deadline = "1s",
    memory: Memory = "256MiB",
    credits: Credits = None,
    priority: EmitPriority = None,
    limit: sandbox_options.Limit = None,
    env: sandbox_options.Environment = None,
    dir: sandbox_options.ReadableDirectory = None,
    writable_dir: sandbox_options.WritableDirectory = None,
    clock_resolution: sandbox_options.ClockResolution = "1us",
    random_seed: sandbox_options.RandomSeed = None,
    http_host: sandbox_options.HttpHost = None,
    pixels: sandbox_options.Pixels = "auto",
    exact_pixels: sandbox_options.ExactPixels = False,
    allow_precompiled: sandbox_options.AllowPrecompiled = False,
    file_sha256: provenance_options.FileSha256 = None,
    trust: provenance_options.Trust = None,
    emit_kind: emission_options.Kind = None,
    emit_bytes: emission_options.Bytes = None,
    emit_rate: emission_options.Rate = None,
    namespace: options.Namespace = "default",
    ca: options.Ca = None,
    certificate: options.Certificate = None,
    key: options.Key = None,
    token_file: options.TokenFile = None,
    json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Run one instance of a stream function, connected to a zipper, until Ctrl-C.

    A guest gets a fresh sandbox for every frame, and nothing of this machine but the models and grants named here.
    """
    configure_logging(verbose=verbose)
    observed = options.tags_of("--observe", observe)
    allowed = options.tags_of("--emit", emit)
    chosen_priority = None if priority is None else options.priority_of(priority)
    provenance = provenance_options.provenance_of(file_sha256, trust)
    emission = emission_options.rules_of(emit_kind, emit_bytes, emit_rate, allowed)
    # Local ones are made now, if need be: before containment, after which this process writes nothing there.
    identity = options.credentials_of(ca, certificate, key, token_file)
    models = model_options.ModelOptions(
        *(tuple(given or ()) for given in (model, labels, sha256, backend, device, threads, batch))
    )
    if _is_guest(target):
        # No thread of numpy's may exist before containment, which could not reach it.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"
        from nearfield.cli.contained import RenewalWatch
        from nearfield.cli.guests import GuestOptions, load_guest

        function = name or name_from(Path(target).stem)
        renewal = RenewalWatch(identity)
        handler, asked = load_guest(
            GuestOptions(
                path=Path(target),
                name=check_name("function", function),
                observe=observed,
                emit=allowed,
                models=models,
                entry=entry,
                instance=_instance(instance),
                limits=sandbox_options.limits_of(deadline, memory, limit),
                grants=sandbox_options.grants_of(env, dir, writable_dir, clock_resolution, random_seed, http_host),
                pictures=sandbox_options.pictures_of(pixels, exact_pixels),
                allow_precompiled=allow_precompiled,
                provenance=provenance,
                keeps_words=emission is not None,
            ),
            identity=identity,
            zipper=zipper,
        )
        settings = WorkerSettings(
            function, observed or asked, frozenset(allowed) or None, credits, chosen_priority or "normal"
        )
        plan = _Plan(settings, handler, zipper, renewal=renewal)
    else:
        plan = _plan_of_program(target, name, observed, allowed, zipper, chosen_priority, provenance)
    if emission is not None:
        plan.settings = dataclasses.replace(plan.settings, emission=emission)
    connection = dial(plan.zipper, identity=identity, namespace=namespace)
    try:
        worker = Worker(
            plan.settings,
            plan.handler,
            connection,
            on_frame=(lambda *frame: _print(*frame, json=json)) if json or verbose else None,
        )
        # Before it may be given frames: from then on it leaves in order.
        stopping = Stopping(worker.stop)
        worker.join()
        if plan.renewal is not None:
            plan.renewal.start(worker.stop)
        _announce(worker, plan, connection.zipper, json=json, quiet=is_supervised())
        worker.run()
    finally:
        connection.close()
    raise typer.Exit(stopping.exit_code)


@dataclass(slots=True)
class _Plan:
    settings: WorkerSettings
    handler: Handler
    zipper: str
    renewal: RenewalWatch | None = None


def _is_guest(target: str) -> bool:
    if Path(target).suffix == ".py" or ".py:" in target:
        return False
    if not Path(target).is_file():
        raise UsageError("no such file", where=target)
    return True


def _plan_of_program(
    target: str,
    name: str | None,
    observed: tuple[int, ...],
    allowed: tuple[int, ...],
    zipper: str,
    priority: Priority | None,
    provenance: Provenance,
) -> _Plan:
    file, _, chosen = target.partition(":")
    function = load_program(Path(file), chosen, provenance)
    assert function.handler is not None
    emit = frozenset(allowed) or function.emit
    address = function.zipper if zipper == DEFAULT_ZIPPER and isinstance(function.zipper, str) else zipper
    settings = WorkerSettings(
        name or function.name,
        observed or function.observe,
        emit,
        function.credits,
        priority or function.priority,
        function.emission,
    )
    return _Plan(settings, PythonFunction(function.handler), address)


def _announce(worker: Worker, plan: _Plan, zipper: str, *, json: bool, quiet: bool) -> None:
    name, runtime = plan.settings.function, plan.handler.runtime
    if json:
        observe = [format_tag(tag) for tag in worker.observe]
        say_json({"event": "ready", "function": name, "instance": worker.instance, "abi": runtime, "observe": observe})
    elif not quiet:
        tags = ", ".join(map(format_tag, worker.observe))
        say(f"function `{name}` ({runtime}) joined zipper `{zipper}`, observing {tags}; Ctrl-C ends it.")


def _print(frame: Frame, error: NearfieldError | None, handler_ns: int, *, json: bool) -> None:
    handler_ms = round(handler_ns / 1e6, 3)
    if json:
        what = None if error is None else str(error)
        say_json({"origin": frame.origin, "sequence": frame.sequence, "handler_ms": handler_ms, "error": what})
    else:
        outcome = "done" if error is None else "failed"
        say(f"{frame.origin}/{frame.sequence}  {format_tag(frame.tag)}  {outcome} in {handler_ms:.1f} ms")


def _instance(text: str) -> Literal["frame", "worker"]:
    if text not in ("frame", "worker"):
        raise UsageError(f"--instance: got `{text}`, expected frame or worker")
    return text  # type: ignore[return-value]
