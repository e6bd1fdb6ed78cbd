"""How many frames one worker handles at a time, and what further sandboxes for them cost."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from nearfield.function.concurrency import STACK_BYTES
from nearfield.inference import ModelSource
from nearfield.inference.batching import BatchingGraph
from nearfield.inference.store import ModelStore

_log = logging.getLogger("nearfield.run")

# Each has a thread and a sandbox. Batches far beyond this are for servers, not for one worker.
MOST_AT_A_TIME = 64


def frames_at_a_time(
    instance: Literal["frame", "worker"], models: Mapping[str, ModelSource], *, has_fast_path: bool = True
) -> int:
    """As many as the largest batch of any model takes, so that one can fill; one where nothing is batched.

    Args:
        instance: a sandbox that keeps its memory is only one, and handles one frame after the other.
        has_fast_path: whether guests can be called on several threads at once; through the wheel's own classes the
            reason why one was stopped may turn up in another thread (ADR 0004).
    """
    wanted = max((model.batch.max_frames for model in models.values() if model.batch is not None), default=1)
    if wanted > 1 and instance == "worker":
        _log.warning("`batch` has no effect with `instance: worker`: one sandbox handles one frame at a time")
        return 1
    if wanted > 1 and not has_fast_path:
        _log.warning("`batch` has no effect: this version of wasmtime can only be called by one thread at a time")
        return 1
    if wanted > MOST_AT_A_TIME:
        _log.warning("`batch`: got up to %d frames, which one worker limits to %d", wanted, MOST_AT_A_TIME)
    return min(wanted, MOST_AT_A_TIME)


def sandboxes_bytes(memory_bytes: int, count: int) -> int:
    """What `count` sandboxes may take together, the stacks of their threads included."""
    return count * memory_bytes + (count - 1) * STACK_BYTES


def batching_graphs(store: ModelStore) -> tuple[BatchingGraph, ...]:
    """The named models whose frames are put together. Loads them, if they are not loaded yet."""
    graphs = [store.by_name(name) for name in store.names()]
    return tuple(graph for graph in graphs if isinstance(graph, BatchingGraph))
