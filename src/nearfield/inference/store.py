"""The models of one process: named ones from files, and those that guests carry inside themselves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from nearfield.errors import ConfigError, InferenceError
from nearfield.inference.admission import AdmissionRecord, probe_model
from nearfield.inference.batch_check import check_frames_stay_apart
from nearfield.inference.carried import CarriedGraphs, Settings
from nearfield.inference.contract import Device, Encoding, Graph, ModelUnknown
from nearfield.inference.labels import check_labels, read_labels
from nearfield.inference.model_file import ModelFile, ModelSource, read_model, with_path

DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True)
class _Loaded:
    graph: Graph
    labels: Mapping[int, str]


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
            ConfigError: a value of a source is out of its range.
        """
        for name, source in models.items():
            source.check(name)
        self._sources = dict(models)
        self._probe = probe
        self._probe_record = probe_record
        self._lock = threading.RLock()
        self._admitted: set[str] = set()
        self._loaded: dict[str, _Loaded] = {}
        self._carried = CarriedGraphs()

    def names(self) -> tuple[str, ...]:
        """Names in the order given, without the alias `default`."""
        return tuple(self._sources)

    def by_name(self, name: str) -> Graph:
        """The graph of a named model, loaded at the first call. `default` is the first one, unless one is so named.

        Raises:
            ModelUnknown: no such name.
            ConfigError: a file cannot be read, the labels do not fit, or frames cannot be put together for this model.
            ModelInvalid: the file is no model that a backend can load and run, or has another digest.
            InferenceError: its backend or its device is not available.
        """
        return self._load(self._real_name(name)).graph

    def label_of(self, name: str, index: int) -> str | None:
        """Label `index` of a named model; None when it has no labels or none with this index.

        Raises:
            ModelUnknown, ConfigError, InferenceError: as `by_name`.
        """
        return self._load(self._real_name(name)).labels.get(index)

    def from_parts(
        self,
        parts: Sequence[bytes],
        encoding: Encoding = Encoding.AUTODETECT,
        threads: int = 1,
        device: Device = Device.CPU,
        *,
        admit: Callable[[int], None] | None = None,
    ) -> Graph:
        """The graph of a model that a guest carries inside itself.

        The most recently used contents stay loaded. Contents are compared byte for byte, which is ten times quicker
        than a hash (2.6 MB: 0.16 ms instead of 2.2 ms).

        Args:
            parts: the whole model; for OpenVINO the XML, and the weights if there are any.
            encoding: what the guest says it is.
            threads: native threads of each computation, >= 1.
            device: where to compute.
            admit: called with the size in bytes before a model is loaded that is not loaded yet; may raise.

        Raises:
            ModelInvalid: no model that a backend can load, of another encoding, or of too many parts.
            InferenceError: its backend or its device is not available.
        """
        with self._lock:
            return self._carried.get(tuple(parts), encoding, Settings(threads, device), admit)

    def find_carried(
        self,
        sizes: Sequence[int],
        has_content: Callable[[tuple[bytes, ...]], bool],
        encoding: Encoding = Encoding.AUTODETECT,
        threads: int = 1,
        device: Device = Device.CPU,
    ) -> Graph | None:
        """The graph of a model that `from_parts` loaded and still holds, without a copy of its content.

        Args:
            sizes: bytes of each part.
            has_content: whether these are the parts; called for each model of those sizes.
            encoding: what the guest says it is; None is returned when it is another.
            threads, device: as `from_parts`.
        """
        with self._lock:
            return self._carried.find(sizes, has_content, encoding, Settings(threads, device))

    def carried_content(self, graph: Graph) -> tuple[bytes, ...] | None:
        """The parts of which `from_parts` made this graph; None once the store holds it no longer."""
        with self._lock:
            return self._carried.content_of(graph)

    def load_all(self) -> None:
        """Load every named model and its labels now. Probes run side by side while the backends are imported.

        Raises:
            ConfigError, InferenceError: as `by_name`; the path is in the message.
        """
        files = {name: read_model(source, name) for name, source in self._sources.items() if name not in self._loaded}
        first = {file.sha256: name for name, file in reversed(files.items())}
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="model-probe") as pool:
            probes = [pool.submit(self._admit, name, files[name]) for name in first.values()]
            for file in files.values():
                file.backend.prepare()
            for each in probes:
                each.result()
        for name, file in files.items():
            self._load(name, file)

    def _real_name(self, name: str) -> str:
        if name in self._sources:
            return name
        if name == DEFAULT_NAME and self._sources:
            return next(iter(self._sources))
        known = ", ".join(f"`{each}`" for each in self._sources) or "none"
        raise ModelUnknown("no such model", where=f"model `{name}`", hint=f"known: {known}")

    def _load(self, name: str, file: ModelFile | None = None) -> _Loaded:
        loaded = self._loaded.get(name)
        if loaded is not None:
            return loaded
        with self._lock:
            if name not in self._loaded:
                source = self._sources[name]
                self._loaded[name] = self._load_file(name, source, file or read_model(source, name))
            return self._loaded[name]

    def _load_file(self, name: str, source: ModelSource, file: ModelFile) -> _Loaded:
        self._admit(name, file)
        try:
            graph = file.backend.load(file.content, label=name, threads=source.threads, device=source.device)
        except InferenceError as refused:
            raise with_path(refused, name, source.path) from refused
        labels: Mapping[int, str] = {}
        if source.labels is not None:
            where = f"model `{name}`"
            labels = read_labels(source.labels, where=where)
            check_labels(labels, graph.outputs, path=source.labels, where=where)
        return _Loaded(_batching(graph, source, name), labels)

    def _admit(self, name: str, file: ModelFile) -> None:
        """Let the model run once elsewhere, unless one with this content did. Several threads at once."""
        if not self._probe or file.sha256 in self._admitted:
            return
        record = AdmissionRecord(self._probe_record, file.backend.version())
        if file.sha256 not in record:
            path = self._sources[name].path
            try:
                probe_model(path, sha256=file.sha256)
            except InferenceError as refused:
                raise with_path(refused, name, path) from refused
            record.add(file.sha256)
        self._admitted.add(file.sha256)


def _batching(graph: Graph, source: ModelSource, name: str) -> Graph:
    if source.batch is None or source.batch.max_frames == 1:
        return graph
    if not graph.is_batchable:
        shapes = ", ".join(str(spec) for spec in (*graph.inputs, *graph.outputs))
        raise ConfigError(
            f"batch: got a model for single frames (`{source.path}`: {shapes}), "
            "expected one whose inputs and outputs all have a free first dimension",
            where=f"model `{name}`",
            hint="leave `batch` out, or convert the model again with a free first dimension",
        )
    from nearfield.inference.batching import BatchingGraph

    try:
        check_frames_stay_apart(graph)
    except InferenceError as mixed:
        raise ConfigError(mixed.what, where=f"model `{name}` (`{source.path}`)", hint=mixed.hint) from mixed
    cores = len(os.sched_getaffinity(0)) if graph.device is Device.CPU else 1
    return BatchingGraph(graph, source.batch, at_once=max(1, cores // source.threads))
