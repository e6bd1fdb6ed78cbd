"""Near-field computing on live streams.

Devices send tagged frames over QUIC to a zipper, which hands each to stream functions, in Python or in WebAssembly
sandboxes with AI inference; results go to sinks in real time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nearfield.version import __version__

if TYPE_CHECKING:
    from nearfield.errors import NearfieldError
    from nearfield.frame import Frame, Header
    from nearfield.function import Context, StreamFunction
    from nearfield.sink import AsyncSink, Sink
    from nearfield.source import AsyncSource, Source
    from nearfield.transport import Connection, Identity, dial

# Imported when first used, so that `nearfield --help` does not load the engines.
_HOMES = {
    "AsyncSink": "nearfield.sink",
    "AsyncSource": "nearfield.source",
    "Connection": "nearfield.transport",
    "Context": "nearfield.function",
    "Frame": "nearfield.frame",
    "Header": "nearfield.frame",
    "NearfieldError": "nearfield.errors",
    "Sink": "nearfield.sink",
    "Source": "nearfield.source",
    "StreamFunction": "nearfield.function",
    "Identity": "nearfield.transport",
    "dial": "nearfield.transport",
}

__all__ = [
    "AsyncSink",
    "AsyncSource",
    "Connection",
    "Context",
    "Frame",
    "Header",
    "Identity",
    "NearfieldError",
    "Sink",
    "Source",
    "StreamFunction",
    "__version__",
    "dial",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module `nearfield` has no attribute `{name}`")
    return getattr(import_module(_HOMES[name]), name)
