"""Inference: models loaded once, computed many times, behind one small contract."""

from nearfield.inference.admission import probe_model
from nearfield.inference.backends import BACKENDS, backend_for, backend_named
from nearfield.inference.contract import (
    Backend,
    BatchSettings,
    Device,
    Encoding,
    ExecutionContext,
    Graph,
    ModelContent,
    ModelUnknown,
    TensorSpec,
)
from nearfield.inference.detect import detect_encoding
from nearfield.inference.model_file import ModelSource
from nearfield.inference.store import ModelStore

__all__ = [
    "BACKENDS",
    "Backend",
    "BatchSettings",
    "Device",
    "Encoding",
    "ExecutionContext",
    "Graph",
    "ModelContent",
    "ModelSource",
    "ModelStore",
    "ModelUnknown",
    "TensorSpec",
    "backend_for",
    "backend_named",
    "detect_encoding",
    "probe_model",
]
