"""What host modules load once for a process, and slowly: when a guest is loaded, not while its first frame waits."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from nearfield.errors import InferenceError
from nearfield.inference import BACKENDS, Encoding, tensorflow_runtime
from nearfield.sandbox.hostcalls import tensorflow_sessions, tflite_sessions, wasi_nn_types
from nearfield.sandbox.shape import ModuleShape


def prepare_host_modules(shape: ModuleShape) -> None:
    """Import the runtimes that models of this guest's own may need, as far as they are installed. Idempotent.

    TensorFlow takes 5 s and 400 MB, the others half a second and 40 MB together. That one cannot be loaded is no error
    yet: crates import modules for guests that never use them. Whoever loads a model is told.
    """
    for prepare in _preparations(shape):
        with contextlib.suppress(InferenceError):
            prepare()


def _preparations(shape: ModuleShape) -> Iterator[Callable[[], object]]:
    modules = shape.imported_modules()
    if tflite_sessions.MODULE in modules:
        yield BACKENDS[Encoding.TENSORFLOWLITE].prepare
    # A guest that only loads by name has its models' runtimes already.
    if (wasi_nn_types.MODULE, "load") in {(entry.module, entry.name) for entry in shape.imports}:
        for backend in BACKENDS.values():
            yield backend.prepare
    if tensorflow_sessions.MODULE in modules and tensorflow_runtime.is_installed():
        yield tensorflow_runtime.prepare
