"""Inference: models loaded once, computed many times, behind one small contract."""

from nearfield.inference.admission import probe_model
from nearfield.inference.contract import Encoding, ExecutionContext, Graph, ModelUnknown, TensorSpec
from nearfield.inference.detect import detect_encoding
from nearfield.inference.store import ModelSource, ModelStore

__all__ = [
    "Encoding",
    "ExecutionContext",
    "Graph",
    "ModelSource",
    "ModelStore",
    "ModelUnknown",
    "TensorSpec",
    "detect_encoding",
    "probe_model",
]
