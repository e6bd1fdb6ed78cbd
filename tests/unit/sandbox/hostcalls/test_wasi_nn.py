from __future__ import annotations

from pathlib import Path
from struct import unpack

import numpy as np
import pytest

from nearfield.errors import GuestTimeout
from nearfield.inference import ModelStore
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi_nn as nn
from nearfield.sandbox.hostcalls.wasi_nn_types import OpenGraph
from nearfield.sandbox.limits import Limits
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.hostcalls.formats import onnx_adder, onnx_passer, openvino_scaler
from tests.unit.sandbox.hostcalls.nn_calls import (
    AUTO,
    AUTODETECT,
    CPU,
    DATA,
    F32,
    NAME,
    ONNX,
    OPENVINO,
    OUT,
    TFLITE,
    computed,
    context,
    context_of,
    floats,
    load_bytes,
    named,
    tensor,
)
from tests.unit.sandbox.kit import host_with


@pytest.fixture
def host(models: ModelStore) -> Host:
    # Importing a runtime takes seconds on a busy machine.
    return host_with(models, limits=Limits(deadline_s=60))


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
    assert load_bytes(host, tiny.adder((1, 2)), encoding=encoding, target=target) == nn.SUCCESS
    graph = host.memory.read_u32(OUT)
    assert nn.init_execution_context(host, graph, OUT) == nn.SUCCESS
    running = host.memory.read_u32(OUT)
    for index in (0, 1):
        assert nn.set_input(host, running, index, tensor(host, floats(1, 2), (1, 2))) == nn.SUCCESS
    assert nn.compute(host, running) == nn.SUCCESS
    assert nn.get_output(host, running, 0, DATA, 100, OUT) == nn.SUCCESS
    assert host.memory.read(DATA, 8) == floats(2, 4)


def test_bytes_that_are_no_model_are_refused_with_a_reason(host: Host) -> None:
    assert load_bytes(host, b"no model at all") == nn.INVALID_ARGUMENT
    assert "expected a TFLite model" in host.call.logs()[0].text


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


# Numbers by which guests may name the type of an input: both tables of wasi-nn, and ours from 16 on.
NUMBERS = {
    "FLOAT16": {0},
    "FLOAT": {1},
    "DOUBLE": {2},
    "UINT8": {2, 3},
    "INT32": {3, 4},
    "INT64": {5},
    "INT8": {2, 3, 16},
    "INT16": {17},
    "BOOL": {2, 3, 18},
}


@pytest.mark.parametrize("element", NUMBERS)
def test_every_element_type_goes_in_and_out_by_the_numbers_of_both_tables(host: Host, element: str) -> None:
    assert load_bytes(host, onnx_passer(element), encoding=ONNX) == nn.SUCCESS
    graph = host.memory.read_u32(OUT)
    running = context_of(host, graph)
    content = b"\1\0\0\1" if element == "BOOL" else bytes(range(4 * element_bytes(host, graph)))
    taken = set()
    for number in range(256):
        given = tensor(host, content, number=number)
        if nn.set_input(host, running, 0, given) == nn.SUCCESS:
            taken.add(number)
    assert taken == NUMBERS[element]
    assert nn.compute(host, running) == nn.SUCCESS
    assert nn.get_output(host, running, 0, DATA + 100, len(content), OUT) == nn.SUCCESS
    assert host.memory.read(DATA + 100, len(content)) == content


def element_bytes(host: Host, graph: int) -> int:
    opened = host.handles.get(graph, OpenGraph)
    assert opened is not None
    return opened.graph.inputs[0].dtype.itemsize


@pytest.mark.parametrize("number", [3, 4])
def test_integers_of_a_tflite_model_may_be_numbered_by_either_table(host: Host, number: int) -> None:
    running = context(host, b"divider")
    content = np.array([8, 6, 4, 2], np.int32).tobytes()
    assert nn.set_input(host, running, 0, tensor(host, content, number=number)) == nn.SUCCESS


