"""What the functions of `wasi_ephemeral_nn` share: its numbers, what handles stand for, and how calls are refused.

Source: WebAssembly/wasi-nn `wasi-nn.witx` for layouts and errnos; WasmEdge for encodings above 5.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from nearfield.sandbox.call import WARNING
from nearfield.sandbox.host import Host

if TYPE_CHECKING:
    from nearfield.inference import ExecutionContext, Graph

MODULE = "wasi_ephemeral_nn"

SUCCESS, INVALID_ARGUMENT, INVALID_ENCODING, MISSING_MEMORY, BUSY, RUNTIME_ERROR = 0, 1, 2, 3, 4, 5
UNSUPPORTED_OPERATION, TOO_LARGE, NOT_FOUND = 6, 7, 8

# Execution targets. WasmEdge's `load` refuses AUTO; here it takes what the host has.
CPU, GPU, TPU, AUTO = 0, 1, 2, 3

#: Pointer and length of one part of a model.
BUILDER = Struct("<II")

#: Dimensions, number of dimensions, type (three bytes of padding may hold anything), data, bytes.
TENSOR = Struct("<IIBxxxII")


class OpenGraph:
    """A graph that a guest loaded. The store keeps the model itself."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def close(self) -> None:
        """Nothing to give back."""


class OpenContext:
    """An execution context that a guest made; keeps its graph alive after `unload`."""

    def __init__(self, graph: Graph, context: ExecutionContext) -> None:
        self.graph = graph
        self.context = context
        self.unset = set(range(len(graph.inputs)))

    def close(self) -> None:
        """Give the context back to the graph's pool."""
        self.context.close()


def refuse(host: Host, text: str, errno: int = INVALID_ARGUMENT) -> int:
    """Say why in the log, and return the errno."""
    host.call.log(WARNING, f"wasi-nn: {text}")
    return errno


def out_of_handles(host: Host) -> int:
    """The answer when no further handle may be opened."""
    return refuse(host, f"all {host.limits.handles} handles are in use; close some, or raise the limit", BUSY)
