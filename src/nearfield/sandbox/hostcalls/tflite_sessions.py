"""Sessions of module `wasmedge_tensorflowlite`: what both of its generations do.

Inputs and outputs go by the names of the model's tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearfield.errors import InferenceError
from nearfield.inference import Encoding
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls.wasmedge_errnos import BUSY, not_opened, require_room, warn

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


def open_session(host: Host, pointer: int, length: int) -> int:
    """Handle of a new session.

    Raises:
        OutOfBounds: the model is not inside the memory.
        NotOpened: it is none, or there is no room for it.
    """
    host.memory.check(pointer, length)
    require_room(host, MODULE)
    try:
        graph = host.load_model([(pointer, length)], Encoding.TENSORFLOWLITE)
        with host.timed("loading models"):
            session = Session(graph, graph.acquire())
    except InferenceError as exc:
        raise not_opened(host, MODULE, "create_session", exc, BUSY) from exc
    return host.handles.add(session)


def close_session(host: Host, number: int) -> None:
    session = host.handles.remove(number, Session)
    for tensor in session.tensors.values() if session else ():
        host.handles.remove(tensor, OutputTensor)


def run(host: Host, session: Session) -> bool:
    try:
        host.compute(session.context)
    except InferenceError as exc:
        warn(host, MODULE, f"run_session: {exc}")
        return False
    return True


def give_input(host: Host, session: Session, name: str | None, pointer: int, length: int) -> bool:
    index = index_of(session.graph.inputs, name)
    if index is None:
        known = ", ".join(f"`{spec.name}`" for spec in session.graph.inputs)
        warn(host, MODULE, f"append_input: got input `{name}`, expected one of {known}")
        return False
    try:
        # The context copies before it returns, so that the guest's own bytes will do.
        with host.memory.view(pointer, length) as content:
            session.context.set_input(index, content)
    except InferenceError as exc:
        warn(host, MODULE, f"append_input: {exc}")
        return False
    return True


def index_of(specs: tuple[TensorSpec, ...], name: str | None) -> int | None:
    return next((index for index, spec in enumerate(specs) if spec.name == name), None)
