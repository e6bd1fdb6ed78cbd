"""Full TensorFlow, for guests that import `wasmedge_tensorflow`. The only file that imports `tensorflow`.

It is an extra of some 600 MB, imported when the first guest needs it (5 s, 400 MB of memory), and computes on the CPU
with one thread for each operation.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import os
import re
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference.native_log import without_lines_on_stderr
from nearfield.inference.pooled import first_line
from nearfield.inference.tensorflow_ops import ALLOWED
from nearfield.inference.tensorflow_vetting import Anatomy, is_for_guests, leaves_no_trace, vet

INSTALL_HINT = "pip install 'nearfield[tensorflow]'"

# A session of a small network takes about 1 ms to make and 4 ms for its first run.
_MOST_IDLE = 2

# A string in memory, without its text.
_STRING_BYTES = 24

# What it writes to descriptor 2 when it is imported: that its log is not ready yet, and notes of lowest rank.
_NATIVE_LINES = re.compile(rb"WARNING: All log messages before absl::InitializeLog\(\)|I0000 ")

_KERAS_HOME = "KERAS_HOME"
_INIT_SIGNATURE = "__saved_model_init_op"
_directories = itertools.count(1)


@dataclass(frozen=True, slots=True)
class TensorName:
    """An output of an operation in a graph."""

    operation: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.operation}:{self.index}"


@dataclass(frozen=True, slots=True)
class SavedModelFiles:
    """A SavedModel, read.

    Attributes:
        graph: content of `saved_model.pb`.
        variables: contents of the files in `variables`, by name; empty for a model without variables.
    """

    graph: bytes
    variables: Mapping[str, bytes]

    @property
    def nbytes(self) -> int:
        """Size of all files together."""
        return len(self.graph) + sum(map(len, self.variables.values()))


def is_installed() -> bool:
    """Whether TensorFlow could be imported. Does not do it."""
    return importlib.util.find_spec("tensorflow") is not None


@functools.cache
def prepare() -> Any:
    """Import TensorFlow now rather than with the first session. Any thread.

    Returns:
        The package.

    Raises:
        InferenceError: it is not installed, or cannot be loaded.
    """
    # It tells which instructions the processor has; that there is no GPU it tells before it looks at this.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with warnings.catch_warnings(), _without_keras_settings(), without_lines_on_stderr(_NATIVE_LINES):
            warnings.simplefilter("ignore")
            import tensorflow
    except ImportError as error:
        what = "is not installed" if not is_installed() else f"cannot be loaded: {first_line(error)}"
        raise InferenceError(f"TensorFlow {what}", hint=INSTALL_HINT) from error
    return tensorflow


@contextlib.contextmanager
def _without_keras_settings() -> Iterator[None]:
    """Keep Keras, which comes along, from reading and making files in the user's home."""
    before = os.environ.get(_KERAS_HOME)
    # Nothing is below it, and nothing can be made there.
    os.environ[_KERAS_HOME] = "/dev/null/keras"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_KERAS_HOME]
        else:
            os.environ[_KERAS_HOME] = before


