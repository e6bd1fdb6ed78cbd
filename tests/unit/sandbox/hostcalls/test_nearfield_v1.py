from __future__ import annotations

from struct import unpack

import numpy as np
import pytest

from nearfield.inference import TensorSpec
from nearfield.sandbox import Emission
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import nearfield_v1 as own
from nearfield.sandbox.memory import OutOfBounds

ADDER, UNKNOWN = b"adder", b"nobody"


def put(host: Host, pointer: int, content: bytes) -> tuple[int, int]:
    host.memory.write(pointer, content)
    return pointer, len(content)


@pytest.mark.parametrize(
    ("limit", "copied"), [(0, b"\0\0\0\0\0\0\0"), (6, b"\0\0\0\0\0\0\0"), (7, b"payload"), (8, b"payload")]
)
def test_the_reading_rule_copies_only_what_fits_whole(host: Host, limit: int, copied: bytes) -> None:
    assert own.frame_read(host, 100, limit) == 7
    assert host.memory.read(100, 7) == copied


def test_a_tensor_of_a_model_is_described(host: Host) -> None:
    assert own.model_tensor(host, *put(host, 0, ADDER), 0, 1, 200) == own.TENSOR_WRITTEN
    kind, rank, *dims, scale, zero_point = unpack("<II8Ifi", host.memory.read(200, 48))
    assert (kind, rank, dims, scale, zero_point) == (1, 2, [1, 4, 0, 0, 0, 0, 0, 0], 0.0, 0)
    assert own.model_tensor(host, *put(host, 0, b"default"), 1, 0, 200) == own.TENSOR_WRITTEN


def test_a_frame_for_one_source_keeps_its_name(host: Host) -> None:
    for place, name in enumerate((b"cam-2", b"x" * 64)):
        assert own.emit_to(host, 0x11, *put(host, 100, name), *put(host, 200, b"turn left")) == own.EMIT_ACCEPTED
        assert host.call.outcome().emissions[place] == Emission(0x11, b"turn left", name.decode())
    assert own.emit(host, 0x11, *put(host, 200, b"all")) == own.EMIT_ACCEPTED
    assert host.call.outcome().emissions[2] == Emission(0x11, b"all")
    assert host.call.outcome().refused_emits == 0


@pytest.mark.parametrize(
    "name", [b"", b"*", b"cam/2", b"-cam", b"cam\0", b"\xff\xfe", "cäm".encode(), b"x" * 65, b"x" * 5000]
)
def test_a_frame_for_what_is_no_name_is_refused_and_counted(host: Host, name: bytes) -> None:
    assert own.emit_to(host, 0x11, *put(host, 0, name), 10_000, 8) == own.EMIT_REFUSED
    assert (host.call.outcome().emissions, host.call.outcome().refused_emits) == ((), 1)


@pytest.mark.parametrize(
    ("to", "payload"),
    [((65_535, 2), (0, 1)), ((2**32 - 1, 0), (0, 1)), ((0, 2**32 - 1), (0, 1)), ((0, 3), (65_535, 2))],
)
def test_a_frame_for_one_source_from_outside_of_memory_is_a_bad_pointer(
    host: Host, to: tuple[int, int], payload: tuple[int, int]
) -> None:
    put(host, 0, b"cam")
    with pytest.raises(OutOfBounds):
        own.emit_to(host, 0x11, *to, *payload)
    assert (host.call.outcome().emissions, host.call.outcome().refused_emits) == ((), 0)


@pytest.mark.parametrize(
    ("name", "direction", "index", "errno"),
    [
        (UNKNOWN, 0, 0, own.TENSOR_NO_MODEL),
        (b"../adder", 0, 0, own.TENSOR_NO_MODEL),
        (b"adder\0", 0, 0, own.TENSOR_NO_MODEL),
        (b"\xff\xfe", 0, 0, own.TENSOR_NO_MODEL),
        (b"x" * 5000, 0, 0, own.TENSOR_NO_MODEL),
        (ADDER, 0, 2, own.TENSOR_NO_TENSOR),
        (ADDER, 1, 1, own.TENSOR_NO_TENSOR),
        (ADDER, 2, 0, own.TENSOR_NO_TENSOR),
        (ADDER, 0, 2**32 - 1, own.TENSOR_NO_TENSOR),
    ],
)
def test_what_is_not_there_has_its_errno(host: Host, name: bytes, direction: int, index: int, errno: int) -> None:
    assert own.model_tensor(host, *put(host, 0, name), direction, index, 10_000) == errno
    assert host.memory.read(10_000, 48) == bytes(48)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (TensorSpec("t", (1,), np.dtype(np.uint8), 0.5, 128), 3),
        (TensorSpec("t", (1,), np.dtype(np.int8), 0.5, -128), 16),
        (TensorSpec("t", (1,), np.dtype(np.bool_), 0.0, 0), 18),
        (TensorSpec("t", (1,), np.dtype(np.complex64), 0.0, 0), 255),
    ],
)
def test_types_and_quantisation_are_told(spec: TensorSpec, kind: int) -> None:
    content = own.pack_tensor(spec)
    assert len(content) == 48
    assert unpack("<I40xi", content) == (kind, spec.zero_point)
    assert unpack("<f", content[40:44]) == (spec.scale,)


def test_a_rank_above_8_is_told_with_the_first_8_dimensions() -> None:
    content = own.pack_tensor(TensorSpec("t", tuple(range(1, 11)), np.dtype(np.uint8), 0.0, 0))
    assert unpack("<II8I", content[:40]) == (3, 10, 1, 2, 3, 4, 5, 6, 7, 8)


def test_a_label_follows_the_reading_rule(host: Host) -> None:
    name = put(host, 0, ADDER)
    assert own.model_label(host, *name, 0, 100, 0) == 3
    assert own.model_label(host, *name, 0, 100, 3) == 3
    assert host.memory.read(100, 3) == b"sum"


@pytest.mark.parametrize(("name", "index"), [(UNKNOWN, 0), (ADDER, 4), (b"divider", 0), (ADDER, 2**32 - 1)])
def test_a_label_that_does_not_exist_is_minus_1(host: Host, name: bytes, index: int) -> None:
    assert own.model_label(host, *put(host, 0, name), index, 100, 100) == -1
