"""Every host function against senseless numbers: an errno, never an exception, and never a write outside memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearfield.errors import GuestError, GuestExited
from nearfield.inference import ModelStore
from nearfield.sandbox import Invocation
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.hostcalls.registry import FUNCTIONS
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.kit import host_with, load, named_models, own_guest

U32, U64 = 2**32 - 1, 2**64 - 1
PAGE = 65536
SENSELESS = (0, 1, 7, 2 * PAGE - 1, 2 * PAGE, 2**31 - 1, 2**31, U32 - 3, U32)

# One call each with a pointer outside memory, and the errno (or other answer) that belongs to it.
FAULTS = {
    ("nearfield_v1", "emit"): ((1, U32, 8), 1),
    ("nearfield_v1", "emit_to"): ((1, U32, 8, 0, 4), 1),
    ("nearfield_v1", "model_tensor"): ((0, 5, 0, 0, U32), 1),
    ("nearfield_v1", "model_label"): ((U32, 5, 0, 0, 0), U32),
    ("nearfield_v1", "frame_read"): ((U32, 100), 0),
    ("env", "yomo_context_data"): ((U32, 100), 0),
    ("env", "yomo_write"): ((1, U32, 8), 1),
    ("env", "yomo_write_with_target"): ((1, 0, 0, U32, 8), 1),
    ("env", "yomo_http_send"): ((U32, 8, 0, 4), 1),
    ("wasi_snapshot_preview1", "args_sizes_get"): ((U32, 0), 21),
    ("wasi_snapshot_preview1", "fd_read"): ((0, U32, 1, 0), 21),
    ("wasi_snapshot_preview1", "clock_time_get"): ((0, 0, U32), 21),
    ("wasi_snapshot_preview1", "fd_fdstat_get"): ((1, U32), 21),
    ("wasi_snapshot_preview1", "fd_write"): ((1, U32, 1, 0), 21),
    ("wasi_snapshot_preview1", "poll_oneoff"): ((U32, 0, 1, 0), 21),
    ("wasi_snapshot_preview1", "random_get"): ((U32, 8), 21),
    ("wasi_ephemeral_nn", "load"): ((U32, 1, 4, 0, 0), 3),
    ("wasi_ephemeral_nn", "load_by_name"): ((U32, 8, 0), 3),
    ("wasi_ephemeral_nn", "init_execution_context"): ((1, U32), 3),
    ("wasi_ephemeral_nn", "get_output"): ((1, 0, 0, 8, U32), 3),
    ("wasmedge_image", "load_jpg"): ((U32, 8, 1, 1, 0, 0, 3), 1),
    ("wasmedge_image", "load_image"): ((0, 8, 1, 1, 0, U32, 3), 1),
    ("wasmedge_image", "wasmedge_image_load_jpg_to_rgb8"): ((U32, 8, 1, 1, 0), 1),
    ("wasi_ephemeral_nn", "load_by_name_with_config"): ((0, 5, U32, 8, 0), 3),
    ("wasi_ephemeral_nn", "set_input"): ((1, 0, U32), 3),
    ("wasi_ephemeral_nn", "get_output_single"): ((1, 0, 0, 8, U32), 3),
    ("wasmedge_tensorflow", "wasmedge_tensorflow_create_session"): ((U32, 8), 0),
    ("wasmedge_tensorflow", "wasmedge_tensorflow_get_output_tensor"): ((1, U32, 8, 0), 0),
    ("wasmedge_tensorflow", "create_session"): ((U32, 8, 0), 3),
    ("wasmedge_tensorflow", "create_session_saved_model"): ((0, 8, U32, 1, 0), 3),
    ("wasmedge_tensorflow", "get_output_tensor"): ((1, U32, 8, 0), 3),
    ("wasmedge_tensorflow", "get_tensor_len"): ((1, 0, U32), 3),
    ("wasmedge_tensorflow", "get_tensor_data"): ((1, 0, U32, 8, 0), 3),
    ("wasmedge_tensorflow", "append_input"): ((1, 0, 8, U32, 1, 1, 0, 4), 3),
    ("wasmedge_tensorflow", "append_output"): ((1, U32, 8), 3),
    ("wasmedge_tensorflowlite", "wasmedge_tensorflowlite_create_session"): ((U32, 8), 0),
    ("wasmedge_tensorflowlite", "create_session"): ((U32, 8, 0), 3),
    ("wasmedge_tensorflowlite", "get_output_tensor"): ((1, U32, 8, 0), 3),
    ("wasmedge_tensorflowlite", "get_tensor_len"): ((1, 0, U32), 3),
    ("wasmedge_tensorflowlite", "get_tensor_data"): ((1, 0, U32, 8, 0), 3),
    ("wasmedge_tensorflowlite", "append_input"): ((1, U32, 8, 0, 0), 3),
}


def by_name(entry: HostImport) -> str:
    return f"{entry.module}.{entry.name}"


def caller_of(entry: HostImport, rows: list[tuple[int, ...]]) -> str:
    """A guest that calls one host function with each row and emits the low words of all results."""
    params, results = entry.signature.params, entry.signature.results
    calls = []
    for place, row in enumerate(rows):
        values = " ".join(f"({kind}.const {value})" for kind, value in zip(params, row, strict=True))
        call = f"(call $f {values})"
        if results == ("i64",):
            call = f"(i32.wrap_i64 {call})"
        calls.append(f"(i32.store (i32.const {32768 + 4 * place}) {call})" if results else call)
    signature = f"(param {' '.join(params)}) (result {' '.join(results)})"
    return own_guest(
        "\n".join(calls) + f"(call $emit (i32.const 1) (i32.const 32768) (i32.const {4 * len(rows)}))",
        imports=f'(import "{entry.module}" "{entry.name}" (func $f {signature}))',
    )


@pytest.mark.parametrize("entry", FUNCTIONS, ids=by_name)
def test_senseless_numbers_give_an_errno_and_the_guest_goes_on(tmp_path: Path, entry: HostImport) -> None:
    rows = [(value,) * len(entry.signature.params) for value in SENSELESS]
    guest = load(tmp_path, caller_of(entry, rows))
    frame = Invocation(0x10, b"x" * 100, "cam", 1, 2)
    if entry.name == "proc_exit":
        with pytest.raises(GuestExited):
            guest.handle(frame)
        return
    outcome = guest.handle(frame)
    assert len(outcome.emissions[-1].payload) == 4 * len(rows)
    guest.close()


@pytest.mark.parametrize("entry", [entry for entry in FUNCTIONS if (entry.module, entry.name) in FAULTS], ids=by_name)
def test_memory_that_is_not_there_has_its_own_errno(tmp_path: Path, entry: HostImport) -> None:
    row, errno = FAULTS[entry.module, entry.name]
    guest = load(tmp_path, caller_of(entry, [row]))
    payload = guest.handle(Invocation(0x10, b"x" * 100, "cam", 1, 2)).emissions[-1].payload
    assert int.from_bytes(payload, "little") == errno
    guest.close()


def test_every_fault_of_the_table_exists() -> None:
    assert set(FAULTS) <= {(entry.module, entry.name) for entry in FUNCTIONS}


def test_no_function_is_offered_twice() -> None:
    names = [by_name(entry) for entry in FUNCTIONS]
    assert len(set(names)) == len(names)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return named_models(tmp_path_factory.mktemp("models"), {"adder": TinyModels().adder()}, None)


numbers = st.one_of(st.integers(0, 64), st.sampled_from((PAGE - 1, PAGE, U32 - 1, U32)), st.integers(0, U32))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(FUNCTIONS), st.lists(numbers, min_size=9, max_size=9)), max_size=12))
def test_any_sequence_of_calls_ends_in_errnos(store: ModelStore, calls: list[tuple[HostImport, list[int]]]) -> None:
    """What may come out of a host function: an integer, nothing, `OutOfBounds`, or an error about the guest."""
    host = host_with(store)
    # Something to find: a name, a tensor, a picture's beginning, numbers that look like pointers.
    host.memory.write(0, b"adder\0\0\0" + bytes(range(64)) + b"\xff\xd8\xff\xe0" + (64).to_bytes(4, "little") * 64)
    try:
        for entry, values in calls:
            if entry.name == "poll_oneoff":
                continue
            try:
                result = entry.body(host, *values[: len(entry.signature.params)])
            except (OutOfBounds, GuestError):
                continue
            assert result is None or isinstance(result, int)
            assert (result is None) == (not entry.signature.results)
    finally:
        host.end_instance()
