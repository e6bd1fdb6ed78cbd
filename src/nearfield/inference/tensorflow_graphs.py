"""The TensorFlow graphs of one process, kept built: guests that make a session for every frame load the same again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nearfield.inference.tensorflow_runtime import SavedModelFiles, TensorFlowGraph

# Graphs kept; a guest has one or two. Each holds its content, the built graph, and idle sessions.
MOST_GRAPHS = 4


@dataclass(frozen=True, slots=True)
class _Kept:
    """A graph, and what it is known by: its content, or the identity of its files and its tags."""

    key: object
    graph: TensorFlowGraph


class TensorFlowGraphs:
    """The most recently used ones. Any thread; building one blocks others that build, and no computation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest_first: list[_Kept] = []

    def frozen(
        self,
        size: int,
        has_content: Callable[[bytes], bool],
        read: Callable[[], bytes],
        admit: Callable[[int], None],
    ) -> TensorFlowGraph:
        """The graph of a serialised `GraphDef`, which is read only when it is not here.

        Args:
            size: its bytes.
            has_content: whether this is it; called with contents of that size.
            read: gives it.
            admit: called with the size before a graph is built; may raise.

        Raises:
            ModelInvalid, InferenceError: see `TensorFlowGraph.from_graph_def`.
        """
        with self._lock:
            for kept in self._newest_first:
                if isinstance(kept.key, bytes) and len(kept.key) == size and has_content(kept.key):
                    return self._keep(kept)
            admit(size)
            content = read()
            label = f"sha256:{hashlib.sha256(content).hexdigest()[:12]}"
            return self._keep(_Kept(content, TensorFlowGraph.from_graph_def(content, label)))

    def saved(
        self,
        identity: object,
        tags: Sequence[str],
        size: int,
        read: Callable[[], SavedModelFiles],
        admit: Callable[[int], None],
        label: str,
    ) -> TensorFlowGraph:
        """A graph of a SavedModel, whose files are read only when it is not here.

        Args:
            identity: of its files as they are now; another one once they were changed.
            tags: of the graph wanted.
            size: bytes of all files.
            read, admit: as for `frozen`.
            label: the model's name for messages.

        Raises:
            ModelInvalid, InferenceError: see `TensorFlowGraph.from_saved_model`.
        """
        key = (identity, tuple(sorted(tags)))
        with self._lock:
            for kept in self._newest_first:
                if kept.key == key:
                    return self._keep(kept)
            admit(size)
            return self._keep(_Kept(key, TensorFlowGraph.from_saved_model(read(), tags, label)))

    def _keep(self, newest: _Kept) -> TensorFlowGraph:
        others = [kept for kept in self._newest_first if kept is not newest]
        for dropped in others[MOST_GRAPHS - 1 :]:
            dropped.graph.close()
        self._newest_first = [newest, *others[: MOST_GRAPHS - 1]]
        return newest.graph
