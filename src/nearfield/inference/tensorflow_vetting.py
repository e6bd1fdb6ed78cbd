"""What is in a TensorFlow graph, and whether a guest's may be loaded. Pure: works on parsed protocol buffers.

A graph is a program. Its operations are looked at before TensorFlow sees them (`tensorflow_ops`), in the graph itself
and in the functions of its library. What only saves and restores may be there, for a SavedModel has it, but nothing
that a guest asks for may lead to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from nearfield.errors import ModelInvalid
from nearfield.inference.pooled import MOST_TENSOR_BYTES
from nearfield.inference.tensorflow_ops import ALLOWED, KEEPING, SAVING

# The largest published networks have some 20,000; building a graph of this many takes seconds.
MOST_NODES = 100_000

# As many of the refused operations are named.
_MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class _Step:
    """One node: its operation, the nodes that it needs, the functions that it calls."""

    operation: str
    needs: tuple[str, ...]
    calls: tuple[str, ...]


class Anatomy:
    """The nodes and functions of a graph, and which operations stand behind each node."""

    def __init__(self, graph_def: Any) -> None:
        """Args: graph_def: a parsed `GraphDef`. Not kept."""
        library = graph_def.library.function
        self._names = frozenset(function.signature.name for function in library)
        self._functions = {
            function.signature.name: tuple(self._step(node) for node in function.node_def) for function in library
        }
        self._nodes = {node.name: self._step(node) for node in graph_def.node}

    def refused(self, allowed: frozenset[str]) -> list[str]:
        """Operations anywhere in it that are not allowed, sorted."""
        steps = [*self._nodes.values(), *(step for body in self._functions.values() for step in body)]
        return sorted({step.operation for step in steps} - allowed - self._names)

    def operations_behind(self, names: Iterable[str]) -> frozenset[str]:
        """Operations that may run when these nodes are computed. Names that are none have none."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting, called = list(names), set[str]()
        while waiting:
            name = waiting.pop()
            step = self._nodes.get(name)
            if step is None or name in seen:
                continue
            seen.add(name)
            found.add(step.operation)
            called.update(step.calls)
            waiting += step.needs
        return frozenset(found - self._names | self._operations_in(called))

    def _operations_in(self, functions: set[str]) -> set[str]:
        found: set[str] = set()
        seen: set[str] = set()
        waiting = list(functions)
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for step in self._functions.get(name, ()):
                found.add(step.operation)
                waiting += step.calls
        return found - self._names

    def _step(self, node: Any) -> _Step:
        calls = [node.op] if node.op in self._names else []
        for value in node.attr.values():
            if value.HasField("func"):
                calls.append(value.func.name)
            elif value.HasField("list"):
                calls += [function.name for function in value.list.func]
        needs = tuple(entry.removeprefix("^").partition(":")[0] for entry in node.input)
        return _Step(node.op, needs, tuple(calls))


def leaves_no_trace(operations: frozenset[str]) -> bool:
    """Whether a run of these leaves a session as it was, so that somebody else may have it afterwards."""
    return operations <= KEEPING


def is_for_guests(operations: frozenset[str]) -> bool:
    """Whether a guest may have these run: they do not touch files."""
    return operations <= ALLOWED


def vet(graph_def: Any, where: str, size_of: Callable[[int], int], *, may_save: bool = False) -> Anatomy:
    """Look through a graph before it is built, and take out what ties it to another machine.

    Args:
        graph_def: a parsed `GraphDef`; devices and settings of functions are removed from it.
        where: for messages: the model.
        size_of: bytes of an element of a `DataType`.
        may_save: whether it may have what only a SavedModel needs.

    Raises:
        ModelInvalid: an operation is not allowed, or it is too large.
    """
    nodes = [*graph_def.node, *(node for function in graph_def.library.function for node in function.node_def)]
    if len(nodes) > MOST_NODES:
        raise ModelInvalid(f"graph: got {len(nodes)} nodes, expected at most {MOST_NODES}", where=where)
    anatomy = Anatomy(graph_def)
    refused = anatomy.refused(ALLOWED | SAVING if may_save else ALLOWED)
    if refused:
        more = f" and {len(refused) - _MOST_NAMED} more" if len(refused) > _MOST_NAMED else ""
        raise ModelInvalid(
            f"operations: got {', '.join(f'`{name[:64]}`' for name in refused[:_MOST_NAMED])}{more}, "
            "expected those of a network that computes",
            where=where,
            hint="a guest's graph may not reach files, the network, Python or other graphs, nor train",
        )
    _check_constants(nodes, where, size_of)
    for node in nodes:
        # It was placed on the devices of the machine where it was trained.
        node.device = ""
        if "config_proto" in node.attr:
            node.attr["config_proto"].s = b""
    return anatomy


def _check_constants(nodes: Iterable[Any], where: str, size_of: Callable[[int], int]) -> None:
    """A constant of any size takes a few bytes in the file when all its elements are the same."""
    total = 0
    for node in nodes:
        for value in node.attr.values():
            if value.HasField("tensor"):
                shape = [max(dimension.size, 0) for dimension in value.tensor.tensor_shape.dim]
                total += math.prod(shape) * size_of(value.tensor.dtype)
    if total > MOST_TENSOR_BYTES:
        raise ModelInvalid(f"constants: got {total} bytes declared, expected at most {MOST_TENSOR_BYTES}", where=where)
