"""From the options of `nearfield run` to a loaded guest."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nearfield import containment
from nearfield.cli.concurrency import batching_graphs, frames_at_a_time, sandboxes_bytes
from nearfield.cli.contained import contain, log_containment
from nearfield.cli.model_options import ModelOptions, model_sources
from nearfield.frame import MAX_TAG, RESERVED_TAGS
from nearfield.function import Handler
from nearfield.function.guest import GuestFunction
from nearfield.inference import ModelStore
from nearfield.sandbox import Grants, Guest, Limits, PictureRules, Watchdog, compile_guest, prepare_for
from nearfield.sandbox.callpath import FastPath, call_path
from nearfield.signing import Provenance
from nearfield.transport import Credentials, StateDirectory


@dataclass(frozen=True, slots=True)
class GuestOptions:
    """Options of `nearfield run` for guests.

    Attributes:
        provenance: of the guest's file; its signers are those of the models too.
        keeps_words: whether what the guest says stays out of the log.
    """

    path: Path
    name: str
    observe: tuple[int, ...]
    emit: tuple[int, ...]
    models: ModelOptions
    entry: str | None
    instance: Literal["frame", "worker"]
    limits: Limits
    grants: Grants
    pictures: PictureRules
    allow_precompiled: bool
    provenance: Provenance
    keeps_words: bool


def load_guest(options: GuestOptions, *, identity: Credentials, zipper: str) -> tuple[Handler, tuple[int, ...]]:
    """Contain this process for good, then load the models and the guest. Call while it has one thread.

    Takes up to a second the first time a module is compiled.

    Args:
        identity, zipper: with which it will connect, and where: all that it can reach afterwards.

    Returns:
        The handler, and the tags that the guest itself asks for.

    Raises:
        UsageError, ConfigError, ProvenanceError, GuestInvalid, GuestAbiError, ModelInvalid: exit code 2, each.
    """
    state = StateDirectory.from_environment()
    cache, record = state.ensure("modules"), state.ensure("models")
    sources = model_sources(options.models, options.provenance.signers)
    at_a_time = frames_at_a_time(options.instance, sources, has_fast_path=isinstance(call_path(), FastPath))
    contained = contain(
        options.path,
        sources,
        identity=identity,
        zipper=zipper,
        cache=cache,
        record=record,
        grants=options.grants,
        memory_bytes=sandboxes_bytes(options.limits.memory_bytes, at_a_time),
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
        provenance=options.provenance,
    )
    prepare_for(compiled)
    # Models were tried out, and the module was compiled, in processes of their own: from here on there are no more,
    # and the guest has not run yet.
    sealed = containment.seal(contained)
    load = functools.partial(
        Guest.load,
        compiled,
        name=options.name,
        models=store,
        limits=options.limits,
        grants=options.grants,
        pictures=options.pictures,
        emit=frozenset(options.emit) or None,
        result_tag=result_tag(options.observe, options.emit),
        entry=options.entry,
        instance=options.instance,
        watchdog=Watchdog.for_worker(),
    )
    guests = [load() for _ in range(at_a_time)]
    log_containment(sealed)
    batching = batching_graphs(store) if at_a_time > 1 else ()
    function = GuestFunction(options.name, *guests, batching=batching, keeps_words=options.keeps_words)
    return function, guests[0].observes


def result_tag(observe: Sequence[int], emit: Sequence[int]) -> int | None:
    """The tag of results that name none: the first that may be emitted, else the first observed + 1."""
    if emit:
        return emit[0]
    if not observe or observe[0] + 1 > MAX_TAG or observe[0] + 1 in RESERVED_TAGS:
        return None
    return observe[0] + 1
