"""The errno of every function of `wasi_ephemeral_nn` in every condition: the table of docs/abi.md, line by line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from struct import pack

import numpy as np
import pytest

from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi_nn as nn
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.hostcalls.nn_calls import (
    AUTO,
    AUTODETECT,
    BUILDERS,
    CPU,
    DATA,
    F32,
    GPU,
    I32,
    MODEL,
    NAME,
    ONNX,
    OPENVINO,
    OUT,
    TENSOR,
    TFLITE,
    TPU,
    computed,
    context,
    floats,
    load_bytes,
    named,
    tensor,
    tensor_at,
)
from tests.unit.sandbox.kit import host_with, named_models

SUCCESS, INVALID, ENCODING, MEMORY, BUSY, RUNTIME, UNSUPPORTED, TOO_LARGE, NOT_FOUND = range(9)

BAD = 2**32 - 3  # no pointer: outside of every memory
STALE = 99
VALUES = floats(1, 2, 3, 4)
ADDER = TinyModels().adder()

Row = Callable[[Host], int | None]


def function(name: str) -> Callable[..., int]:
    """As the guest sees it: a pointer outside of memory is an errno too."""
    (entry,) = [entry for entry in nn.FUNCTIONS if entry.name == name]

    def call(*values: object) -> int:
        try:
            result = entry.body(*values)
        except OutOfBounds:
            return entry.fault
        assert result is not None
        return result

    return call


load, load_by_name, with_config = map(function, ("load", "load_by_name", "load_by_name_with_config"))
init, finalize, unload = map(function, ("init_execution_context", "finalize_execution_context", "unload"))
set_input, compute, get_output = map(function, ("set_input", "compute", "get_output"))
compute_single, fini_single, output_single = map(function, ("compute_single", "fini_single", "get_output_single"))


def put(host: Host, at: int, content: bytes) -> tuple[int, int]:
    host.memory.write(at, content)
    return at, len(content)


def with_builders(host: Host, *pairs: tuple[int, int]) -> int:
    host.memory.write(BUILDERS, b"".join(pack("<II", *pair) for pair in pairs))
    return BUILDERS


def failing(host: Host) -> int:
    """A context whose run fails: a division by zero."""
    running = context(host, b"divider")
    for index in (0, 1):
        content = np.array([1, 1, 1, 1 - index], np.int32).tobytes()
        assert set_input(host, running, index, tensor(host, content, number=I32)) == SUCCESS
    return running


def unloaded(host: Host) -> int:
    graph = named(host)
    assert unload(host, graph) == SUCCESS
    return graph


def finalized(host: Host) -> int:
    running = computed(host)
    assert finalize(host, running) == SUCCESS
    return running


def of_an_unloaded_graph(host: Host) -> int:
    graph = named(host)
    assert init(host, graph, OUT) == SUCCESS
    running = host.memory.read_u32(OUT)
    assert unload(host, graph) == SUCCESS
    return running


def full(host: Host) -> Host:
    while host.handles.has_room():
        named(host)
    return host


def one_part(content: bytes, encoding: int, target: int = CPU, count: int = 1) -> Row:
    return lambda host: load_bytes(host, content, encoding=encoding, target=target, count=count)


LOAD: dict[str, tuple[Row, int]] = {
    "a TFLite model": (one_part(ADDER, TFLITE), SUCCESS),
    "a TFLite model, autodetected": (one_part(ADDER, AUTODETECT), SUCCESS),
    "a TFLite model on any device": (one_part(ADDER, TFLITE, AUTO), SUCCESS),
    "encoding tensorflow": (one_part(ADDER, 2), ENCODING),
    "encoding pytorch": (one_part(ADDER, 3), ENCODING),
    **{f"encoding {number} of WasmEdge": (one_part(ADDER, number), ENCODING) for number in range(6, 15)},
    "an encoding that does not exist": (one_part(ADDER, 15), ENCODING),
    "an absurd encoding": (one_part(ADDER, 2**32 - 1), ENCODING),
    "TFLite said to be ONNX": (one_part(ADDER, ONNX), INVALID),
    "TFLite said to be OpenVINO": (one_part(ADDER, OPENVINO), INVALID),
    "bytes that are no model": (one_part(b"no model at all", TFLITE), INVALID),
    "bytes that are no model, autodetected": (one_part(b"no model at all", AUTODETECT), INVALID),
    "no bytes": (one_part(b"", TFLITE), INVALID),
    "half a model": (one_part(ADDER[: len(ADDER) // 2], TFLITE), INVALID),
    "TFLite on a GPU": (one_part(ADDER, TFLITE, GPU), INVALID),
    "on a TPU": (one_part(ADDER, TFLITE, TPU), INVALID),
    "on a target that does not exist": (one_part(ADDER, TFLITE, 4), INVALID),
    "no builders": (one_part(ADDER, TFLITE, count=0), INVALID),
    "two builders for TFLite": (one_part(ADDER, TFLITE, count=2), INVALID),
    "two builders for ONNX": (one_part(ADDER, ONNX, count=2), INVALID),
    "three builders for OpenVINO": (one_part(ADDER, OPENVINO, count=3), INVALID),
    "absurdly many builders": (one_part(ADDER, TFLITE, count=2**32 - 1), INVALID),
    "builders outside memory": (lambda host: load(host, BAD, 1, TFLITE, CPU, OUT), MEMORY),
    "a model outside memory": (lambda h: load(h, with_builders(h, (BAD, 8)), 1, TFLITE, CPU, OUT), MEMORY),
    "a model too long for memory": (
        lambda h: load(h, with_builders(h, (MODEL, 2**32 - 1)), 1, TFLITE, CPU, OUT), MEMORY,
    ),
    "weights outside memory": (
        lambda h: load(h, with_builders(h, (MODEL, 8), (BAD, 8)), 2, OPENVINO, CPU, OUT), MEMORY,
    ),
    "no place for the graph": (lambda h: load(h, with_builders(h, (MODEL, 8)), 1, TFLITE, CPU, BAD), MEMORY),
    "all handles in use": (lambda host: load_bytes(full(host), ADDER), BUSY),
}  # fmt: skip

LOAD_BY_NAME: dict[str, tuple[Row, int]] = {
    "a model of the workflow": (lambda host: load_by_name(host, *put(host, NAME, b"adder"), OUT), SUCCESS),
    "`default`": (lambda host: load_by_name(host, *put(host, NAME, b"default"), OUT), SUCCESS),
    "an unknown name": (lambda host: load_by_name(host, *put(host, NAME, b"nobody"), OUT), NOT_FOUND),
    "a path": (lambda host: load_by_name(host, *put(host, NAME, b"../adder"), OUT), NOT_FOUND),
    "a name with a NUL": (lambda host: load_by_name(host, *put(host, NAME, b"adder\0"), OUT), NOT_FOUND),
    "no UTF-8": (lambda host: load_by_name(host, *put(host, NAME, b"\xff"), OUT), NOT_FOUND),
    "a name of 2,000 bytes": (lambda host: load_by_name(host, *put(host, NAME, b"x" * 2000), OUT), NOT_FOUND),
    "an empty name": (lambda host: load_by_name(host, NAME, 0, OUT), NOT_FOUND),
    "a name outside memory": (lambda host: load_by_name(host, BAD, 5, OUT), MEMORY),
    "a name too long for memory": (lambda host: load_by_name(host, NAME, 2**32 - 1, OUT), MEMORY),
    "no place for the graph": (lambda host: load_by_name(host, *put(host, NAME, b"adder"), BAD), MEMORY),
    "a model whose file is gone": (lambda host: load_by_name(host, *put(host, NAME, b"gone"), OUT), RUNTIME),
    "all handles in use": (lambda host: load_by_name(full(host), *put(host, NAME, b"adder"), OUT), BUSY),
}


def configured(config: bytes, name: bytes = b"adder") -> Row:
    return lambda host: with_config(host, *put(host, NAME, name), *put(host, DATA, config), OUT)


WITH_CONFIG: dict[str, tuple[Row, int]] = {
    "an object": (configured(b'{"enable-log": true, "n-predict": 4}'), SUCCESS),
    "an empty object": (configured(b"{}"), SUCCESS),
    "nothing": (configured(b""), SUCCESS),
    "an object with C's NUL": (configured(b"{}\0"), SUCCESS),
    "an unknown name": (configured(b"{}", b"nobody"), NOT_FOUND),
    "no JSON": (configured(b"n-predict=4"), INVALID),
    "JSON that is no object": (configured(b"[1]"), INVALID),
    "JSON 5,000 deep": (configured(b"[" * 5000), INVALID),
    "no UTF-8": (configured(b"\xff\xfe"), INVALID),
    "17 KiB": (configured(b'{"a": "' + b"x" * 17 * 1024 + b'"}'), TOO_LARGE),
    "a configuration outside memory": (
        lambda host: with_config(host, *put(host, NAME, b"adder"), BAD, 8, OUT), MEMORY,
    ),
    "a name outside memory": (lambda host: with_config(host, BAD, 5, *put(host, DATA, b"{}"), OUT), MEMORY),
    "no place for the graph": (
        lambda host: with_config(host, *put(host, NAME, b"adder"), *put(host, DATA, b"{}"), BAD), MEMORY,
    ),
    "all handles in use": (
        lambda host: with_config(full(host), *put(host, NAME, b"adder"), *put(host, DATA, b"{}"), OUT), BUSY,
    ),
}  # fmt: skip

INIT: dict[str, tuple[Row, int]] = {
    "a graph": (lambda host: init(host, named(host), OUT), SUCCESS),
    "no handle": (lambda host: init(host, STALE, OUT), INVALID),
    "handle 0": (lambda host: init(host, 0, OUT), INVALID),
    "a context": (lambda host: init(host, context(host), OUT), INVALID),
    "an unloaded graph": (lambda host: init(host, unloaded(host), OUT), INVALID),
    "no place for the context": (lambda host: init(host, named(host), BAD), MEMORY),
    "all handles in use": (lambda host: init(full(host), 1, OUT), BUSY),
}


def given(content: bytes, dims: tuple[int, ...] = (1, 4), number: int = F32, index: int = 0) -> Row:
    return lambda host: set_input(host, context(host), index, tensor(host, content, dims, number))


SET_INPUT: dict[str, tuple[Row, int]] = {
    "the model's type and dimensions": (given(VALUES), SUCCESS),
    "the last input": (given(VALUES, index=1), SUCCESS),
    "of a context whose graph is unloaded": (
        lambda host: set_input(host, of_an_unloaded_graph(host), 0, tensor(host, VALUES)), SUCCESS,
    ),
    "no handle": (lambda host: set_input(host, STALE, 0, tensor(host, VALUES)), INVALID),
    "a graph": (lambda host: set_input(host, named(host), 0, tensor(host, VALUES)), INVALID),
    "a finalized context": (lambda host: set_input(host, finalized(host), 0, tensor(host, VALUES)), INVALID),
    "an index too high": (given(VALUES, index=2), INVALID),
    "index -1": (given(VALUES, index=2**32 - 1), INVALID),
    "too few bytes": (given(VALUES[:12]), INVALID),
    "too many bytes": (given(VALUES + bytes(4)), INVALID),
    "no bytes": (given(b""), INVALID),
    "another rank": (given(VALUES, (4,)), INVALID),
    "other dimensions": (given(VALUES, (4, 1)), INVALID),
    "dimensions for more bytes": (given(VALUES, (2, 4)), INVALID),
    "dimensions whose product overflows": (given(VALUES, (2**31, 2**31)), INVALID),
    "type i32 for f32": (given(VALUES, number=I32), INVALID),
    "type u8 for f32": (given(VALUES, number=3), INVALID),
    "a type that does not exist": (given(VALUES, number=200), INVALID),
    "an absurd rank": (
        lambda h: set_input(h, context(h), 0, tensor_at(h, DATA, 2**32 - 1, F32, DATA, 16)), INVALID,
    ),
    "a tensor outside memory": (lambda host: set_input(host, context(host), 0, BAD), MEMORY),
    "dimensions outside memory": (
        lambda h: set_input(h, context(h), 0, tensor_at(h, BAD, 2, F32, DATA, 16)), MEMORY,
    ),
    "data outside memory": (
        lambda h: set_input(h, context(h), 0, tensor_at(h, put(h, 600, pack("<II", 1, 4))[0], 2, F32, BAD, 16)), MEMORY,
    ),
    "data too long for memory": (
        lambda h: set_input(h, context(h), 0, tensor_at(h, TENSOR, 2, F32, DATA, 2**32 - 1)), MEMORY,
    ),
}  # fmt: skip

COMPUTE: dict[str, tuple[Row, int]] = {
    "all inputs set": (lambda host: compute(host, computed(host)), SUCCESS),
    "no handle": (lambda host: compute(host, STALE), INVALID),
    "a graph": (lambda host: compute(host, named(host)), INVALID),
    "a finalized context": (lambda host: compute(host, finalized(host)), INVALID),
    "an input not set": (lambda host: compute(host, context(host)), RUNTIME),
    "a run that fails": (lambda host: compute(host, failing(host)), BUSY),
}


def failed(host: Host) -> int:
    running = failing(host)
    assert compute(host, running) == BUSY
    return running


GET_OUTPUT: dict[str, tuple[Row, int]] = {
    "a buffer of the size": (lambda host: get_output(host, computed(host), 0, DATA, 16, OUT), SUCCESS),
    "a larger buffer": (lambda host: get_output(host, computed(host), 0, DATA, 17, OUT), SUCCESS),
    "a smaller buffer": (lambda host: get_output(host, computed(host), 0, DATA, 15, OUT), TOO_LARGE),
    "no buffer": (lambda host: get_output(host, computed(host), 0, 0, 0, OUT), TOO_LARGE),
    "no handle": (lambda host: get_output(host, STALE, 0, DATA, 16, OUT), INVALID),
    "a graph": (lambda host: get_output(host, named(host), 0, DATA, 16, OUT), INVALID),
    "a finalized context": (lambda host: get_output(host, finalized(host), 0, DATA, 16, OUT), INVALID),
    "an index too high": (lambda host: get_output(host, computed(host), 1, DATA, 16, OUT), INVALID),
    "index -1": (lambda host: get_output(host, computed(host), 2**32 - 1, DATA, 16, OUT), INVALID),
    "before a run": (lambda host: get_output(host, context(host), 0, DATA, 16, OUT), RUNTIME),
    "after a run that failed": (lambda host: get_output(host, failed(host), 0, DATA, 16, OUT), RUNTIME),
    "a buffer outside memory": (lambda host: get_output(host, computed(host), 0, BAD, 16, OUT), MEMORY),
    "a buffer that ends outside memory": (
        lambda host: get_output(host, computed(host), 0, DATA, 2**32 - 1, OUT), MEMORY,
    ),
    "no place for the size": (lambda host: get_output(host, computed(host), 0, DATA, 16, BAD), MEMORY),
}  # fmt: skip

UNLOAD: dict[str, tuple[Row, int]] = {
    "a graph": (lambda host: unload(host, named(host)), SUCCESS),
    "a graph with a context": (lambda host: (computed(host), unload(host, 1))[1], SUCCESS),
    "an unloaded graph": (lambda host: unload(host, unloaded(host)), INVALID),
    "a context": (lambda host: unload(host, context(host)), INVALID),
    "no handle": (lambda host: unload(host, STALE), INVALID),
}
FINALIZE: dict[str, tuple[Row, int]] = {
    "a context": (lambda host: finalize(host, computed(host)), SUCCESS),
    "a finalized context": (lambda host: finalize(host, finalized(host)), INVALID),
    "a graph": (lambda host: finalize(host, named(host)), INVALID),
    "no handle": (lambda host: finalize(host, STALE), INVALID),
}
COMPUTE_SINGLE: dict[str, tuple[Row, int]] = {
    "a context": (lambda host: compute_single(host, computed(host)), INVALID),
    "no handle": (lambda host: compute_single(host, STALE), INVALID),
}
FINI_SINGLE: dict[str, tuple[Row, int]] = {
    "a context": (lambda host: fini_single(host, computed(host)), INVALID),
    "no handle": (lambda host: fini_single(host, STALE), INVALID),
}
OUTPUT_SINGLE: dict[str, tuple[Row, int]] = {
    "a context": (lambda host: output_single(host, computed(host), 0, DATA, 16, OUT), INVALID),
    "no handle": (lambda host: output_single(host, STALE, 0, DATA, 16, OUT), INVALID),
    "a buffer outside memory": (lambda host: output_single(host, computed(host), 0, BAD, 16, OUT), MEMORY),
    "no place for the size": (lambda host: output_single(host, computed(host), 0, DATA, 16, BAD), MEMORY),
}

TABLE: dict[str, dict[str, tuple[Row, int]]] = {
    "load": LOAD,
    "load_by_name": LOAD_BY_NAME,
    "load_by_name_with_config": WITH_CONFIG,
    "init_execution_context": INIT,
    "set_input": SET_INPUT,
    "compute": COMPUTE,
    "get_output": GET_OUTPUT,
    "unload": UNLOAD,
    "finalize_execution_context": FINALIZE,
    "compute_single": COMPUTE_SINGLE,
    "fini_single": FINI_SINGLE,
    "get_output_single": OUTPUT_SINGLE,
}
ROWS = [
    pytest.param(row, errno, id=f"{name}: {condition}")
    for name, rows in TABLE.items()
    for condition, (row, errno) in rows.items()
]


@pytest.fixture
def host(tmp_path: Path, tiny: TinyModels) -> Host:
    models = named_models(tmp_path, {"adder": ADDER, "divider": tiny.divider(), "gone": ADDER})
    (tmp_path / "gone.tflite").unlink()
    return host_with(models, limits=Limits(handles=8))


@pytest.mark.parametrize(("row", "errno"), ROWS)
def test_every_condition_has_its_errno(host: Host, row: Row, errno: int) -> None:
    assert row(host) == errno


def test_the_table_has_every_function() -> None:
    assert set(TABLE) == {entry.name for entry in nn.FUNCTIONS}