@pytest.mark.parametrize("encoding", [ONNX, AUTODETECT])
@pytest.mark.parametrize("target", [CPU, AUTO])
def test_an_onnx_model_inside_the_guest_computes(host: Host, encoding: int, target: int) -> None:
    assert load_bytes(host, onnx_adder(), encoding=encoding, target=target) == nn.SUCCESS
    running = context_of(host, host.memory.read_u32(OUT))
    for index in (0, 1):
        assert nn.set_input(host, running, index, tensor(host, floats(1, 2, 3, 4))) == nn.SUCCESS
    assert nn.compute(host, running) == nn.SUCCESS
    assert nn.get_output(host, running, 0, DATA, 16, OUT) == nn.SUCCESS
    assert host.memory.read(DATA, 16) == floats(2, 4, 6, 8)


@pytest.mark.parametrize("encoding", [OPENVINO, AUTODETECT])
def test_an_openvino_model_is_two_builders(host: Host, tmp_path: Path, encoding: int) -> None:
    assert load_bytes(host, *openvino_scaler(tmp_path), encoding=encoding) == nn.SUCCESS
    running = context_of(host, host.memory.read_u32(OUT))
    assert nn.set_input(host, running, 0, tensor(host, floats(1, 1, 1, 1))) == nn.SUCCESS
    assert nn.compute(host, running) == nn.SUCCESS
    assert nn.get_output(host, running, 0, DATA, 16, OUT) == nn.SUCCESS
    assert host.memory.read(DATA, 16) == floats(1, 2, 3, 4)


def test_an_openvino_model_without_its_weights_is_refused(host: Host, tmp_path: Path) -> None:
    xml, _ = openvino_scaler(tmp_path)
    assert load_bytes(host, xml, encoding=OPENVINO) == nn.INVALID_ARGUMENT
    assert load_bytes(host, xml, b"", encoding=OPENVINO) == nn.INVALID_ARGUMENT
    assert load_bytes(host, b"weights", xml, encoding=OPENVINO) == nn.INVALID_ARGUMENT


def test_onnx_said_to_be_tflite_is_refused_with_a_reason(host: Host) -> None:
    assert load_bytes(host, onnx_adder(), encoding=TFLITE) == nn.INVALID_ARGUMENT
    assert "ONNX" in host.call.logs()[0].text


def test_two_models_in_one_load_are_refused(host: Host, tiny: TinyModels) -> None:
    assert load_bytes(host, tiny.adder(), tiny.adder(), encoding=AUTODETECT) == nn.INVALID_ARGUMENT


def test_what_a_configuration_asks_for_is_named_and_ignored(host: Host) -> None:
    host.memory.write(NAME, b"adder")
    config = b'{"n-predict": 4, "enable-log": true}'
    host.memory.write(DATA, config)
    assert nn.load_by_name_with_config(host, NAME, 5, DATA, len(config), OUT) == nn.SUCCESS
    assert host.call.logs()[0].text == "wasi-nn: configuration: ignored: 'n-predict', 'enable-log'"


def test_models_in_one_call_end_at_their_limit(models: ModelStore, tiny: TinyModels) -> None:
    host = host_with(models, limits=Limits(model_bytes=2 * len(tiny.adder())))
    assert [load_bytes(host, tiny.adder()) for _ in range(3)] == [nn.SUCCESS, nn.SUCCESS, nn.TOO_LARGE]


def test_an_input_is_taken_over_at_once(host: Host) -> None:
    running = context(host)
    for index in (0, 1):
        assert nn.set_input(host, running, index, tensor(host, floats(1, 2, 3, 4))) == nn.SUCCESS
        host.memory.write(DATA, bytes(16))
    assert nn.compute(host, running) == nn.SUCCESS
    assert nn.get_output(host, running, 0, DATA, 16, OUT) == nn.SUCCESS
    assert host.memory.read(DATA, 16) == floats(2, 4, 6, 8)


def test_a_small_buffer_gets_the_needed_size_and_no_content(host: Host) -> None:
    running = computed(host)
    host.memory.write(DATA, bytes(16))
    assert nn.get_output(host, running, 0, DATA, 15, OUT) == nn.TOO_LARGE
    assert host.memory.read_u32(OUT) == 16
    assert host.memory.read(DATA, 16) == bytes(16)
    assert nn.get_output(host, running, 1, DATA, 16, OUT) == nn.INVALID_ARGUMENT


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
