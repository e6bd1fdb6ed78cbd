"""The models of one process: named ones from files, and those that guests carry inside themselves."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nearfield.errors import ConfigError, ModelInvalid
from nearfield.inference.admission import AdmissionRecord, probe_model
from nearfield.inference.contract import Encoding, Graph, ModelUnknown
from nearfield.inference.detect import detect_encoding
from nearfield.inference.labels import check_labels, read_labels
from nearfield.inference.litert import LiteRtGraph, backend_version, import_backend

DEFAULT_NAME = "default"

# Models that guests carry, kept loaded. A guest has one or two; each costs about twice its size.
MOST_GUEST_MODELS = 8

# A flatbuffer's offsets are 32 bits, signed.
_MOST_MODEL_BYTES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a named model comes from.

    Attributes:
        path: the model file.
        labels: text file with the names of the outputs, or None.
        threads: native threads of each computation, >= 1.
    """

    path: Path
    labels: Path | None = None
    threads: int = 1


@dataclass(frozen=True, slots=True)
class _Loaded:
    graph: Graph
    labels: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class _Carried:
    content: bytes
    threads: int
    graph: Graph


class ModelStore:
    """Loads each model once and shares it. Thread-safe; a load blocks other loads, never computations."""

    def __init__(
        self, models: Mapping[str, ModelSource], *, probe: bool = True, probe_record: Path | None = None
    ) -> None:
        """Nothing is read yet.

        Args:
            models: by name, in the order of the workflow; the first is also reachable as `default`.
            probe: run each named model once in a disposable process before this one loads it (about 0.3 s each). Models
                that guests carry are never probed: the guest's own worker process is what they can take down.
            probe_record: file that remembers which contents ran, so that the next start skips the probe.

        Raises:
            ConfigError: a thread count below 1.
        """
        for name, source in models.items():
            if source.threads < 1:
                raise ConfigError(f"threads: got {source.threads}, expected 1 or more", where=f"model `{name}`")
        self._sources = dict(models)
        self._probe = probe
        self._record = AdmissionRecord(probe_record, backend_version())
        self._lock = threading.RLock()
        self._admitted: set[str] = set()
        self._loaded: dict[str, _Loaded] = {}
        self._carried: list[_Carried] = []

    def names(self) -> tuple[str, ...]:
        """Names in the order given, without the alias `default`."""
        return tuple(self._sources)

    def by_name(self, name: str) -> Graph:
        """The graph of a named model, loaded at the first call. `default` is the first one, unless one is so named.

        Raises:
            ModelUnknown: no such name.
            ConfigError: a file cannot be read, or the labels do not fit.
            ModelInvalid: the file is no model that a backend can load and run.
        """
        return self._load(self._real_name(name)).graph

    def label_of(self, name: str, index: int) -> str | None:
        """Label `index` of a named model; None when it has no labels or none with this index.

        Raises:
            ModelUnknown, ConfigError, ModelInvalid: as `by_name`.
        """
        return self._load(self._real_name(name)).labels.get(index)

    def from_bytes(
        self,
        data: bytes,
        encoding: Encoding = Encoding.AUTODETECT,
        threads: int = 1,
        *,
        admit: Callable[[int], None] | None = None,
    ) -> Graph:
        """The graph of a model that a guest carries inside itself.

        The most recently used contents stay loaded. Contents are compared byte for byte, which is ten times quicker
        than a hash (2.6 MB: 0.16 ms instead of 2.2 ms).

        Args:
            data: the whole model.
            encoding: what the guest says it is.
            threads: native threads of each computation, >= 1.
            admit: called with the size in bytes before a model is loaded that is not loaded yet; may raise.

        Raises:
            ModelInvalid: no model that a backend can load, or of another encoding.
        """
        with self._lock:
            known = next((each for each in self._carried if each.threads == threads and each.content == data), None)
            if known is None:
                if admit is not None:
                    admit(len(data))
                label = f"sha256:{hashlib.sha256(data).hexdigest()[:12]}"
                detect_encoding(data, label, encoding)
                known = _Carried(data, threads, LiteRtGraph(data, label=label, threads=threads))
            elif encoding not in (Encoding.AUTODETECT, known.graph.encoding):
                detect_encoding(data, known.graph.label, encoding)
            others = [each for each in self._carried if each is not known]
            self._carried = [known, *others[: MOST_GUEST_MODELS - 1]]
            return known.graph

    def find_carried(
        self, size: int, has_content: Callable[[bytes], bool], encoding: Encoding = Encoding.AUTODETECT
    ) -> Graph | None:
        """The graph of a model that `from_bytes` loaded and still holds, without a copy of its content.

        Args:
            size: bytes of the model.
            has_content: whether it is this; called for each model of that size.
            encoding: what the guest says it is; None is returned when it is another.
        """
        with self._lock:
            for each in self._carried:
                if len(each.content) == size and encoding in (Encoding.AUTODETECT, each.graph.encoding):
                    if not has_content(each.content):
                        continue
                    if each is not self._carried[0]:
                        self._carried.remove(each)
                        self._carried.insert(0, each)
                    return each.graph
        return None

    def load_all(self) -> None:
        """Load every named model and its labels now. Probes run side by side while the backend is imported.

        Raises:
            ConfigError: a file cannot be read, or labels do not fit; the path is in the message.
            ModelInvalid: a file is no model that a backend can load and run; the path is in the message.
        """
        if self._sources:
            with ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="model-probe") as pool:
                probes = [pool.submit(self._admit, name) for name in self._first_with_each_path()]
                import_backend()
                for each in probes:
                    each.result()
        for name in self._sources:
            self._load(name)

    def _first_with_each_path(self) -> tuple[str, ...]:
        first: dict[Path, str] = {}
        for name, source in self._sources.items():
            first.setdefault(source.path, name)
        return tuple(first.values())

    def _real_name(self, name: str) -> str:
        if name in self._sources:
            return name
        if name == DEFAULT_NAME and self._sources:
            return next(iter(self._sources))
        known = ", ".join(f"`{each}`" for each in self._sources) or "none"
        raise ModelUnknown("no such model", where=f"model `{name}`", hint=f"known: {known}")

    def _load(self, name: str) -> _Loaded:
        loaded = self._loaded.get(name)
        if loaded is not None:
            return loaded
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = self._load_file(name, self._sources[name])
            return self._loaded[name]

    def _load_file(self, name: str, source: ModelSource) -> _Loaded:
        content = self._admit(name)
        try:
            graph = LiteRtGraph(content, label=name, threads=source.threads)
        except ModelInvalid as refused:
            raise _with_path(refused, name, source.path) from refused
        labels: Mapping[int, str] = {}
        if source.labels is not None:
            where = f"model `{name}`"
            labels = read_labels(source.labels, where=where)
            check_labels(labels, graph.outputs, path=source.labels, where=where)
        return _Loaded(graph, labels)

    def _admit(self, name: str) -> bytes:
        """The content of a named model's file, after it was found to be a model that runs. Several threads at once."""
        path = self._sources[name].path
        content = _read_model(path, name)
        try:
            detect_encoding(content, name)
            digest = hashlib.sha256(content).hexdigest()
            if self._probe and digest not in self._admitted and digest not in self._record:
                probe_model(path)
                self._record.add(digest)
            self._admitted.add(digest)
        except ModelInvalid as refused:
            raise _with_path(refused, name, path) from refused
        return content


def _read_model(path: Path, name: str) -> bytes:
    where = f"model `{name}`"
    try:
        status = path.stat()
        # A named pipe or a device would block, or never end.
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"path: got `{path}`, expected a regular file", where=where)
        if status.st_size > _MOST_MODEL_BYTES:
            raise ModelInvalid(
                f"content of `{path}`: got {status.st_size} bytes, expected at most {_MOST_MODEL_BYTES}", where=where
            )
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"path: cannot read `{path}`: {error.strerror}", where=where) from error


def _with_path(refused: ModelInvalid, name: str, path: Path) -> ModelInvalid:
    return ModelInvalid(refused.what, where=f"model `{name}` (`{path}`)", hint=refused.hint)
