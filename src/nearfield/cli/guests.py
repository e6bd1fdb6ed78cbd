"""From the options of `nearfield run` to a loaded guest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from nearfield import containment
from nearfield.cli.contained import contain, log_containment
from nearfield.errors import ConfigError, UsageError
from nearfield.frame import MAX_TAG, RESERVED_TAGS
from nearfield.function import Handler
from nearfield.function.guest import GuestFunction
from nearfield.inference import ModelSource, ModelStore
from nearfield.sandbox import Grants, Guest, Limits, Watchdog, compile_guest
from nearfield.transport import Identity, StateDirectory

DEFAULT_MODEL = "default"

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """Options of `nearfield run` for guests.

    Attributes:
        models, labels, threads: `[NAME=]VALUE` each; without a name, the model `default`.
    """

    path: Path
    name: str
    observe: tuple[int, ...]
    emit: tuple[int, ...]
    models: tuple[str, ...]
    labels: tuple[str, ...]
    threads: tuple[str, ...]
    entry: str | None
    instance: Literal["frame", "worker"]
    limits: Limits
    grants: Grants
    allow_precompiled: bool


def load_guest(options: GuestOptions, *, identity: Identity, zipper: str) -> tuple[Handler, tuple[int, ...]]:
    """Contain this process for good, then load the models and the guest. Call while it has one thread.

    Takes up to a second the first time a module is compiled.

    Args:
        identity, zipper: with which it will connect, and where: all that it can reach afterwards.

    Returns:
        The handler, and the tags that the guest itself asks for.

    Raises:
        UsageError, ConfigError, GuestInvalid, GuestAbiError, ModelInvalid: exit code 2, each.
    """
    state = StateDirectory.from_environment()
    cache, record = state.ensure("modules"), state.ensure("models")
    sources = model_sources(options.models, options.labels, options.threads)
    contained = contain(
        options.path,
        sources,
        identity=identity,
        zipper=zipper,
        cache=cache,
        record=record,
        grants=options.grants,
        memory_bytes=options.limits.memory_bytes,
        module_bytes=options.limits.module_bytes,
    )
    store = ModelStore(sources, probe_record=record / "admitted")
    store.load_all()
    compiled = compile_guest(
        options.path,
        limits=options.limits,
        cache_dir=cache,
        allow_precompiled=options.allow_precompiled,
        where=f"function `{options.name}`: {options.path}",
    )
    # Models were tried out, and the module was compiled, in processes of their own: from here on there are no more,
    # and the guest has not run yet.
    sealed = containment.seal(contained)
    guest = Guest.load(
        compiled,
        name=options.name,
        models=store,
        limits=options.limits,
        grants=options.grants,
        emit=frozenset(options.emit) or None,
        result_tag=result_tag(options.observe, options.emit),
        entry=options.entry,
        instance=options.instance,
        watchdog=Watchdog.for_worker(),
    )
    log_containment(sealed)
    return GuestFunction(options.name, guest), guest.observes


def result_tag(observe: Sequence[int], emit: Sequence[int]) -> int | None:
    """The tag of results that name none: the first that may be emitted, else the first observed + 1."""
    if emit:
        return emit[0]
    if not observe or observe[0] + 1 > MAX_TAG or observe[0] + 1 in RESERVED_TAGS:
        return None
    return observe[0] + 1


def model_sources(models: Sequence[str], labels: Sequence[str], threads: Sequence[str]) -> dict[str, ModelSource]:
    """Models by name, from `[NAME=]VALUE` options.

    Raises:
        UsageError: a name twice, labels or threads for a model that is not given, threads that are no number.
    """
    paths = _named("--model", models, Path)
    label_paths = _named("--labels", labels, Path)
    counts = _named("--threads", threads, _thread_count)
    for option, names in (("--labels", label_paths), ("--threads", counts)):
        for name in names:
            if name not in paths:
                known = ", ".join(f"`{known}`" for known in paths) or "none"
                raise UsageError(f"{option}: no model `{name}`; given: {known}")
    for name, path in [*paths.items(), *label_paths.items()]:
        if not path.is_file():
            raise ConfigError(f"model `{name}`: cannot read `{path}`: no such file")
    return {
        name: ModelSource(path=path, labels=label_paths.get(name), threads=counts.get(name, 1))
        for name, path in paths.items()
    }


def _named(option: str, values: Sequence[str], read: Callable[[str], Value]) -> dict[str, Value]:
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
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 256:
        raise UsageError(f"--threads: got `{text}`, expected 1 to 256")
    return int(text)
