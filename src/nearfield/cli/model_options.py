"""Options of `nearfield run` about models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from nearfield.config import BatchConfig, parse_duration
from nearfield.errors import ConfigError, UsageError

if TYPE_CHECKING:
    # numpy comes with it, which a Python function may have no use for.
    from nearfield.inference import BatchSettings, Device, ModelSource
    from nearfield.signing import PublicKey

DEFAULT_MODEL = "default"

Model = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="[NAME=]PATH", help="A model the guest may use; the first is also `default`."),
]
Labels = Annotated[
    list[str] | None, typer.Option("--labels", metavar="[NAME=]PATH", help="Class names of a model, one a line.")
]
Sha256 = Annotated[
    list[str] | None, typer.Option("--sha256", metavar="[NAME=]HEX", help="Digest that a model's file must have.")
]
BackendName = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="[NAME=]BACKEND",
        help="What runs a model: litert, onnxruntime or openvino; default: as its file tells.",
    ),
]
DeviceName = Annotated[
    list[str] | None,
    typer.Option("--device", metavar="[NAME=]cpu|cuda|auto", help="Where a model computes; default cpu."),
]
Threads = Annotated[
    list[str] | None, typer.Option("--threads", metavar="[NAME=]N", help="Threads of one inference; default 1.")
]
Batch = Annotated[
    list[str] | None,
    typer.Option(
        "--batch",
        metavar="[NAME=]N[:WAIT]",
        help="Put up to N frames together for one inference, the first of which waits that long; default 2ms.",
    ),
]

_MOST_THREADS = 256
_MOST_FRAMES = 256

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """As they were given, `[NAME=]VALUE` each; without a name, the model `default`."""

    models: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()
    backend: tuple[str, ...] = ()
    device: tuple[str, ...] = ()
    threads: tuple[str, ...] = ()
    batch: tuple[str, ...] = ()


def model_sources(options: ModelOptions, signers: frozenset[PublicKey] | None = None) -> dict[str, ModelSource]:
    """Models by name.

    Args:
        signers: of whom one must have signed each; None: they need not be signed.

    Raises:
        UsageError: a name twice, an option for a model that is not given, a value that does not read.
        ConfigError: a file is missing, a digest is none, or there is no such backend.
    """
    from nearfield.inference import Device, ModelSource

    paths = _named("--model", options.models, Path)
    labels = _of(paths, "--labels", options.labels, Path)
    digests = _of(paths, "--sha256", options.sha256, str)
    backends = _of(paths, "--backend", options.backend, str)
    devices = _of(paths, "--device", options.device, _device)
    threads = _of(paths, "--threads", options.threads, _thread_count)
    batches = _of(paths, "--batch", options.batch, _batch)
    for name, path in [*paths.items(), *labels.items()]:
        if not path.is_file():
            raise ConfigError(f"model `{name}`: cannot read `{path}`: no such file")
    sources = {
        name: ModelSource(
            path,
            labels=labels.get(name),
            threads=threads.get(name, 1),
            sha256=digests.get(name),
            backend=backends.get(name),
            device=devices.get(name, Device.CPU),
            batch=batches.get(name),
            signers=signers,
        )
        for name, path in paths.items()
    }
    for name, source in sources.items():
        source.check(name)
    return sources


def _of(
    paths: Mapping[str, Path], option: str, values: tuple[str, ...], read: Callable[[str], Value]
) -> dict[str, Value]:
    named = _named(option, values, read)
    for name in named:
        if name not in paths:
            known = ", ".join(f"`{known}`" for known in paths) or "none"
            raise UsageError(f"{option}: no model `{name}`; given: {known}")
    return named


def _named(option: str, values: tuple[str, ...], read: Callable[[str], Value]) -> dict[str, Value]:
    named: dict[str, Value] = {}
    for value in values:
        name, equals, rest = value.partition("=")
        if not equals or "/" in name:  # a path may hold an equals sign
            name, rest = DEFAULT_MODEL, value
        if name in named:
            raise UsageError(f"{option}: `{name}` is given twice")
        named[name] = read(rest)
    return named


def _thread_count(text: str) -> int:
    return _count(text, "--threads", _MOST_THREADS)


def _device(text: str) -> Device:
    from nearfield.inference import Device

    try:
        return Device(text)
    except ValueError:
        known = ", ".join(each.value for each in Device)
        raise UsageError(f"--device: got `{text}`, expected one of {known}") from None


def _batch(text: str) -> BatchSettings:
    from nearfield.inference import BatchSettings

    count, colon, wait = text.partition(":")
    frames = _count(count, "--batch", _MOST_FRAMES)
    if not colon:
        return BatchSettings(frames, BatchConfig().wait_s)
    try:
        return BatchSettings(frames, parse_duration(wait))
    except UsageError as error:
        raise UsageError(error.what, where="--batch") from error


def _count(text: str, option: str, most: int) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise UsageError(f"{option}: got `{text}`, expected 1 to {most}")
    return int(text)