class TensorFlowGraph:
    """A graph that was looked through and built. Any thread; sessions on it know nothing of each other."""

    def __init__(self, graph: Any, anatomy: Anatomy, label: str, start: _Start | None) -> None:
        """Use `from_graph_def` or `from_saved_model`."""
        self.label = label
        self._graph = graph
        self._anatomy = anatomy
        self._start = start
        self._lock = threading.Lock()
        self._idle: list[_Native] = []

    @classmethod
    def from_graph_def(cls, content: bytes, label: str) -> TensorFlowGraph:
        """Build a frozen graph. Blocks: about 1 ms for each 100 nodes.

        Args:
            content: a serialised `GraphDef`.
            label: the model's name for messages.

        Raises:
            ModelInvalid: it is none, or one that a guest may not have.
            InferenceError: TensorFlow is not installed.
        """
        where = f"model `{label}`"
        graph_def = _parse(prepare().compat.v1.GraphDef, content, where)
        anatomy = vet(graph_def, where, _size_of)
        return cls(_build(graph_def, where), anatomy, label, None)

    @classmethod
    def from_saved_model(cls, files: SavedModelFiles, tags: Sequence[str], label: str) -> TensorFlowGraph:
        """Build one of the graphs of a SavedModel, and check that its variables can be restored.

        Args:
            tags: exactly those of the graph, in any order.

        Raises:
            ModelInvalid, InferenceError: as `from_graph_def`; or no graph has these tags.
        """
        prepare()
        from tensorflow.core.protobuf import saved_model_pb2

        where = f"model `{label}`"
        content = _parse(saved_model_pb2.SavedModel, files.graph, where)
        meta_graph = _with_tags(content, tags, where)
        anatomy = vet(meta_graph.graph_def, where, _size_of, may_save=True)
        start = _start_of(meta_graph, files, anatomy, where)
        graph = cls(_build(meta_graph.graph_def, where), anatomy, label, start)
        graph.open().close()
        return graph

    def element_type(self, name: TensorName) -> np.dtype[Any] | None:
        """Type of a tensor's elements; None for one that does not exist, or is not made of numbers."""
        try:
            dtype = self._graph.get_tensor_by_name(str(name)).dtype.base_dtype
        except (KeyError, ValueError):
            return None
        return np.dtype(dtype.as_numpy_dtype) if dtype.is_numpy_compatible and dtype.size else None

    def may_compute(self, name: TensorName) -> bool:
        """Whether a guest may ask for this tensor."""
        return self.element_type(name) is not None and is_for_guests(self._anatomy.operations_behind([name.operation]))

    def open(self) -> TensorFlowSession:
        """A session with variables as they were saved.

        Raises:
            InferenceError: the variables cannot be restored.
        """
        with self._lock:
            native = self._idle.pop() if self._idle else None
        return TensorFlowSession(self, native or self._new())

    def leaves_no_trace(self, fetches: Sequence[TensorName]) -> bool:
        """Whether computing these leaves a session as it was."""
        return leaves_no_trace(self._anatomy.operations_behind([name.operation for name in fetches]))

    def _new(self) -> _Native:
        native = _Native(self._graph)
        try:
            if self._start is not None:
                self._start.run(native)
        except Exception as error:
            native.close()
            raise InferenceError(f"variables: {first_line(error)}", where=f"model `{self.label}`") from error
        return native

    def _release(self, native: _Native) -> None:
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append(native)
                return
        native.close()

    def close(self) -> None:
        """Free the sessions that wait for further use. Those in use stay. Idempotent."""
        with self._lock:
            idle, self._idle = self._idle, []
        for native in idle:
            native.close()


class TensorFlowSession:
    """One use of a graph. One thread at a time; nothing of it is seen by another session."""

    def __init__(self, graph: TensorFlowGraph, native: _Native) -> None:
        self.graph = graph
        self._native: _Native | None = native
        self._is_unchanged = True

    def run(
        self, feeds: Mapping[TensorName, npt.NDArray[Any]], fetches: Sequence[TensorName], within_s: float
    ) -> list[npt.NDArray[Any]]:
        """Compute. Blocks, with the interpreter lock released.

        Args:
            feeds: values of inputs, of the graph's own types.
            fetches: tensors for which `TensorFlowGraph.may_compute` holds.
            within_s: given up between two operations when it takes longer, > 0.

        Raises:
            InferenceError: it failed, took too long, a shape does not fit; or the session is closed.
        """
        where = f"model `{self.graph.label}`"
        if self._native is None:
            raise InferenceError("session: used after close", where=where)
        self._is_unchanged = self._is_unchanged and self.graph.leaves_no_trace(fetches)
        try:
            return self._native.run(feeds, tuple(fetches), within_s)
        except Exception as error:
            self._is_unchanged = False
            raise InferenceError(f"run failed: {first_line(error)}", where=where) from error

    def close(self) -> None:
        """Give it back. Idempotent."""
        native, self._native = self._native, None
        if native is None:
            return
        if self._is_unchanged:
            self.graph._release(native)
        else:
            native.close()


