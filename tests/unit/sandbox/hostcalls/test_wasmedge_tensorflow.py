"""Both generations of `wasmedge_tensorflowlite`, and the module that only links."""

from __future__ import annotations

import numpy as np
import pytest

from nearfield.inference import ModelStore
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasmedge_tensorflow as tensorflow
from nearfield.sandbox.hostcalls import wasmedge_tensorflowlite_a as a
from nearfield.sandbox.hostcalls import wasmedge_tensorflowlite_b as b
from nearfield.sandbox.limits import Limits
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
    assert b.create_session(host, *model, OUT) == b.INVALID_ARGUMENT


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


# Full TensorFlow ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", tensorflow.FUNCTIONS, ids=lambda entry: entry.name)
def test_full_tensorflow_links_and_fails_with_a_line(host: Host, entry: object) -> None:
    assert isinstance(entry, type(tensorflow.FUNCTIONS[0]))
    result = entry.body(host, *[1] * len(entry.signature.params))
    if entry.signature.results == ("i64",):
        assert result == 0
    if not entry.name.startswith("wasmedge_"):
        assert result == tensorflow.RUNTIME_ERROR
    assert "this host runs TensorFlow Lite models only" in host.call.logs()[0].text


def test_the_generations_share_no_name() -> None:
    names = [entry.name for entry in (*a.FUNCTIONS, *b.FUNCTIONS)]
    assert len(set(names)) == len(names) == 14
