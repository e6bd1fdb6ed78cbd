from __future__ import annotations

from struct import pack, unpack

import numpy as np
import pytest

from nearfield.errors import GuestTimeout
from nearfield.inference import ModelStore
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi_nn as nn
from nearfield.sandbox.limits import Limits
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.kit import host_with

OUT, NAME, TENSOR, DATA, MODEL = 0, 100, 400, 1000, 4000
F32, ANY_PADDING = 1, b"\xab\xcd\xef"


def named(host: Host, name: bytes = b"adder") -> int:
    host.memory.write(NAME, name)
    assert nn.load_by_name(host, NAME, len(name), OUT) == nn.SUCCESS
    return host.memory.read_u32(OUT)


def context(host: Host, name: bytes = b"adder") -> int:
    assert nn.init_execution_context(host, named(host, name), OUT) == nn.SUCCESS
    return host.memory.read_u32(OUT)


def tensor(host: Host, content: bytes, dims: tuple[int, ...] = (1, 4), number: int = F32) -> int:
    host.memory.write(DATA, content)
    host.memory.write(TENSOR + 20, pack(f"<{len(dims)}I", *dims))
    host.memory.write(
        TENSOR, pack("<IIB", TENSOR + 20, len(dims), number) + ANY_PADDING + pack("<II", DATA, len(content))
    )
    return TENSOR


def floats(*values: float) -> bytes:
    return np.array(values, np.float32).tobytes()


def load_bytes(host: Host, content: bytes, encoding: int = 4, target: int = 0, count: int = 1) -> int:
    host.memory.write(MODEL, content)
    host.memory.write(TENSOR, pack("<II", MODEL, len(content)))
    return nn.load(host, TENSOR, count, encoding, target, OUT)


def test_a_named_model_computes(host: Host) -> None:
    running = context(host)
    for index in (0, 1):
        assert nn.set_input(host, running, index, tensor(host, floats(1, 2, 3, 4))) == nn.SUCCESS
    assert nn.compute(host, running) == nn.SUCCESS
    assert nn.get_output(host, running, 0, DATA, 16, OUT) == nn.SUCCESS
    assert host.memory.read_u32(OUT) == 16
    assert host.memory.read(DATA, 16) == floats(2, 4, 6, 8)
    assert host.call.model_ns > 0


@pytest.mark.parametrize(("encoding", "target"), [(4, 0), (5, 0), (4, 3)])
def test_a_model_inside_the_guest_computes(host: Host, tiny: TinyModels, encoding: int, target: int) -> None:
    assert load_bytes(host, tiny.adder((1, 2)), encoding, target) == nn.SUCCESS
    graph = host.memory.read_u32(OUT)
    assert nn.init_execution_context(host, graph, OUT) == nn.SUCCESS
    running = host.memory.read_u32(OUT)
    for index in (0, 1):
        assert nn.set_input(host, running, index, tensor(host, floats(1, 2), (1, 2))) == nn.SUCCESS
    assert nn.compute(host, running) == nn.SUCCESS
    assert nn.get_output(host, running, 0, DATA, 100, OUT) == nn.SUCCESS
    assert host.memory.read(DATA, 8) == floats(2, 4)


@pytest.mark.parametrize(
    ("encoding", "target", "count", "errno"),
    [
        (6, 0, 1, nn.INVALID_ENCODING),
        (2**32 - 1, 0, 1, nn.INVALID_ENCODING),
        (1, 0, 1, nn.INVALID_ARGUMENT),
        (4, 1, 1, nn.INVALID_ARGUMENT),
        (4, 2, 1, nn.INVALID_ARGUMENT),
        (4, 0, 0, nn.INVALID_ARGUMENT),
        (4, 0, 2, nn.INVALID_ARGUMENT),
    ],
)
def test_what_no_backend_can_load_is_refused(
    host: Host, tiny: TinyModels, encoding: int, target: int, count: int, errno: int
) -> None:
    assert load_bytes(host, tiny.adder(), encoding, target, count) == errno
    assert len(host.handles) == 0