class _Native:
    """A session of TensorFlow, with the calls that were made of it."""

    def __init__(self, graph: Any) -> None:
        v1 = prepare().compat.v1
        settings = v1.ConfigProto(
            intra_op_parallelism_threads=1,
            inter_op_parallelism_threads=1,
            device_count={"GPU": 0},
            allow_soft_placement=True,
        )
        self.graph = graph
        self.session = v1.Session(graph=graph, config=settings)
        self._options = v1.RunOptions
        self._calls: dict[tuple[tuple[TensorName, ...], tuple[TensorName, ...]], Any] = {}

    def run(
        self, feeds: Mapping[TensorName, npt.NDArray[Any]], fetches: tuple[TensorName, ...], within_s: float
    ) -> list[npt.NDArray[Any]]:
        key = (tuple(feeds), fetches)
        call = self._calls.get(key)
        if call is None:
            tensors = [[self.graph.get_tensor_by_name(str(name)) for name in names] for names in (fetches, feeds)]
            # One guest asks for the same again and again; one that does not must not fill the memory.
            self._calls = {key: (call := self.session.make_callable(*tensors, accept_options=True))}
        options = self._options(timeout_in_ms=max(int(within_s * 1000), 1))
        return [np.asarray(value) for value in call(*feeds.values(), options=options)]

    def close(self) -> None:
        self._calls.clear()
        self.session.close()


@dataclass(frozen=True, slots=True)
class _Start:
    """What makes a new session of a SavedModel ready.

    Attributes:
        restore: operation that restores the variables; None without variables.
        filename: the tensor that takes their place.
        initialise: operation that is run then; None without.
        variables: contents of their files, by name.
    """

    restore: str | None
    filename: str
    initialise: str | None
    variables: Mapping[str, bytes]

    def run(self, native: _Native) -> None:
        if self.restore is not None:
            self._restore(native, self.restore)
        if self.initialise is not None:
            native.session.run(native.graph.get_operation_by_name(self.initialise))

    def _restore(self, native: _Native, operation: str) -> None:
        # TensorFlow opens the files by their names, and follows links. It gets copies, in a file system of its own
        # that is nothing but memory.
        gfile = prepare().io.gfile
        directory = f"ram://nearfield-{next(_directories)}"
        gfile.makedirs(directory)
        try:
            for name, content in self.variables.items():
                with gfile.GFile(f"{directory}/{name}", "wb") as file:
                    file.write(content)
            native.session.run(native.graph.get_operation_by_name(operation), {self.filename: f"{directory}/variables"})
        finally:
            gfile.rmtree(directory)


def _start_of(meta_graph: Any, files: SavedModelFiles, anatomy: Anatomy, where: str) -> _Start:
    saver = meta_graph.saver_def
    restore = saver.restore_op_name.partition(":")[0] if files.variables else None
    init_outputs = (
        meta_graph.signature_def[_INIT_SIGNATURE].outputs if _INIT_SIGNATURE in meta_graph.signature_def else {}
    )
    initialise = next((output.name.partition(":")[0] for output in init_outputs.values()), None)
    for operation, allowed in ((restore, ALLOWED | {"RestoreV2"}), (initialise, ALLOWED)):
        refused = anatomy.operations_behind([operation]) - allowed if operation else ()
        if refused:
            raise ModelInvalid(f"operations: got {', '.join(sorted(refused))} behind `{operation}`", where=where)
    return _Start(restore or None, saver.filename_tensor_name, initialise, files.variables)


def _with_tags(content: Any, tags: Sequence[str], where: str) -> Any:
    known = [sorted(meta_graph.meta_info_def.tags) for meta_graph in content.meta_graphs]
    for meta_graph, its_tags in zip(content.meta_graphs, known, strict=True):
        if its_tags == sorted(set(tags)):
            return meta_graph
    raise ModelInvalid(f"tags: got {sorted(set(tags))}, expected one of {known}", where=where)


def _parse(kind: Any, content: bytes, where: str) -> Any:
    try:
        return kind.FromString(content)
    except Exception as error:  # `DecodeError` of a package that is TensorFlow's, not ours
        raise ModelInvalid(
            f"content: got {len(content)} bytes that are no {kind.DESCRIPTOR.name}", where=where
        ) from error


def _build(graph_def: Any, where: str) -> Any:
    tensorflow = prepare()
    graph = tensorflow.Graph()
    try:
        with graph.as_default():
            tensorflow.import_graph_def(graph_def, name="")
    except Exception as error:
        raise ModelInvalid(f"graph: TensorFlow cannot build it: {first_line(error)}", where=where) from error
    graph.finalize()
    return graph


def _size_of(data_type: int) -> int:
    try:
        return prepare().as_dtype(data_type).size or _STRING_BYTES
    except TypeError:
        return _STRING_BYTES
