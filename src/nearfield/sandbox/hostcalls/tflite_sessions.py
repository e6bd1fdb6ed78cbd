"""Sessions of module `wasmedge_tensorflowlite`: what both of its generations do.

Inputs and outputs go by the names of the model's tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.errors import InferenceError
from nearfield.inference import Encoding
from nearfield.sandbox.call import WARNING
from nearfield.sandbox.host import Host

if TYPE_CHECKING:
    from nearfield.inference import ExecutionContext, Graph, TensorSpec

MODULE = "wasmedge_tensorflowlite"


class Session:
    """A model with one computation; keeps the handles of its output tensors (generation A)."""

    def __init__(self, graph: Graph, context: ExecutionContext) -> None:
        self.graph = graph
        self.context = context
        self.tensors: dict[int, int] = {}

    def close(self) -> None:
        """Give the context back to the graph's pool."""
        self.context.close()

    def output(self, index: int) -> bytes | None:
        """Content of an output; None before the first successful run."""
        try:
            return self.context.output(index)
        except InferenceError:
            return None

    def size(self, index: int) -> int:
        """Bytes of an output, before a run as the model declares it."""
        content = self.output(index)
        return self.graph.outputs[index].nbytes if content is None else len(content)


class OutputTensor:
    """One output of a session, for generation A."""

    def __init__(self, session: Session, index: int) -> None:
        self.session = session
        self.index = index

    def close(self) -> None:
        """Nothing to give back; the session owns the context."""


def open_session(host: Host, pointer: int, length: int) -> int | None:
    """Handle of a new session; None, with a log line, when the model is none."""
    host.memory.check(pointer, length)
    if not host.handles.has_room():
        _warn(host, f"all {host.limits.handles} handles are in use; delete some, or raise the limit")
        return None
    try:
        graph = host.load_model(pointer, length, Encoding.TENSORFLOWLITE)
        with host.timed("loading models"):
            session = Session(graph, graph.acquire())
    except InferenceError as exc:
        _warn(host, f"create_session: {exc}")
        return None
    return host.handles.add(session)


def close_session(host: Host, number: int) -> None:
    session = host.handles.remove(number, Session)
    for tensor in session.tensors.values() if session else ():
        host.handles.remove(tensor, OutputTensor)


def run(host: Host, session: Session) -> bool:
    try:
        host.compute(session.context)
    except InferenceError as exc:
        _warn(host, f"run_session: {exc}")
        return False
    return True


def give_input(host: Host, session: Session, name: str | None, pointer: int, length: int) -> bool:
    index = index_of(session.graph.inputs, name)
    if index is None:
        known = ", ".join(f"`{spec.name}`" for spec in session.graph.inputs)
        _warn(host, f"append_input: got input `{name}`, expected one of {known}")
        return False
    try:
        session.context.set_input(index, host.memory.read(pointer, length))
    except InferenceError as exc:
        _warn(host, f"append_input: {exc}")
        return False
    return True


def index_of(specs: tuple[TensorSpec, ...], name: str | None) -> int | None:
    return next((index for index, spec in enumerate(specs) if spec.name == name), None)


def _warn(host: Host, text: str) -> None:
    host.call.log(WARNING, f"wasmedge_tensorflowlite: {text}")
