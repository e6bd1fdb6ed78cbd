"""Where sessions of module `wasmedge_tensorflow` get their graphs: a guest's memory, or a granted directory."""

from __future__ import annotations

import os
import stat
from contextlib import ExitStack
from typing import TYPE_CHECKING

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference.tensorflow_graphs import TensorFlowGraphs
from nearfield.inference.tensorflow_runtime import SavedModelFiles, TensorFlowGraph
from nearfield.sandbox.beneath import open_beneath
from nearfield.sandbox.hostcalls.tensorflow_sessions import MODULE, Session
from nearfield.sandbox.hostcalls.wasmedge_errnos import RUNTIME_ERROR, not_opened, require_room

if TYPE_CHECKING:
    from nearfield.sandbox.host import Host

# A SavedModel's variables are in one file and its index, more for the largest of models.
_MOST_FILES = 64
_GRAPH, _VARIABLES = "saved_model.pb", "variables"


# Of this process. They are shared, and sessions on them are not: what one guest does is never seen by another.
_GRAPHS = TensorFlowGraphs()


def open_frozen(host: Host, pointer: int, length: int) -> int:
    """Handle of a new session on a frozen graph in the guest's memory.

    Raises:
        OutOfBounds: it is not inside the memory.
        NotOpened: it is none, may not be loaded, or there is no room or no TensorFlow.
    """
    host.memory.check(pointer, length)
    require_room(host, MODULE)
    memory = host.memory
    try:
        host.count_model(length)
        with host.timed("loading models"):
            graph = _GRAPHS.frozen(
                length,
                lambda content: memory.holds(pointer, content),
                lambda: memory.read(pointer, length),
                host.admit_model,
            )
            return host.handles.add(Session(graph, graph.open()))
    except InferenceError as exc:
        raise not_opened(host, MODULE, "create_session", exc, RUNTIME_ERROR) from exc


def open_saved(host: Host, path: str | None, tags: list[str]) -> int:
    """Handle of a new session on a SavedModel in a granted directory.

    Args:
        path: of its directory, as the guest sees it.
        tags: of the graph wanted.

    Raises:
        NotOpened: as `open_frozen`; or nothing at this path may be read.
    """
    require_room(host, MODULE)
    try:
        with host.timed("loading models"), ExitStack() as opened:
            graph = _saved_graph(host, path, tags, opened)
            return host.handles.add(Session(graph, graph.open()))
    except InferenceError as exc:
        raise not_opened(host, MODULE, "create_session_saved_model", exc, RUNTIME_ERROR) from exc


def _saved_graph(host: Host, path: str | None, tags: list[str], opened: ExitStack) -> TensorFlowGraph:
    where = f"model `{path}`"
    located = None if path is None else host.files.locate(path)
    if located is None:
        raise ModelInvalid("path: no granted directory has it", where=where, hint="grant one: `sandbox.directories`")
    try:
        files = _open_files(*located, opened, where)
    except OSError as error:
        raise ModelInvalid(f"path: cannot be read: {error.strerror}", where=where) from error
    found = {name: os.fstat(descriptor) for name, descriptor in files.items()}
    size = sum(status.st_size for status in found.values())
    host.count_model(size)

    def read() -> SavedModelFiles:
        contents = {name: _read(files[name], status.st_size) for name, status in found.items()}
        return SavedModelFiles(contents.pop(_GRAPH), contents)

    return _GRAPHS.saved(_identity(found), tags, size, read, host.admit_model, str(path))


def _open_files(directory: int, path: str, opened: ExitStack, where: str) -> dict[str, int]:
    """Descriptors of the graph's file and of those with its variables, by name. None of them is outside `directory`."""

    def enter(path: str, flags: int = 0) -> int:
        descriptor = open_beneath(directory, path, flags | os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        opened.callback(os.close, descriptor)
        # Pipes and devices are doors to elsewhere.
        if not flags and not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ModelInvalid(f"path: got `{path}`, expected a regular file", where=where)
        return descriptor

    files = {_GRAPH: enter(f"{path}/{_GRAPH}")}
    try:
        listed = enter(f"{path}/{_VARIABLES}", os.O_DIRECTORY)
    except FileNotFoundError:
        return files
    entries = os.listdir(listed)  # noqa: PTH208 - of a descriptor
    names = sorted(name for name in entries if name.startswith(f"{_VARIABLES}."))
    if len(names) > _MOST_FILES:
        raise ModelInvalid(f"variables: got {len(names)} files, expected at most {_MOST_FILES}", where=where)
    return files | {name: enter(f"{path}/{_VARIABLES}/{name}") for name in names}


def _identity(found: dict[str, os.stat_result]) -> object:
    """Another one when a file was replaced or written to."""
    return tuple(
        (name, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for name, status in sorted(found.items())
    )


def _read(descriptor: int, size: int) -> bytes:
    """As many bytes as the file had when it was counted, though it may be growing."""
    with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor has no path
        return file.read(size)
