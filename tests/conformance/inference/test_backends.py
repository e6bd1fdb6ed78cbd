"""One suite for all backends: the same networks, the same answers, the same errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference import BACKENDS, Device, Encoding, Graph, ModelSource, ModelStore, probe_model
from tests.conformance.inference.networks import FORMATS, FREE, Format, dense, onnx_endless, onnx_with_external_data

ONES = np.ones((1, 4), np.float32)
X = np.array([[1, -2, 0.5, 3], [0, 0, 0, 0], [-1, 2.5, -4, 0.25], [100, 7, -3, -9], [0.5, 0.5, 0.5, 0.5]], np.float32)

DTYPES = [pytest.param(each, dtype, id=f"{each}-{dtype.__name__}") for each in FORMATS for dtype in each.dtypes]


@pytest.fixture(params=FORMATS, ids=str)
def format(request: pytest.FixtureRequest) -> Format:
    chosen: Format = request.param
    return chosen


@pytest.fixture
def adder(format: Format) -> Graph:
    return format.load(format.adder(), label="adder")


def floats(output: bytes) -> list[float]:
    return np.frombuffer(output, np.float32).tolist()


def answers(graph: Graph, x: np.ndarray[Any, Any], batch: int) -> list[bytes]:
    """Outputs of the rows of `x`, so many at a time, cut into rows again."""
    context = graph.acquire(batch)
    rows = []
    for first in range(0, len(x), batch):
        context.set_input(0, x[first : first + batch])
        context.compute()
        content = context.output(0)
        size = len(content) // batch
        rows += [content[start : start + size] for start in range(0, len(content), size)]
    context.close()
    return rows


def test_every_backend_has_its_place_here() -> None:
    assert {each.encoding for each in FORMATS} == set(BACKENDS)


def test_a_backend_says_what_it_is(format: Format) -> None:
    backend = format.backend
    backend.prepare()
    name, version = backend.version().split()
    assert name and version[0].isdigit()


def test_a_graph_describes_its_tensors(format: Format) -> None:
    graph = format.load(format.dense(1))
    assert [(spec.name, str(spec), spec.nbytes) for spec in (*graph.inputs, *graph.outputs)] == [
        ("x", "(1, 4) float32", 16),
        ("y", "(1, 3) float32", 12),
    ]
    assert (graph.encoding, graph.label, graph.device) == (format.encoding, "net", Device.CPU)


@pytest.mark.parametrize("batch", [1, FREE], ids=["fixed", "free"])
def test_all_backends_compute_what_numpy_does(format: Format, batch: int) -> None:
    graph = format.load(format.dense(batch))
    computed = [floats(row) for row in answers(graph, X, 1)]
    # The values are exact in f32; the tolerance is for kernels that multiply in another precision.
    np.testing.assert_allclose(computed, dense(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_answer(format: Format, threads: int) -> None:
    graph = format.load(format.dense(1), threads=threads)
    np.testing.assert_allclose([floats(row) for row in answers(graph, X, 1)], dense(X), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [2, 3, 5])
def test_a_batch_gives_what_its_frames_give_alone(format: Format, batch: int) -> None:
    graph = format.load(format.dense(FREE))
    assert graph.is_batchable
    assert graph.inputs[0].shape == (1, 4)
    frames = np.concatenate([X] * batch)
    alone = [floats(row) for row in answers(graph, frames, 1)]
    np.testing.assert_allclose([floats(row) for row in answers(graph, frames, batch)], alone, rtol=1e-6, atol=1e-6)


def test_batches_of_several_sizes_do_not_mix(format: Format) -> None:
    graph = format.load(format.dense(FREE))
    for batch in (1, 5, 1, 5, 5, 1):
        np.testing.assert_allclose([floats(row) for row in answers(graph, X, batch)], dense(X), rtol=1e-5, atol=1e-5)


def test_a_batch_wants_that_many_times_the_bytes(format: Format) -> None:
    context = format.load(format.dense(FREE)).acquire(3)
    with pytest.raises(InferenceError, match=r"input 0: got 16 bytes, expected 48 bytes: 3 times \(1, 4\) float32"):
        context.set_input(0, X[:1])


def test_a_model_for_single_frames_takes_no_batch(adder: Graph) -> None:
    assert not adder.is_batchable
    with pytest.raises(InferenceError, match="model `adder`: batch: got 2, expected 1: not every tensor has a free"):
        adder.acquire(2)


@pytest.mark.parametrize("batch", [0, -1])
def test_a_batch_below_one_is_refused(format: Format, batch: int) -> None:
    with pytest.raises(InferenceError, match=f"batch: got {batch}, expected 1 or more"):
        format.load(format.dense(FREE)).acquire(batch)


def test_a_batch_beyond_a_gibibyte_is_refused_before_memory_is_taken(format: Format) -> None:
    with pytest.raises(InferenceError, match="expected at most 1073741824 in one tensor"):
        format.load(format.dense(FREE)).acquire(2**27)


@pytest.mark.parametrize(("each", "dtype"), DTYPES)
def test_values_of_every_type_pass_unchanged(each: Format, dtype: type[np.generic]) -> None:
    graph = each.load(each.passer(dtype, (2, 3)))
    assert graph.inputs[0].dtype == graph.outputs[0].dtype == np.dtype(dtype)
    if dtype is np.bool_:
        values = np.array([[True, False, True], [False, False, True]])
    else:
        values = np.array([[0, 1, 2], [3, 100, 127]]).astype(dtype)
    context = graph.acquire()
    context.set_input(0, values)
    context.compute()
    assert np.array_equal(np.frombuffer(context.output(0), dtype).reshape(2, 3), values)


def test_every_byte_but_zero_is_true(format: Format) -> None:
    context = format.load(format.passer(np.bool_, (1, 4))).acquire()
    context.set_input(0, bytes([0, 1, 2, 255]))
    context.compute()
    assert context.output(0) == bytes([0, 1, 1, 1])


def test_a_scalar_is_a_tensor(format: Format) -> None:
    graph = format.load(format.passer(np.float32, ()))
    assert graph.inputs[0].shape == ()
    assert not graph.is_batchable
    context = graph.acquire()
    context.set_input(0, np.float32(2.5).tobytes())
    context.compute()
    assert floats(context.output(0)) == [2.5]


# ---- contexts


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: memoryview(b"\0" + data)[1:]])
def test_any_contiguous_buffer_is_an_input(adder: Graph, wrap: Callable[[bytes], Any]) -> None:
    context = adder.acquire()
    context.set_input(0, wrap(np.arange(4, dtype=np.float32).tobytes()))
    context.set_input(1, wrap(ONES.tobytes()))
    context.compute()
    assert floats(context.output(0)) == [1.0, 2.0, 3.0, 4.0]


def test_the_callers_buffer_may_be_reused_at_once(adder: Graph) -> None:
    context, buffer = adder.acquire(), bytearray(ONES.tobytes())
    context.set_input(0, buffer)
    context.set_input(1, buffer)
    buffer[:] = bytes(16)
    context.compute()
    assert floats(context.output(0)) == [2.0] * 4


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_wrong_size_is_refused_with_both_sizes(adder: Graph, size: int) -> None:
    with pytest.raises(InferenceError) as caught:
        adder.acquire().set_input(1, bytes(size))
    assert str(caught.value) == f"model `adder`: input 1: got {size} bytes, expected 16 bytes: (1, 4) float32"


def test_a_buffer_with_gaps_is_refused(adder: Graph) -> None:
    with pytest.raises(InferenceError, match="model `adder`: input 0: got a buffer with gaps"):
        adder.acquire().set_input(0, memoryview(bytes(32))[::2])


@pytest.mark.parametrize("index", [-1, 2, 2**32 - 1])
def test_an_input_that_does_not_exist_is_refused(adder: Graph, index: int) -> None:
    with pytest.raises(InferenceError, match=f"model `adder`: input index: got {index}, expected 0 to 1"):
        adder.acquire().set_input(index, bytes(16))


@pytest.mark.parametrize("index", [-1, 1])
def test_an_output_that_does_not_exist_is_refused(adder: Graph, index: int) -> None:
    with pytest.raises(InferenceError, match=f"model `adder`: output index: got {index}, expected 0 to 0"):
        adder.acquire().output(index)


def test_compute_wants_every_input(adder: Graph) -> None:
    context = adder.acquire()
    context.set_input(0, bytes(16))
    with pytest.raises(InferenceError, match="model `adder`: input 1: not set before compute"):
        context.compute()


def test_outputs_are_unreadable_before_the_first_compute(adder: Graph) -> None:
    with pytest.raises(InferenceError, match="model `adder`: output 0: read before a successful compute"):
        adder.acquire().output(0)


def test_inputs_stay_set_for_a_second_compute(adder: Graph) -> None:
    context = adder.acquire()
    context.set_input(0, ONES)
    context.set_input(1, ONES)
    context.compute()
    context.set_input(1, 5 * ONES)
    context.compute()
    assert floats(context.output(0)) == [6.0] * 4


def test_an_output_outlives_the_next_compute_and_the_context(adder: Graph) -> None:
    context = adder.acquire()
    context.set_input(0, ONES)
    context.set_input(1, ONES)
    context.compute()
    kept = context.output(0)
    context.set_input(0, 9 * ONES)
    context.compute()
    context.close()
    assert floats(kept) == [2.0] * 4


@pytest.mark.parametrize("batch", [1, 3])
def test_a_context_from_the_pool_shows_nothing_of_its_last_user(format: Format, batch: int) -> None:
    graph = format.load(format.dense(FREE))
    first = graph.acquire(batch)
    first.set_input(0, X[:batch])
    first.compute()
    first.close()
    second = graph.acquire(batch)
    with pytest.raises(InferenceError, match="output 0: read before"):
        second.output(0)
    with pytest.raises(InferenceError, match="input 0: not set"):
        second.compute()


def test_a_closed_context_refuses_everything_but_close(adder: Graph) -> None:
    context = adder.acquire()
    context.close()
    context.close()
    for use in (lambda: context.set_input(0, bytes(16)), context.compute, lambda: context.output(0)):
        with pytest.raises(InferenceError, match="model `adder`: execution context: used after close"):
            use()


def test_closing_twice_does_not_lend_one_computation_to_two(adder: Graph) -> None:
    context = adder.acquire()
    context.close()
    context.close()
    one, other = adder.acquire(), adder.acquire()
    for each, factor in ((one, 1), (other, 10)):
        each.set_input(0, factor * ONES)
        each.set_input(1, factor * ONES)
    one.compute()
    other.compute()
    assert (floats(one.output(0)), floats(other.output(0))) == ([2.0] * 4, [20.0] * 4)


def test_contexts_of_one_graph_compute_in_parallel_without_mixing(adder: Graph) -> None:
    mixed: list[tuple[int, list[float]]] = []

    def work(number: int) -> None:
        for _ in range(30):
            context = adder.acquire()
            context.set_input(0, number * ONES)
            context.set_input(1, number * ONES)
            context.compute()
            if floats(context.output(0)) != [2.0 * number] * 4:
                mixed.append((number, floats(context.output(0))))
            context.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == []


# ---- devices


def test_auto_takes_the_cpu_where_there_is_nothing_else_and_says_so(
    format: Format, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="nearfield.inference"):
        graph = format.load(format.adder(), label="adder", device=Device.AUTO)
    if graph.device is Device.CUDA:
        pytest.skip("this machine has a GPU that is used")
    assert [
        record.getMessage()
        for record in caplog.records
        if "model `adder`: computes on the CPU: " in record.msg % record.args
    ]
    assert graph.device is Device.CPU


def test_cuda_where_there_is_none_is_an_error_that_says_what_is_missing(format: Format) -> None:
    try:
        graph = format.load(format.adder(), label="adder", device=Device.CUDA)
    except InferenceError as refused:
        assert str(refused).startswith("model `adder`: device: got cuda, expected cpu or auto: ")
        assert refused.hint is not None
    else:
        assert graph.device is Device.CUDA


# ---- hostile files


def refusal(parts: tuple[bytes, ...], encoding: Encoding = Encoding.AUTODETECT) -> str:
    with pytest.raises(ModelInvalid) as caught:
        ModelStore({}).from_parts(parts, encoding)
    return str(caught.value)


def test_every_beginning_of_a_file_is_refused(format: Format) -> None:
    first, *rest = format.dense(1)
    # TFLite's table of contents may come early: what is cut off behind it is padding.
    for length in range(0, len(first) - 16, 37):
        assert refusal((first[:length], *rest), format.encoding).startswith("model `sha256:")


def test_an_empty_file_is_called_empty(format: Format) -> None:
    assert "got 0 bytes" in refusal((b"",), format.encoding)


@pytest.mark.parametrize(
    "content",
    [np.random.default_rng(4).bytes(4096), bytes(4096), b"version https://git-lfs.github.com/spec/v1\n"],
    ids=["random", "zeros", "git-lfs"],
)
def test_what_is_no_model_is_refused_with_its_digest(format: Format, content: bytes) -> None:
    assert "sha256 " in refusal((content,), format.encoding)


def test_the_format_of_another_backend_is_refused_with_both(format: Format) -> None:
    for other in FORMATS:
        if other is not format:
            assert "expected a" in refusal(other.adder(), format.encoding)


def test_an_operator_that_nobody_has_is_named(format: Format) -> None:
    assert "Conjure" in refusal(format.unknown_operator())


def test_text_is_refused_as_an_input(format: Format) -> None:
    assert format.text is not None
    told = refusal(format.text())
    assert "got elements of type" in told or "Conversion" in told


@pytest.mark.parametrize("shape", [(1 << 20, 1 << 14), (1 << 28, 1 << 28, 1 << 28)], ids=str)
def test_absurd_dimensions_are_refused_before_memory_is_taken(format: Format, shape: tuple[int, ...]) -> None:
    assert refusal(format.passer(np.float32, shape)).startswith("model `sha256:")


def test_too_many_parts_are_refused(format: Format) -> None:
    assert "parts" in refusal((format.adder()[0], b"1", b"2"))


def test_weights_in_another_file_are_refused_before_the_runtime_looks_for_it() -> None:
    told = refusal(onnx_with_external_data())
    assert "tensor `w`: got values in another file, expected them inside the model" in told


def test_a_flipped_byte_is_refused_or_computes_but_never_worse(format: Format, tmp_path: Path) -> None:
    """In a process of its own, as for every named model: some do kill it."""
    first, *rest = format.dense(1)
    for position in np.random.default_rng(7).integers(0, len(first), 3):
        damaged = bytearray(first)
        damaged[position] ^= 0x55
        path = write(tmp_path, format, (bytes(damaged), *rest))
        try:
            probe_model(path)
        except ModelInvalid as refused:
            assert "sha256" in str(refused)


# ---- from files


def write(directory: Path, format: Format, parts: tuple[bytes, ...]) -> Path:
    path = directory / {Encoding.TENSORFLOWLITE: "n.tflite", Encoding.ONNX: "n.onnx"}.get(format.encoding, "n.xml")
    path.write_bytes(parts[0])
    if len(parts) > 1:
        path.with_suffix(".bin").write_bytes(parts[1])
    return path


def test_a_named_model_is_probed_recorded_and_computes(format: Format, tmp_path: Path) -> None:
    path, record = write(tmp_path, format, format.dense(FREE)), tmp_path / "admitted"
    store = ModelStore({"net": ModelSource(path, threads=2)}, probe_record=record)
    store.load_all()
    assert format.backend.version() in record.read_text()
    np.testing.assert_allclose([floats(row) for row in answers(store.by_name("net"), X, 1)], dense(X), atol=1e-5)


def test_a_loaded_model_does_not_mind_that_its_file_is_replaced(format: Format, tmp_path: Path) -> None:
    path = write(tmp_path, format, format.dense(1))
    store = ModelStore({"net": ModelSource(path)}, probe=False)
    graph = store.by_name("net")
    held = graph.acquire()
    other = tmp_path / "other"
    other.write_bytes(format.adder()[0])
    other.replace(path)
    # A second context has to be built anew.
    context = graph.acquire()
    for each in (held, context):
        each.set_input(0, X[:1])
        each.compute()
        np.testing.assert_allclose(floats(each.output(0)), dense(X[:1])[0], atol=1e-5)


def test_a_run_without_end_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "endless.onnx"
    path.write_bytes(onnx_endless()[0])
    with pytest.raises(ModelInvalid, match="did not finish one run in 3 s"):
        probe_model(path, timeout_s=3)
