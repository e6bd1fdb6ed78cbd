"""The backends of this build, by the format that each runs. Importing this loads none of their libraries."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nearfield.errors import ConfigError, ModelInvalid
from nearfield.inference.contract import Backend, Encoding
from nearfield.inference.litert import LiteRtBackend
from nearfield.inference.onnx_runtime import OnnxRuntimeBackend
from nearfield.inference.openvino_runtime import OpenVinoBackend

_ALL: tuple[Backend, ...] = (LiteRtBackend(), OnnxRuntimeBackend(), OpenVinoBackend())

BACKENDS: Mapping[Encoding, Backend] = MappingProxyType({backend.encoding: backend for backend in _ALL})


def backend_for(encoding: Encoding) -> Backend:
    """The backend that runs models of this format.

    Raises:
        ModelInvalid: there is none.
    """
    backend = BACKENDS.get(encoding)
    if backend is None:
        known = ", ".join(each.name for each in BACKENDS)
        raise ModelInvalid(f"encoding: got {encoding.name}, expected one of {known}")
    return backend


def backend_named(name: str) -> Backend:
    """The backend of this name.

    Raises:
        ConfigError: there is none.
    """
    for backend in _ALL:
        if backend.name == name:
            return backend
    known = ", ".join(f"`{each.name}`" for each in _ALL)
    raise ConfigError(f"backend: got `{name}`, expected one of {known}")
