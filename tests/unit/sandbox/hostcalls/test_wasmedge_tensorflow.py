"""Both generations of `wasmedge_tensorflow`: without the extra they link and fail; with it they compute."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest

from nearfield.errors import InferenceError
from nearfield.inference import ModelStore, tensorflow_runtime
from nearfield.sandbox import Directory, Grants
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import tensorflow_models
from nearfield.sandbox.hostcalls import wasmedge_tensorflow_a as a
from nearfield.sandbox.hostcalls import wasmedge_tensorflow_b as b
from nearfield.sandbox.hostcalls.tensorflow_sessions import tensor_name
from nearfield.sandbox.hostcalls.wasi_nn_graphs import load_by_name
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.inference.tensorflow_models import (
    counter,
    endless,
    frozen,
    needs_tensorflow,
    passer,
    saved_model,
    scaler,
)
from tests.unit.sandbox.kit import host_with

OUT, NAME, DIMS, TAGS, DATA, MODEL = 0, 100, 200, 300, 1000, 4000
BAD = 2**32 - 3  # no pointer: outside of every memory
SUCCESS, INVALID, _, MEMORY, BUSY, RUNTIME = range(6)
F32, F64, I32 = 1, 2, 3
ONES = np.ones(4, np.float32).tobytes()
PATIENT = Limits(deadline_s=60, handles=8)


def put(host: Host, pointer: int, content: bytes) -> tuple[int, int]:
    host.memory.write(pointer, content)
    return pointer, len(content)


def named(host: Host, name: bytes) -> tuple[int, int]:
    return put(host, NAME, name)


def dims(host: Host, *sizes: int) -> tuple[int, int]:
    host.memory.write(DIMS, pack(f"<{len(sizes)}q", *sizes))
    return DIMS, len(sizes)


def function(module: Any, name: str) -> Callable[..., int | None]:
    """As the guest sees it: a pointer outside of memory has its answer too."""
    (entry,) = [entry for entry in module.FUNCTIONS if entry.name == name]

    def call(*values: object) -> int | None:
        try:
            return entry.body(*values)
        except OutOfBounds:
            return entry.fault if entry.signature.results else None

    return call


A = {entry.name.removeprefix("wasmedge_tensorflow_"): function(a, entry.name) for entry in a.FUNCTIONS}
B = {entry.name: function(b, entry.name) for entry in b.FUNCTIONS}


@pytest.fixture
def host(models: ModelStore) -> Host:
    return host_with(models, limits=PATIENT)


# Without the extra ----------------------------------------------------------------------------------------------------


@pytest.fixture
def without(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    def refuse() -> None:
        raise InferenceError("TensorFlow is not installed", where="here", hint=tensorflow_runtime.INSTALL_HINT)

    monkeypatch.setattr(tensorflow_runtime, "prepare", refuse)
    monkeypatch.setattr(tensorflow_models, "_GRAPHS", tensorflow_models.TensorFlowGraphs())
    return host


def test_without_the_extra_sessions_fail_and_say_what_to_install(without: Host) -> None:
    assert A["create_session"](without, *put(without, MODEL, b"graph")) == 0
    assert B["create_session"](without, *put(without, MODEL, b"graph"), OUT) == RUNTIME
    for line in without.call.logs():
        assert line.text.startswith("wasmedge_tensorflow: create_session: ")
        assert line.text.endswith("TensorFlow is not installed; pip install 'nearfield[tensorflow]'")


@pytest.mark.parametrize("entry", [*a.FUNCTIONS, *b.FUNCTIONS], ids=lambda entry: entry.name)
def test_without_the_extra_every_function_answers(without: Host, entry: Any) -> None:
    result = entry.body(without, *[1] * len(entry.signature.params))
    assert (result is None) == (not entry.signature.results)


def test_the_generations_share_no_name() -> None:
    names = [entry.name for entry in (*a.FUNCTIONS, *b.FUNCTIONS)]
    assert len(set(names)) == len(names) == 21


@pytest.mark.parametrize(
    ("text", "index", "name"),
    [
        ("op", None, "op:0"),
        ("op:3", None, "op:3"),
        ("scope/op:12", None, "scope/op:12"),
        ("op", 3, "op:3"),
        ("op:1", 3, "op:1:3"),
        ("op:", None, None),
        ("op:-1", None, None),
        ("op:x", None, None),
        ("op:1000000", None, None),
        ("op:²", None, None),
        ("", None, None),
        (None, 0, None),
    ],
)
def test_names_of_tensors_are_an_operation_and_an_index(text: str | None, index: int | None, name: str | None) -> None:
    assert (None if (found := tensor_name(text, index)) is None else str(found)) == name


# Generation A ---------------------------------------------------------------------------------------------------------


def opened(host: Host, content: bytes | None = None) -> int:
    """A session, the number of which fits both generations."""
    assert b.create_session(host, *put(host, MODEL, scaler() if content is None else content), OUT) == SUCCESS
    return host.memory.read_u32(OUT)


def give_a(host: Host, session: int, content: bytes = ONES) -> None:
    A["append_input"](host, session, *named(host, b"x"), 0, *dims(host, 1, 4), F32, *put(host, DATA, content))


@needs_tensorflow
class TestGenerationA:
    def test_a_session_computes(self, host: Host) -> None:
        session = A["create_session"](host, *put(host, MODEL, scaler()))
        assert session
        give_a(host, session)
        A["append_output"](host, session, *named(host, b"y"), 0)
        A["append_output"](host, session, *named(host, b"z"), 1)
        assert A["run_session"](host, session) == 0
        for name, index, values in ((b"y", 0, [1, 2, 3, 4]), (b"z", 1, [3, 4])):
            tensor = A["get_output_tensor"](host, session, *named(host, name), index)
            assert tensor
            length = A["get_tensor_len"](host, tensor)
            A["get_tensor_data"](host, tensor, DATA)
            assert host.memory.read(DATA, length or 0) == np.array(values, np.float32).tobytes()
        assert host.call.model_ns > 0
        A["delete_session"](host, session)
        assert len(host.handles) == 0

    def test_outputs_that_were_not_appended_are_no_tensors(self, host: Host) -> None:
        session = opened(host)
        give_a(host, session)
        A["append_output"](host, session, *named(host, b"y"), 0)
        assert A["run_session"](host, session) == 0
        assert A["get_output_tensor"](host, session, *named(host, b"z"), 0) == 0
        assert A["get_output_tensor"](host, session, *named(host, b"y"), 1) == 0

    def test_before_a_run_there_is_no_tensor(self, host: Host) -> None:
        session = opened(host)
        A["append_output"](host, session, *named(host, b"y"), 0)
        assert A["get_output_tensor"](host, session, *named(host, b"y"), 0) == 0

    def test_asking_again_costs_no_handle_and_clearing_takes_it_away(self, host: Host) -> None:
        session = opened(host)
        give_a(host, session)
        A["append_output"](host, session, *named(host, b"y"), 0)
        A["run_session"](host, session)
        tensors = {A["get_output_tensor"](host, session, *named(host, b"y"), 0) for _ in range(20)}
        assert len(tensors) == 1
        A["clear_output"](host, session)
        assert A["get_tensor_len"](host, tensors.pop()) == 0
        A["clear_input"](host, session)
        A["append_output"](host, session, *named(host, b"y"), 0)
        assert A["run_session"](host, session) == 1

    @pytest.mark.parametrize("stale", [0, 99, 2**64 - 1])
    def test_stale_handles_do_nothing(self, host: Host, stale: int) -> None:
        opened(host)
        give_a(host, stale)
        A["append_output"](host, stale, *named(host, b"y"), 0)
        A["clear_input"](host, stale)
        A["clear_output"](host, stale)
        A["delete_session"](host, stale)
        A["get_tensor_data"](host, stale, DATA)
        assert A["run_session"](host, stale) == 1
        assert A["get_output_tensor"](host, stale, *named(host, b"y"), 0) == 0
        assert A["get_tensor_len"](host, stale) == 0
        assert len(host.handles) == 1

    def test_bytes_that_are_no_graph_give_session_0(self, host: Host) -> None:
        assert A["create_session"](host, *put(host, MODEL, b"no graph")) == 0
        assert A["create_session"](host, BAD, 8) == 0
        assert "create_session: model `sha256:" in host.call.logs()[0].text


# Generation B: every function in every condition ----------------------------------------------------------------------


def given(host: Host, name: bytes = b"x", shape: tuple[int, ...] = (1, 4), dtype: int = F32, data: bytes = ONES) -> int:
    return give(host, opened(host), name, shape, dtype, data) or 0


def give(
    host: Host, session: int, name: bytes = b"x", shape: tuple[int, ...] = (1, 4), dtype: int = F32, data: bytes = ONES
) -> int | None:
    return B["append_input"](host, session, *named(host, name), *dims(host, *shape), dtype, *put(host, DATA, data))


def ready(host: Host) -> int:
    session = opened(host)
    assert give(host, session) == SUCCESS
    assert B["append_output"](host, session, *named(host, b"y")) == SUCCESS
    return session


def ran(host: Host) -> int:
    session = ready(host)
    assert B["run_session"](host, session) == SUCCESS
    return session


def deleted(host: Host) -> int:
    session = ran(host)
    assert B["delete_session"](host, session) == SUCCESS
    return session


def cleared(host: Host) -> int:
    session = ran(host)
    assert B["clear_output"](host, session) == SUCCESS
    return session


def without_input(host: Host) -> int:
    session = ready(host)
    assert B["clear_input"](host, session) == SUCCESS
    return session


def of_another_kind(host: Host) -> int:
    host.memory.write(NAME, b"adder")
    assert load_by_name(host, NAME, 5, OUT) == 0
    return host.memory.read_u32(OUT)


def full(host: Host) -> Host:
    while host.handles.has_room():
        opened(host)
    return host


def graph(host: Host) -> tuple[int, int]:
    return put(host, MODEL, scaler())


def misshapen(host: Host) -> int:
    session = ready(host)
    assert give(host, session, b"x", (4,)) == SUCCESS
    return session


Row = Callable[[Host], int | None]

TABLE: dict[str, dict[str, tuple[Row, int]]] = {
    "create_session": {
        "a graph": (lambda h: B["create_session"](h, *graph(h), OUT), SUCCESS),
        "no graph": (lambda h: B["create_session"](h, *put(h, MODEL, b"no graph"), OUT), INVALID),
        "a graph outside memory": (lambda h: B["create_session"](h, BAD, 8, OUT), MEMORY),
        "no place for the session": (lambda h: B["create_session"](h, *graph(h), BAD), MEMORY),
        "all handles in use": (lambda h: B["create_session"](full(h), *graph(h), OUT), BUSY),
    },
    "create_session_saved_model": {
        "a path that is not granted": (
            lambda h: B["create_session_saved_model"](h, *named(h, b"/etc"), TAGS, 0, OUT), INVALID,
        ),
        "a path outside memory": (lambda h: B["create_session_saved_model"](h, BAD, 4, TAGS, 0, OUT), MEMORY),
        "tags outside memory": (
            lambda h: B["create_session_saved_model"](h, *named(h, b"/m"), BAD, 1, OUT), MEMORY,
        ),
        "a tag outside memory": (
            lambda h: B["create_session_saved_model"](
                h, *named(h, b"/m"), put(h, TAGS, pack("<II", BAD, 5))[0], 1, OUT
            ), MEMORY,
        ),
        "absurdly many tags": (
            lambda h: B["create_session_saved_model"](h, *named(h, b"/m"), TAGS, 2**32 - 1, OUT), INVALID,
        ),
        "no UTF-8": (lambda h: B["create_session_saved_model"](h, *named(h, b"\xff"), TAGS, 0, OUT), INVALID),
        "no place for the session": (
            lambda h: B["create_session_saved_model"](h, *named(h, b"/m"), TAGS, 0, BAD), MEMORY,
        ),
    },
    "delete_session": {
        "a session": (lambda h: B["delete_session"](h, opened(h)), SUCCESS),
        "a deleted session": (lambda h: B["delete_session"](h, deleted(h)), SUCCESS),
        "another kind of handle": (lambda h: B["delete_session"](h, of_another_kind(h)), SUCCESS),
    },
    "run_session": {
        "inputs and outputs": (lambda h: B["run_session"](h, ready(h)), SUCCESS),
        "nothing to compute": (lambda h: B["run_session"](h, opened(h)), SUCCESS),
        "an input missing": (lambda h: B["run_session"](h, without_input(h)), BUSY),
        "a shape that does not fit": (lambda h: B["run_session"](h, misshapen(h)), BUSY),
        "a deleted session": (lambda h: B["run_session"](h, deleted(h)), INVALID),
        "another kind of handle": (lambda h: B["run_session"](h, of_another_kind(h)), INVALID),
    },
    "get_output_tensor": {
        "an output": (lambda h: B["get_output_tensor"](h, ran(h), *named(h, b"y"), OUT), SUCCESS),
        "an output with its index": (lambda h: B["get_output_tensor"](h, ran(h), *named(h, b"y:0"), OUT), SUCCESS),
        "a tensor that was not appended": (lambda h: B["get_output_tensor"](h, ran(h), *named(h, b"z"), OUT), INVALID),
        "a cleared output": (lambda h: B["get_output_tensor"](h, cleared(h), *named(h, b"y"), OUT), INVALID),
        "a deleted session": (lambda h: B["get_output_tensor"](h, deleted(h), *named(h, b"y"), OUT), INVALID),
        "a name outside memory": (lambda h: B["get_output_tensor"](h, ran(h), BAD, 4, OUT), MEMORY),
        "no place for the tensor": (lambda h: B["get_output_tensor"](h, ran(h), *named(h, b"y"), BAD), MEMORY),
    },
    "get_tensor_len": {
        "an output": (lambda h: B["get_tensor_len"](h, ran(h), 0, OUT), SUCCESS),
        "before a run": (lambda h: B["get_tensor_len"](h, ready(h), 0, OUT), INVALID),
        "a cleared output": (lambda h: B["get_tensor_len"](h, cleared(h), 0, OUT), INVALID),
        "a tensor that does not exist": (lambda h: B["get_tensor_len"](h, ran(h), 1, OUT), INVALID),
        "tensor -1": (lambda h: B["get_tensor_len"](h, ran(h), 2**32 - 1, OUT), INVALID),
        "a deleted session": (lambda h: B["get_tensor_len"](h, deleted(h), 0, OUT), INVALID),
        "no place for the length": (lambda h: B["get_tensor_len"](h, ran(h), 0, BAD), MEMORY),
    },
    "get_tensor_data": {
        "a buffer of the size": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 16, OUT), SUCCESS),
        "a smaller buffer": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 5, OUT), SUCCESS),
        "a larger buffer": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 100, OUT), SUCCESS),
        "before a run": (lambda h: B["get_tensor_data"](h, ready(h), 0, DATA, 16, OUT), INVALID),
        "a tensor that does not exist": (lambda h: B["get_tensor_data"](h, ran(h), 1, DATA, 16, OUT), INVALID),
        "a deleted session": (lambda h: B["get_tensor_data"](h, deleted(h), 0, DATA, 16, OUT), INVALID),
        "a buffer outside memory": (lambda h: B["get_tensor_data"](h, ran(h), 0, BAD, 16, OUT), MEMORY),
        "no place for the count": (lambda h: B["get_tensor_data"](h, ran(h), 0, DATA, 16, BAD), MEMORY),
    },
    "append_input": {
        "an input": (given, SUCCESS),
        "an input with its index": (lambda h: given(h, b"x:0"), SUCCESS),
        "an input again": (lambda h: give(h, ready(h)), SUCCESS),
        "a tensor that does not exist": (lambda h: given(h, b"nobody"), INVALID),
        "an index that does not exist": (lambda h: given(h, b"x:1"), INVALID),
        "another type": (lambda h: given(h, dtype=I32), INVALID),
        "a type that is not listed": (lambda h: given(h, dtype=7), INVALID),
        "type -1": (lambda h: given(h, dtype=2**32 - 1), INVALID),
        "too few bytes": (lambda h: given(h, data=ONES[:15]), INVALID),
        "too many bytes": (lambda h: given(h, data=ONES + b"x"), INVALID),
        "a negative dimension": (lambda h: given(h, shape=(-1, -4)), INVALID),
        "dimensions whose product overflows": (lambda h: given(h, shape=(2**62, 2**62)), INVALID),
        "20 dimensions": (lambda h: given(h, shape=(1,) * 19 + (4,)), INVALID),
        "a deleted session": (lambda h: give(h, deleted(h)), INVALID),
        "another kind of handle": (lambda h: give(h, of_another_kind(h)), INVALID),
        "a name outside memory": (
            lambda h: B["append_input"](h, opened(h), BAD, 4, *dims(h, 1, 4), F32, DATA, 16), MEMORY,
        ),
        "dimensions outside memory": (
            lambda h: B["append_input"](h, opened(h), *named(h, b"x"), BAD, 2, F32, DATA, 16), MEMORY,
        ),
        "absurdly many dimensions": (
            lambda h: B["append_input"](h, opened(h), *named(h, b"x"), DIMS, 2**32 - 1, F32, DATA, 16), MEMORY,
        ),
        "data outside memory": (
            lambda h: B["append_input"](h, opened(h), *named(h, b"x"), *dims(h, 1, 4), F32, BAD, 16), MEMORY,
        ),
    },
    "append_output": {
        "an output": (lambda h: B["append_output"](h, opened(h), *named(h, b"y")), SUCCESS),
        "an output again": (lambda h: B["append_output"](h, ready(h), *named(h, b"y:0")), SUCCESS),
        "a tensor that does not exist": (lambda h: B["append_output"](h, opened(h), *named(h, b"nobody")), INVALID),
        "an index that does not exist": (lambda h: B["append_output"](h, opened(h), *named(h, b"z:2")), INVALID),
        "no UTF-8": (lambda h: B["append_output"](h, opened(h), *named(h, b"\xff")), INVALID),
        "a deleted session": (lambda h: B["append_output"](h, deleted(h), *named(h, b"y")), INVALID),
        "a name outside memory": (lambda h: B["append_output"](h, opened(h), BAD, 4), MEMORY),
    },
    "clear_input": {
        "a session": (lambda h: B["clear_input"](h, ran(h)), SUCCESS),
        "a deleted session": (lambda h: B["clear_input"](h, deleted(h)), INVALID),
    },
    "clear_output": {
        "a session": (lambda h: B["clear_output"](h, ran(h)), SUCCESS),
        "a deleted session": (lambda h: B["clear_output"](h, deleted(h)), INVALID),
    },
}  # fmt: skip
ROWS = [
    pytest.param(row, answer, id=f"{name}: {condition}")
    for name, rows in TABLE.items()
    for condition, (row, answer) in rows.items()
]


def test_the_table_has_every_function() -> None:
    assert set(TABLE) == {entry.name for entry in b.FUNCTIONS}


@needs_tensorflow
@pytest.mark.parametrize(("row", "answer"), ROWS)
def test_every_condition_has_its_errno(host: Host, row: Row, answer: int) -> None:
    assert row(host) == answer


NUMPY_TYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool", 17: "uint16",
    22: "uint32", 23: "uint64",
}  # fmt: skip


@needs_tensorflow
class TestGenerationB:
    def test_a_session_computes_again_and_again(self, host: Host) -> None:
        session = ready(host)
        for factor in (1, 2):
            assert give(host, session, data=(np.ones(4, np.float32) * factor).tobytes()) == SUCCESS
            assert B["run_session"](host, session) == SUCCESS
            assert B["get_output_tensor"](host, session, *named(host, b"y"), OUT) == SUCCESS
            tensor = host.memory.read_u32(OUT)
            assert B["get_tensor_len"](host, session, tensor, OUT) == SUCCESS
            assert host.memory.read_u32(OUT) == 16
            assert B["get_tensor_data"](host, session, tensor, DATA, 16, OUT) == SUCCESS
            assert host.memory.read_u32(OUT) == 16
            assert np.frombuffer(host.memory.read(DATA, 16), np.float32).tolist() == [
                factor * value for value in (1, 2, 3, 4)
            ]

    @pytest.mark.parametrize("number", NUMPY_TYPES)
    def test_every_listed_type_goes_in_and_out(self, host: Host, number: int) -> None:
        dtype = np.dtype(NUMPY_TYPES[number])
        session = opened(host, passer(dtype.name))
        content = np.array([0, 1, 1], dtype).tobytes()
        assert give(host, session, b"x", (3,), number, content) == SUCCESS
        assert B["append_output"](host, session, *named(host, b"y")) == SUCCESS
        assert B["run_session"](host, session) == SUCCESS
        assert B["get_tensor_data"](host, session, 0, DATA, 100, OUT) == SUCCESS
        assert host.memory.read(DATA, host.memory.read_u32(OUT)) == content

    def test_truth_values_are_0_or_1(self, host: Host) -> None:
        session = opened(host, passer("bool"))
        assert give(host, session, b"x", (3,), 10, b"\0\2\xff") == SUCCESS
        B["append_output"](host, session, *named(host, b"y"))
        assert B["run_session"](host, session) == SUCCESS
        assert B["get_tensor_data"](host, session, 0, DATA, 3, OUT) == SUCCESS
        assert host.memory.read(DATA, 3) == b"\0\1\1"

    def test_a_smaller_buffer_gets_the_beginning(self, host: Host) -> None:
        session = ran(host)
        host.memory.write(DATA, b"\xaa" * 16)
        assert B["get_tensor_data"](host, session, 0, DATA, 5, OUT) == SUCCESS
        assert host.memory.read_u32(OUT) == 5
        assert host.memory.read(DATA, 16) == np.arange(1, 5, dtype=np.float32).tobytes()[:5] + b"\xaa" * 11

    def test_a_failed_run_takes_the_results_away(self, host: Host) -> None:
        session = ran(host)
        assert B["clear_input"](host, session) == SUCCESS
        assert B["run_session"](host, session) == BUSY
        assert B["get_tensor_len"](host, session, 0, OUT) == INVALID

    def test_an_input_is_taken_over_at_once(self, host: Host) -> None:
        session = ready(host)
        host.memory.write(DATA, bytes(16))
        assert B["run_session"](host, session) == SUCCESS
        assert B["get_tensor_data"](host, session, 0, DATA, 16, OUT) == SUCCESS
        assert host.memory.read(DATA, 4) == np.float32(1).tobytes()

    def test_sessions_of_another_instance_are_none(self, models: ModelStore) -> None:
        mine, other = (host_with(models, limits=PATIENT) for _ in range(2))
        session = ran(mine)
        assert B["run_session"](other, session) == INVALID
        assert B["delete_session"](other, session) == SUCCESS
        assert B["run_session"](mine, session) == SUCCESS

    def test_what_one_session_keeps_no_other_sees(self, models: ModelStore) -> None:
        for _ in range(3):
            host = host_with(models, limits=PATIENT)
            session = opened(host, counter())
            for name in (b"start", b"count"):
                B["append_output"](host, session, *named(host, name))
            B["clear_output"](host, session)
            B["append_output"](host, session, *named(host, b"count"))
            assert B["run_session"](host, session) == BUSY  # the variable has no value yet
            B["clear_output"](host, session)
            B["append_output"](host, session, *named(host, b"start"))
            assert B["run_session"](host, session) == SUCCESS
            host.end_instance()

    def test_models_of_one_call_and_of_a_life_are_limited(
        self, models: ModelStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tensorflow_models, "_GRAPHS", tensorflow_models.TensorFlowGraphs())
        size = len(scaler())
        host = host_with(models, limits=Limits(deadline_s=60, model_bytes=2 * size))
        assert [B["create_session"](host, *graph(host), OUT) for _ in range(3)] == [SUCCESS, SUCCESS, BUSY]
        host = host_with(models, limits=Limits(deadline_s=60, models_total_bytes=1))
        assert B["create_session"](host, *graph(host), OUT) == SUCCESS  # it is loaded already
        assert B["create_session"](host, *put(host, MODEL, passer("int8")), OUT) == BUSY

    def test_what_the_host_keeps_of_tensors_is_limited(self, models: ModelStore) -> None:
        host = host_with(models, limits=Limits(deadline_s=60, memory_bytes=100))
        first, second = opened(host), opened(host)
        rows = np.ones((5, 4), np.float32).tobytes()
        assert give(host, first, shape=(5, 4), data=rows) == SUCCESS
        assert give(host, first, shape=(5, 4), data=rows) == SUCCESS
        assert give(host, second, shape=(5, 4), data=rows) == INVALID
        B["append_output"](host, first, *named(host, b"y"))
        assert B["run_session"](host, first) == BUSY
        assert "got 160 bytes of tensors, expected at most 100" in host.call.logs()[-1].text

    def test_a_loop_without_end_ends_with_the_deadline(self, models: ModelStore) -> None:
        host = host_with(models, limits=PATIENT)
        session = opened(host, endless())
        B["append_output"](host, session, *named(host, b"out"))
        host.call.ends_at_s = time.monotonic() + 0.05
        assert B["run_session"](host, session) == BUSY

    def test_a_graph_that_reads_files_is_refused_with_its_reason(self, host: Host) -> None:
        content = frozen(lambda v1: v1.identity(v1.raw_ops.ReadFile(filename="/etc/passwd"), "y"))
        assert B["create_session"](host, *put(host, MODEL, content), OUT) == INVALID
        assert "operations: got `ReadFile`" in host.call.logs()[0].text


# SavedModels in granted directories -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("granted")
    saved_model(root / "models/m")
    return root


def saved_host(models: ModelStore, directory: Path, guest: str = "/data") -> Host:
    return host_with(models, limits=PATIENT, grants=Grants(directories=(Directory(directory, guest),)))


def open_saved(host: Host, path: bytes, *tags: bytes) -> int | None:
    at, pairs = TAGS + 100, b""
    for tag in tags:
        host.memory.write(at, tag)
        pairs += pack("<II", at, len(tag))
        at += len(tag)
    host.memory.write(TAGS, pairs)
    return B["create_session_saved_model"](host, *named(host, path), TAGS, len(tags), OUT)


@needs_tensorflow
class TestSavedModels:
    @pytest.mark.parametrize(
        "path", [b"/data/models/m", b"data/models/m", b"/data//models/./m/", b"/data/models/x/../m"]
    )
    def test_one_in_a_granted_directory_computes(self, models: ModelStore, directory: Path, path: bytes) -> None:
        (directory / "models/x").mkdir(exist_ok=True)
        host = saved_host(models, directory)
        assert open_saved(host, path, b"serve") == SUCCESS
        session = host.memory.read_u32(OUT)
        assert give(host, session, b"serving_default_x:0") == SUCCESS
        assert B["append_output"](host, session, *named(host, b"StatefulPartitionedCall:0")) == SUCCESS
        assert B["run_session"](host, session) == SUCCESS
        assert B["get_tensor_data"](host, session, 0, DATA, 16, OUT) == SUCCESS
        assert np.frombuffer(host.memory.read(DATA, 16), np.float32).tolist() == [2, 2, 2, 2]

    @pytest.mark.parametrize(
        "path",
        [b"/data", b"/data/nobody", b"/elsewhere/m", b"/", b"", b"..", b"/data/../data/models/m", b"/data/models/m\0",
         b"/data/../../models/m", b"/datamodels/m"],
    )  # fmt: skip
    def test_other_paths_lead_nowhere(self, models: ModelStore, directory: Path, path: bytes) -> None:
        host = saved_host(models, directory)
        assert open_saved(host, path, b"serve") == INVALID
        assert "create_session_saved_model: model `" in host.call.logs()[0].text
        assert len(host.handles) == 0

    def test_a_link_out_of_the_directory_leads_nowhere(
        self, models: ModelStore, directory: Path, tmp_path: Path
    ) -> None:
        granted = tmp_path / "granted"
        granted.mkdir()
        (granted / "all").symlink_to(directory / "models/m")
        for name, target in (("graph", "saved_model.pb"), ("weights", "variables")):
            (granted / name).mkdir()
            for entry in ("saved_model.pb", "variables"):
                source, copy = directory / "models/m" / entry, granted / name / entry
                if entry == target:
                    copy.symlink_to(source)
                elif source.is_dir():
                    copy.mkdir()
                    for file in source.iterdir():
                        (copy / file.name).write_bytes(file.read_bytes())
                else:
                    copy.write_bytes(source.read_bytes())
        host = saved_host(models, granted)
        assert [open_saved(host, f"/data/{name}".encode(), b"serve") for name in ("all", "graph", "weights")] == [
            INVALID
        ] * 3

    def test_a_pipe_is_no_model(self, models: ModelStore, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        os.mkfifo(tmp_path / "m/saved_model.pb")
        host = saved_host(models, tmp_path)
        assert open_saved(host, b"/data/m", b"serve") == INVALID
        assert "expected a regular file" in host.call.logs()[0].text

    @pytest.mark.parametrize("tags", [(), (b"train",), (b"serve", b"gpu"), (b"\xff",)])
    def test_other_tags_are_invalid(self, models: ModelStore, directory: Path, tags: tuple[bytes, ...]) -> None:
        assert open_saved(saved_host(models, directory), b"/data/models/m", *tags) == INVALID

    def test_its_files_count_as_a_model(self, models: ModelStore, directory: Path) -> None:
        grants = Grants(directories=(Directory(directory, "/data"),))
        host = host_with(models, limits=Limits(deadline_s=60, model_bytes=1000), grants=grants)
        assert open_saved(host, b"/data/models/m", b"serve") == BUSY

    def test_restoring_variables_is_not_for_guests(self, models: ModelStore, directory: Path) -> None:
        host = saved_host(models, directory)
        assert open_saved(host, b"/data/models/m", b"serve") == SUCCESS
        session = host.memory.read_u32(OUT)
        assert B["append_output"](host, session, *named(host, b"StatefulPartitionedCall_1")) == INVALID

    def test_a_changed_model_is_read_again(self, models: ModelStore, tmp_path: Path) -> None:
        found = []
        for scale in (2.0, 3.0):
            saved_model(tmp_path / "m", scale)
            host = saved_host(models, tmp_path)
            assert open_saved(host, b"/data/m", b"serve") == SUCCESS
            session = host.memory.read_u32(OUT)
            give(host, session, b"serving_default_x")
            B["append_output"](host, session, *named(host, b"StatefulPartitionedCall"))
            assert B["run_session"](host, session) == SUCCESS
            B["get_tensor_data"](host, session, 0, DATA, 16, OUT)
            found.append(float(np.frombuffer(host.memory.read(DATA, 4), np.float32)[0]))
        assert found == [2, 3]

    def test_no_descriptor_stays_open(self, models: ModelStore, directory: Path) -> None:
        host = saved_host(models, directory)
        open_saved(host, b"/data/models/m", b"serve")
        before = set(Path("/proc/self/fd").iterdir())
        for tags in ((b"serve",), (b"other",)):
            open_saved(host, b"/data/models/m", *tags)
        assert set(Path("/proc/self/fd").iterdir()) == before