def test_bytes_that_are_no_model_are_refused_with_a_reason(host: Host) -> None:
    assert load_bytes(host, b"no model at all") == nn.INVALID_ARGUMENT
    assert "expected a TFLite model" in host.call.logs()[0].text


@pytest.mark.parametrize("name", [b"nobody", b"../adder", b"\xff", b"x" * 2000, b""])
def test_an_unknown_name_is_not_found(host: Host, name: bytes) -> None:
    host.memory.write(NAME, name)
    assert nn.load_by_name(host, NAME, len(name), OUT) == nn.NOT_FOUND


def test_a_configuration_is_taken_and_not_needed(host: Host) -> None:
    host.memory.write(NAME, b"adder{}")
    assert nn.load_by_name_with_config(host, NAME, 5, NAME + 5, 2, OUT) == nn.SUCCESS


@pytest.mark.parametrize("stale", [0, 99, 2**32 - 1])
def test_numbers_that_are_no_handles_are_invalid(host: Host, stale: int) -> None:
    context(host)
    assert nn.init_execution_context(host, stale, OUT) == nn.INVALID_ARGUMENT
    assert nn.set_input(host, stale, 0, tensor(host, floats(1, 2, 3, 4))) == nn.INVALID_ARGUMENT
    assert nn.compute(host, stale) == nn.INVALID_ARGUMENT
    assert nn.get_output(host, stale, 0, DATA, 16, OUT) == nn.INVALID_ARGUMENT
    assert nn.unload(host, stale) == nn.INVALID_ARGUMENT
    assert nn.finalize_execution_context(host, stale) == nn.INVALID_ARGUMENT
    assert nn.unsupported_single(host, stale) == nn.INVALID_ARGUMENT


def test_a_graph_is_no_context_and_a_context_no_graph(host: Host) -> None:
    graph = named(host)
    running = context(host)
    assert nn.compute(host, graph) == nn.INVALID_ARGUMENT
    assert nn.unload(host, running) == nn.INVALID_ARGUMENT


def test_a_context_outlives_its_graph_and_ends_when_finalised(host: Host) -> None:
    graph = named(host)
    assert nn.init_execution_context(host, graph, OUT) == nn.SUCCESS
    running = host.memory.read_u32(OUT)
    assert nn.unload(host, graph) == nn.SUCCESS
    assert nn.unload(host, graph) == nn.INVALID_ARGUMENT
    assert nn.set_input(host, running, 0, tensor(host, floats(1, 2, 3, 4))) == nn.SUCCESS
    assert nn.finalize_execution_context(host, running) == nn.SUCCESS
    assert nn.set_input(host, running, 0, tensor(host, floats(1, 2, 3, 4))) == nn.INVALID_ARGUMENT
    assert len(host.handles) == 0


