"""Calls of `wasi_ephemeral_nn` as a guest makes them: structures in memory, numbers back."""

from __future__ import annotations

from struct import pack

import numpy as np

from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import wasi_nn as nn

OUT, NAME, TENSOR, DATA, BUILDERS, MODEL = 0, 100, 400, 1000, 3000, 4000
CPU, GPU, TPU, AUTO = 0, 1, 2, 3
OPENVINO, ONNX, TFLITE, AUTODETECT = 0, 1, 4, 5
F16, F32, F64, U8, I32, I64, I8, I16, BOOL = 0, 1, 2, 3, 4, 5, 16, 17, 18
ANY_PADDING = b"\xab\xcd\xef"


def named(host: Host, name: bytes = b"adder") -> int:
    """A graph."""
    host.memory.write(NAME, name)
    assert nn.load_by_name(host, NAME, len(name), OUT) == nn.SUCCESS
    return host.memory.read_u32(OUT)


def context(host: Host, name: bytes = b"adder") -> int:
    """An execution context of a named model, without inputs."""
    return context_of(host, named(host, name))


def context_of(host: Host, graph: int) -> int:
    assert nn.init_execution_context(host, graph, OUT) == nn.SUCCESS
    return host.memory.read_u32(OUT)


def computed(host: Host) -> int:
    """A context of `adder` after a successful run."""
    running = context(host)
    for index in (0, 1):
        assert nn.set_input(host, running, index, tensor(host, floats(1, 2, 3, 4))) == nn.SUCCESS
    assert nn.compute(host, running) == nn.SUCCESS
    return running


def tensor(host: Host, content: bytes, dims: tuple[int, ...] = (1, 4), number: int = F32) -> int:
    """Puts a tensor into memory."""
    host.memory.write(DATA, content)
    host.memory.write(TENSOR + 20, pack(f"<{len(dims)}I", *dims))
    return tensor_at(host, TENSOR + 20, len(dims), number, DATA, len(content))


def tensor_at(host: Host, dims_pointer: int, rank: int, number: int, pointer: int, length: int) -> int:
    """Puts the structure alone into memory, with these numbers in it."""
    host.memory.write(
        TENSOR, pack("<IIB", dims_pointer, rank, number) + ANY_PADDING + pack("<II", pointer, length)
    )  # fmt: skip
    return TENSOR


def floats(*values: float) -> bytes:
    return np.array(values, np.float32).tobytes()


def load_bytes(host: Host, *parts: bytes, encoding: int = TFLITE, target: int = CPU, count: int | None = None) -> int:
    """`load` of a model in memory."""
    at = MODEL
    for number, part in enumerate(parts):
        host.memory.write(at, part)
        host.memory.write(BUILDERS + 8 * number, pack("<II", at, len(part)))
        at += len(part)
    return nn.load(host, BUILDERS, len(parts) if count is None else count, encoding, target, OUT)
