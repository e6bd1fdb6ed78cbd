"""Both generations of `wasmedge_tensorflowlite`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nearfield.inference import ModelStore
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasmedge_tensorflowlite_a as a
from nearfield.sandbox.hostcalls import wasmedge_tensorflowlite_b as b
from nearfield.sandbox.hostcalls.tflite_sessions import open_session
from nearfield.sandbox.hostcalls.wasi_nn_graphs import load_by_name
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.kit import host_with

OUT, NAME, DATA, MODEL = 0, 100, 1000, 4000
STALE = [0, 99, 2**64 - 1]


def put(host: Host, pointer: int, content: bytes) -> tuple[int, int]:
    host.memory.write(pointer, content)
    return pointer, len(content)


def floats(*values: float) -> bytes:
    return np.array(values, np.float32).tobytes()


ONES = floats(1, 1, 1, 1)


# Generation A ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def session_a(host: Host, tiny: TinyModels) -> int:
    session = a.create_session(host, *put(host, MODEL, tiny.adder()))
    assert session != 0
    return session


def test_a_session_of_generation_a_computes(host: Host, session_a: int) -> None:
    for name in (b"in0", b"in1"):
        a.append_input(host, session_a, *put(host, NAME, name), *put(host, DATA, ONES))
    assert a.run_session(host, session_a) == 0
    tensor = a.get_output_tensor(host, session_a, *put(host, NAME, b"out0"))
    assert tensor != 0
    assert a.get_tensor_len(host, tensor) == 16
    a.get_tensor_data(host, tensor, DATA)
    assert host.memory.read(DATA, 16) == floats(2, 2, 2, 2)


def test_asking_for_a_tensor_again_costs_no_handle(host: Host, session_a: int) -> None:
    name = put(host, NAME, b"out0")
    assert len({a.get_output_tensor(host, session_a, *name) for _ in range(100)}) == 1


def test_tensors_go_with_their_session(host: Host, session_a: int) -> None:
    tensor = a.get_output_tensor(host, session_a, *put(host, NAME, b"out0"))
    a.delete_session(host, session_a)
    a.delete_session(host, session_a)
    assert a.get_tensor_len(host, tensor) == 0
    assert len(host.handles) == 0


def test_bytes_that_are_no_model_give_session_0(host: Host) -> None:
    assert a.create_session(host, *put(host, MODEL, b"no model")) == 0
    assert "create_session: " in host.call.logs()[0].text


@pytest.mark.parametrize("stale", STALE)
def test_stale_handles_of_generation_a_do_nothing(host: Host, session_a: int, stale: int) -> None:
    name = put(host, NAME, b"out0")
    a.append_input(host, stale, *name, *put(host, DATA, ONES))
    assert a.run_session(host, stale) == 1
    assert a.get_output_tensor(host, stale, *name) == 0
    assert a.get_tensor_len(host, stale) == 0
    a.get_tensor_data(host, stale, DATA)
    a.delete_session(host, stale)
    assert host.memory.read(DATA, 16) == ONES


def test_an_input_that_is_not_taken_fails_the_run_and_is_logged(host: Host, session_a: int) -> None:
    a.append_input(host, session_a, *put(host, NAME, b"input"), *put(host, DATA, ONES))
    a.append_input(host, session_a, *put(host, NAME, b"in0"), DATA, 15)
    assert a.run_session(host, session_a) == 1
    lines = [line.text for line in host.call.logs()]
    assert "append_input: got input `input`, expected one of `in0`, `in1`" in lines[0]
    assert len(lines) == 3


def test_an_unknown_output_is_tensor_0(host: Host, session_a: int) -> None:
    assert a.get_output_tensor(host, session_a, *put(host, NAME, b"in0")) == 0


def test_before_a_run_the_length_is_the_declared_one_and_there_is_no_data(host: Host, session_a: int) -> None:
    tensor = a.get_output_tensor(host, session_a, *put(host, NAME, b"out0"))
    assert a.get_tensor_len(host, tensor) == 16
    a.get_tensor_data(host, tensor, DATA)
    assert host.memory.read(DATA, 16) == bytes(16)


def test_sessions_end_at_their_quota(models: ModelStore, tiny: TinyModels) -> None:
    host = host_with(models, limits=Limits(handles=1))
    model = put(host, MODEL, tiny.adder())
    session = a.create_session(host, *model)
    assert session != 0
    assert a.create_session(host, *model) == 0
    assert a.get_output_tensor(host, session, *put(host, NAME, b"out0")) == 0
    assert b.create_session(host, *model, OUT) == b.BUSY


# Generation B ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def session_b(host: Host, tiny: TinyModels) -> int:
    assert b.create_session(host, *put(host, MODEL, tiny.adder()), OUT) == b.SUCCESS
    return host.memory.read_u32(OUT)


def test_a_session_of_generation_b_computes(host: Host, session_b: int) -> None:
    for name in (b"in0", b"in1"):
        assert b.append_input(host, session_b, *put(host, NAME, name), *put(host, DATA, ONES)) == b.SUCCESS
    assert b.run_session(host, session_b) == b.SUCCESS
    assert b.get_output_tensor(host, session_b, *put(host, NAME, b"out0"), OUT) == b.SUCCESS
    tensor = host.memory.read_u32(OUT)
    assert b.get_tensor_len(host, session_b, tensor, OUT) == b.SUCCESS
    assert host.memory.read_u32(OUT) == 16
    assert b.get_tensor_data(host, session_b, tensor, DATA, 16, OUT) == b.SUCCESS
    assert (host.memory.read_u32(OUT), host.memory.read(DATA, 16)) == (16, floats(2, 2, 2, 2))
    assert b.delete_session(host, session_b) == b.SUCCESS
    assert b.delete_session(host, session_b) == b.SUCCESS
    assert len(host.handles) == 0


def test_bytes_that_are_no_model_are_invalid(host: Host) -> None:
    assert b.create_session(host, *put(host, MODEL, b"no model"), OUT) == b.INVALID_ARGUMENT


@pytest.mark.parametrize("stale", [0, 99, 2**32 - 1])
def test_stale_handles_of_generation_b_are_invalid(host: Host, session_b: int, stale: int) -> None:
    name = put(host, NAME, b"out0")
    assert b.run_session(host, stale) == b.INVALID_ARGUMENT
    assert b.append_input(host, stale, *put(host, NAME, b"in0"), *put(host, DATA, ONES)) == b.INVALID_ARGUMENT
    assert b.get_output_tensor(host, stale, *name, OUT) == b.INVALID_ARGUMENT
    assert b.get_tensor_len(host, stale, 0, OUT) == b.INVALID_ARGUMENT
    assert b.get_tensor_data(host, stale, 0, DATA, 16, OUT) == b.INVALID_ARGUMENT


def test_wrong_names_sizes_and_indices_are_invalid(host: Host, session_b: int) -> None:
    assert b.append_input(host, session_b, *put(host, NAME, b"out0"), *put(host, DATA, ONES)) == b.INVALID_ARGUMENT
    assert b.append_input(host, session_b, *put(host, NAME, b"in0"), DATA, 15) == b.INVALID_ARGUMENT
    assert b.append_input(host, session_b, *put(host, NAME, b"\xff"), DATA, 16) == b.INVALID_ARGUMENT
    assert b.get_output_tensor(host, session_b, *put(host, NAME, b"in0"), OUT) == b.INVALID_ARGUMENT
    assert b.get_tensor_len(host, session_b, 1, OUT) == b.INVALID_ARGUMENT


def test_a_run_without_inputs_fails(host: Host, session_b: int) -> None:
    assert b.run_session(host, session_b) == b.BUSY
    assert b.get_tensor_data(host, session_b, 0, DATA, 16, OUT) == b.INVALID_ARGUMENT


@pytest.mark.parametrize("length", [0, 15, 17])
def test_the_buffer_must_have_the_exact_size(host: Host, session_b: int, length: int) -> None:
    for name in (b"in0", b"in1"):
        b.append_input(host, session_b, *put(host, NAME, name), *put(host, DATA, ONES))
    b.run_session(host, session_b)
    assert b.get_tensor_data(host, session_b, 0, DATA, length, OUT) == b.INVALID_ARGUMENT


def test_the_generations_share_no_name() -> None:
    names = [entry.name for entry in (*a.FUNCTIONS, *b.FUNCTIONS)]
    assert len(set(names)) == len(names) == 14


# Every function in every condition ------------------------------------------------------------------------------------

BAD = 2**32 - 3  # no pointer: outside of every memory
SUCCESS, INVALID, _, MEMORY, BUSY, _ = range(6)
Row = Callable[[Host], int | None]


def function(module: Any, name: str) -> Callable[..., int | None]:
    """As the guest sees it: a pointer outside of memory has its answer too."""
    (entry,) = [entry for entry in module.FUNCTIONS if entry.name == name]

    def call(*values: object) -> int | None:
        try:
            return entry.body(*values)
        except OutOfBounds:
            return entry.fault if entry.signature.results else None

    return call


A = {name: function(a, f"wasmedge_tensorflowlite_{name}") for name in (
    "create_session", "delete_session", "run_session", "get_output_tensor", "get_tensor_len", "get_tensor_data",
    "append_input",
)}  # fmt: skip
B = {name: function(b, name) for name in A}


def opened(host: Host) -> int:
    """A session on `adder`, the number of which fits both generations."""
    return open_session(host, *put(host, MODEL, TinyModels().adder()))


def ready(host: Host) -> int:
    """With its inputs."""
    session = opened(host)
    for name in (b"in0", b"in1"):
        assert B["append_input"](host, session, *put(host, NAME, name), *put(host, DATA, ONES)) == SUCCESS
    return session


def ran(host: Host) -> int:
    session = ready(host)
    assert B["run_session"](host, session) == SUCCESS
    return session


def deleted(host: Host) -> int:
    session = ran(host)
    assert B["delete_session"](host, session) == SUCCESS
    return session


def tensor(host: Host) -> int:
    """The handle of an output, in generation A."""
    return a.get_output_tensor(host, ran(host), *put(host, NAME, b"out0"))


def full(host: Host) -> Host:
    while host.handles.has_room():
        opened(host)
    return host


def of_a_deleted_session(host: Host) -> int:
    handle = tensor(host)
    for number in range(handle):
        a.delete_session(host, number)
    return handle


def graph(host: Host) -> int:
    """A handle of another kind."""
    host.memory.write(NAME, b"adder")
    assert load_by_name(host, NAME, 5, OUT) == 0
    return host.memory.read_u32(OUT)


def model(host: Host) -> tuple[int, int]:
    return put(host, MODEL, TinyModels().adder())


def named(host: Host, name: bytes) -> tuple[int, int]:
    return put(host, NAME, name)


def content(host: Host, size: int = 16) -> tuple[int, int]:
    return put(host, DATA, bytes(size))


TABLE_A: dict[str, dict[str, tuple[Row, int | None]]] = {
    "create_session": {
        "no model": (lambda h: A["create_session"](h, *put(h, MODEL, b"no model")), 0),
        "no bytes": (lambda h: A["create_session"](h, MODEL, 0), 0),
        "a model outside memory": (lambda h: A["create_session"](h, BAD, 8), 0),
        "all handles in use": (lambda h: A["create_session"](full(h), *model(h)), 0),
    },
    "delete_session": {
        "a session": (lambda h: A["delete_session"](h, opened(h)), None),
        "a deleted session": (lambda h: A["delete_session"](h, deleted(h)), None),
        "another kind of handle": (lambda h: A["delete_session"](h, graph(h)), None),
    },
    "run_session": {
        "all inputs set": (lambda h: A["run_session"](h, ready(h)), 0),
        "no inputs": (lambda h: A["run_session"](h, opened(h)), 1),
        "a deleted session": (lambda h: A["run_session"](h, deleted(h)), 1),
        "another kind of handle": (lambda h: A["run_session"](h, graph(h)), 1),
        "a tensor": (lambda h: A["run_session"](h, tensor(h)), 1),
    },
    "get_output_tensor": {
        "an unknown name": (lambda h: A["get_output_tensor"](h, ran(h), *named(h, b"out1")), 0),
        "no UTF-8": (lambda h: A["get_output_tensor"](h, ran(h), *named(h, b"\xff")), 0),
        "an input": (lambda h: A["get_output_tensor"](h, ran(h), *named(h, b"in0")), 0),
        "a deleted session": (lambda h: A["get_output_tensor"](h, deleted(h), *named(h, b"out0")), 0),
        "another kind of handle": (lambda h: A["get_output_tensor"](h, graph(h), *named(h, b"out0")), 0),
        "a name outside memory": (lambda h: A["get_output_tensor"](h, ran(h), BAD, 4), 0),
    },
    "get_tensor_len": {
        "an output": (lambda h: A["get_tensor_len"](h, tensor(h)), 16),
        "tensor 0": (lambda h: A["get_tensor_len"](h, 0), 0),
        "of a deleted session": (lambda h: A["get_tensor_len"](h, of_a_deleted_session(h)), 0),
        "a session": (lambda h: A["get_tensor_len"](h, ran(h)), 0),
    },
    "get_tensor_data": {
        "outside memory": (lambda h: A["get_tensor_data"](h, tensor(h), BAD), None),
        "tensor 0": (lambda h: A["get_tensor_data"](h, 0, DATA), None),
    },
    "append_input": {
        "an unknown name": (lambda h: A["append_input"](h, opened(h), *named(h, b"x"), *content(h)), None),
        "data outside memory": (lambda h: A["append_input"](h, opened(h), *named(h, b"in0"), BAD, 16), None),
        "a deleted session": (lambda h: A["append_input"](h, deleted(h), *named(h, b"in0"), *content(h)), None),
    },
}

TABLE_B: dict[str, dict[str, tuple[Row, int]]] = {
    "create_session": {
        "a model": (lambda h: B["create_session"](h, *model(h), OUT), SUCCESS),
        "no model": (lambda h: B["create_session"](h, *put(h, MODEL, b"no model"), OUT), INVALID),
        "no bytes": (lambda h: B["create_session"](h, MODEL, 0, OUT), INVALID),
        "a model outside memory": (lambda h: B["create_session"](h, BAD, 8, OUT), MEMORY),
        "no place for the session": (lambda h: B["create_session"](h, *model(h), BAD), MEMORY),
        "all handles in use": (lambda h: B["create_session"](full(h), *model(h), OUT), BUSY),
    },
    "delete_session": {
        "a session": (lambda h: B["delete_session"](h, opened(h)), SUCCESS),
        "a deleted session": (lambda h: B["delete_session"](h, deleted(h)), SUCCESS),
        "another kind of handle": (lambda h: B["delete_session"](h, graph(h)), SUCCESS),
    },
    "run_session": {
        "all inputs set": (lambda h: B["run_session"](h, ready(h)), SUCCESS),
        "no inputs": (lambda h: B["run_session"](h, opened(h)), BUSY),
        "a deleted session": (lambda h: B["run_session"](h, deleted(h)), INVALID),
        "another kind of handle": (lambda h: B["run_session"](h, graph(h)), INVALID),
    },
    "get_output_tensor": {
        "an output": (lambda h: B["get_output_tensor"](h, opened(h), *named(h, b"out0"), OUT), SUCCESS),
        "an unknown name": (lambda h: B["get_output_tensor"](h, opened(h), *named(h, b"in0"), OUT), INVALID),
        "no UTF-8": (lambda h: B["get_output_tensor"](h, opened(h), *named(h, b"\xff"), OUT), INVALID),
        "a deleted session": (lambda h: B["get_output_tensor"](h, deleted(h), *named(h, b"out0"), OUT), INVALID),
        "a name outside memory": (lambda h: B["get_output_tensor"](h, opened(h), BAD, 4, OUT), MEMORY),
        "no place for the tensor": (lambda h: B["get_output_tensor"](h, opened(h), *named(h, b"out0"), BAD), MEMORY),
    },
    "get_tensor_len": {
        "an output": (lambda h: B["get_tensor_len"](h, ran(h), 0, OUT), SUCCESS),
        "an output that does not exist": (lambda h: B["get_tensor_len"](h, ran(h), 1, OUT), INVALID),
        "tensor -1": (lambda h: B["get_tensor_len"](h, ran(h), 2**32 - 1, OUT), INVALID),
        "a deleted session": (lambda h: B["get_tensor_len"](h, deleted(h), 0, OUT), INVALID),
        "no place for the length": (lambda h: B["get_tensor_len"](h, ran(h), 0, BAD), MEMORY),
    },
    "get_tensor_data": {
        "a buffer of the size": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 16, OUT), SUCCESS),
        "a smaller buffer": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 15, OUT), INVALID),
        "a larger buffer": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 17, OUT), INVALID),
        "before a run": (lambda h: B["get_tensor_data"](h, ready(h), 0, DATA, 16, OUT), INVALID),
        "an output that does not exist": (lambda h: B["get_tensor_data"](h, ran(h), 1, DATA, 16, OUT), INVALID),
        "a deleted session": (lambda h: B["get_tensor_data"](h, deleted(h), 0, DATA, 16, OUT), INVALID),
        "a buffer outside memory": (lambda h: B["get_tensor_data"](h, ran(h), 0, BAD, 16, OUT), MEMORY),
        "no place for the count": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 16, BAD), MEMORY),
    },
    "append_input": {
        "an input": (lambda h: B["append_input"](h, opened(h), *named(h, b"in0"), *content(h)), SUCCESS),
        "an unknown name": (lambda h: B["append_input"](h, opened(h), *named(h, b"x"), *content(h)), INVALID),
        "an output": (lambda h: B["append_input"](h, opened(h), *named(h, b"out0"), *content(h)), INVALID),
        "too few bytes": (lambda h: B["append_input"](h, opened(h), *named(h, b"in0"), *content(h, 15)), INVALID),
        "too many bytes": (lambda h: B["append_input"](h, opened(h), *named(h, b"in0"), *content(h, 17)), INVALID),
        "no UTF-8": (lambda h: B["append_input"](h, opened(h), *named(h, b"\xff"), *content(h)), INVALID),
        "a deleted session": (lambda h: B["append_input"](h, deleted(h), *named(h, b"in0"), *content(h)), INVALID),
        "another kind of handle": (lambda h: B["append_input"](h, graph(h), *named(h, b"in0"), *content(h)), INVALID),
        "a name outside memory": (lambda h: B["append_input"](h, opened(h), BAD, 3, *content(h)), MEMORY),
        "data outside memory": (lambda h: B["append_input"](h, opened(h), *named(h, b"in0"), BAD, 16), MEMORY),
    },
}  # fmt: skip

ROWS = [
    pytest.param(row, answer, id=f"{generation}.{name}: {condition}")
    for generation, table in (("A", TABLE_A), ("B", TABLE_B))
    for name, rows in table.items()
    for condition, (row, answer) in rows.items()
]


@pytest.mark.parametrize(("row", "answer"), ROWS)
def test_every_condition_has_its_answer(models: ModelStore, row: Row, answer: int | None) -> None:
    assert row(host_with(models, limits=Limits(handles=4))) == answer


def test_the_tables_have_every_function() -> None:
    assert set(TABLE_A) == set(TABLE_B) == {entry.name for entry in b.FUNCTIONS}


def test_more_models_than_allowed_are_refused(models: ModelStore, tiny: TinyModels) -> None:
    host = host_with(models, limits=Limits(model_bytes=2 * len(tiny.adder())))
    assert [b.create_session(host, *model(host), OUT) for _ in range(3)] == [SUCCESS, SUCCESS, BUSY]
    assert a.create_session(host, *model(host)) == 0


def test_sessions_of_another_instance_are_none(models: ModelStore) -> None:
    mine, other = host_with(models), host_with(models)
    session = ran(mine)
    assert B["run_session"](other, session) == INVALID
    assert A["run_session"](other, session) == 1
    assert B["delete_session"](other, session) == SUCCESS
    assert B["run_session"](mine, session) == SUCCESS