@pytest.mark.parametrize(
    ("content", "dims", "number", "line"),
    [
        (floats(1, 2, 3), (1, 4), F32, "got 12 bytes for (1, 4), expected 16"),
        (floats(1, 2, 3, 4), (2, 4), F32, "got 16 bytes for (2, 4), expected 16"),
        (floats(1, 2, 3, 4), (4, 1), F32, "got dimensions (4, 1), expected (1, 4)"),
        (floats(1, 2, 3, 4), (4,), F32, "got dimensions (4,), expected (1, 4)"),
        (floats(1, 2, 3, 4), (2**31, 2**31), F32, "got 16 bytes for"),
        (floats(1, 2, 3, 4), (1, 4), 3, "got type number 3, expected that of float32"),
        (floats(1, 2, 3, 4), (1, 4), 255, "got type number 255"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_with_a_reason(
    host: Host, content: bytes, dims: tuple[int, ...], number: int, line: str
) -> None:
    assert nn.set_input(host, context(host), 0, tensor(host, content, dims, number)) == nn.INVALID_ARGUMENT
    assert f"wasi-nn: set_input: model `adder`: input 0: {line}" in host.call.logs()[0].text


@pytest.mark.parametrize("number", [3, 4])
def test_integers_may_be_numbered_by_the_old_or_the_new_table(host: Host, number: int) -> None:
    running = context(host, b"divider")
    content = np.array([8, 6, 4, 2], np.int32).tobytes()
    assert nn.set_input(host, running, 0, tensor(host, content, number=number)) == nn.SUCCESS


def test_an_input_that_does_not_exist_is_invalid(host: Host) -> None:
    running = context(host)
    for index in (2, 2**32 - 1):
        assert nn.set_input(host, running, index, tensor(host, floats(1, 2, 3, 4))) == nn.INVALID_ARGUMENT


def test_an_absurd_rank_is_refused_before_it_is_read(host: Host) -> None:
    running = context(host)
    host.memory.write(TENSOR, pack("<II", 0, 2**32 - 1) + bytes(12))
    assert nn.set_input(host, running, 0, TENSOR) == nn.INVALID_ARGUMENT


def test_computing_without_an_input_fails(host: Host) -> None:
    running = context(host)
    nn.set_input(host, running, 0, tensor(host, floats(1, 2, 3, 4)))
    assert nn.compute(host, running) == nn.RUNTIME_ERROR
    assert nn.get_output(host, running, 0, DATA, 16, OUT) == nn.RUNTIME_ERROR


def test_a_failing_model_is_a_runtime_error(host: Host) -> None:
    running = context(host, b"divider")
    for index, values in enumerate(([1, 1, 1, 1], [1, 1, 1, 0])):
        content = np.array(values, np.int32).tobytes()
        assert nn.set_input(host, running, index, tensor(host, content, number=4)) == nn.SUCCESS
    assert nn.compute(host, running) == nn.RUNTIME_ERROR


def test_a_small_buffer_gets_the_needed_size_and_no_content(host: Host) -> None:
    running = context(host)
    for index in (0, 1):
        nn.set_input(host, running, index, tensor(host, floats(1, 2, 3, 4)))
    nn.compute(host, running)
    host.memory.write(DATA, bytes(16))
    assert nn.get_output(host, running, 0, DATA, 15, OUT) == nn.TOO_LARGE
    assert host.memory.read_u32(OUT) == 16
    assert host.memory.read(DATA, 16) == bytes(16)
    assert nn.get_output(host, running, 1, DATA, 16, OUT) == nn.INVALID_ARGUMENT


def test_token_by_token_is_not_offered(host: Host) -> None:
    running = context(host)
    assert nn.unsupported_single(host, running) == nn.UNSUPPORTED_OPERATION
    assert nn.get_output_single(host, running, 0, DATA, 16, OUT) == nn.UNSUPPORTED_OPERATION


def test_handles_end_at_their_quota(models: ModelStore, tiny: TinyModels) -> None:
    host = host_with(models, limits=Limits(handles=2))
    graph = named(host)
    named(host)
    host.memory.write(NAME, b"adder")
    assert nn.load_by_name(host, NAME, 5, OUT) == nn.BUSY
    assert nn.init_execution_context(host, graph, OUT) == nn.BUSY
    assert load_bytes(host, tiny.adder()) == nn.BUSY
    assert "all 2 handles are in use" in host.call.logs()[0].text


def test_contexts_go_back_when_the_instance_ends(host: Host) -> None:
    context(host)
    host.end_instance()
    assert len(host.handles) == 0


def test_nothing_is_computed_after_the_deadline(host: Host) -> None:
    running = context(host)
    host.call.ends_at_s = 0.0
    with pytest.raises(GuestTimeout):
        nn.compute(host, running)
    assert host.call.model_ns == 0


def test_the_tensor_layout_is_20_bytes() -> None:
    assert unpack("<IIBxxxII", bytes(range(20)))[2] == 8
