"""Graphs and execution contexts on LiteRT."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import TensorType

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference import Encoding
from nearfield.inference.litert import LiteRtGraph

ONES = np.ones((1, 4), np.float32)


@pytest.fixture
def adder(tiny: Any) -> LiteRtGraph:
    return LiteRtGraph(tiny.adder(), label="adder")


def values(output: bytes) -> list[float]:
    return np.frombuffer(output, np.float32).tolist()


def test_a_graph_describes_its_tensors(tiny: Any) -> None:
    graph = LiteRtGraph(tiny.quantised_passer(0.5, 3), label="passer")
    assert [spec.name for spec in (*graph.inputs, *graph.outputs)] == ["in0", "in1", "out0"]
    first = graph.inputs[0]
    assert (first.shape, first.dtype, first.nbytes) == ((2, 3), np.dtype(np.uint8), 6)
    assert (first.scale, first.zero_point) == (0.5, 3)
    assert str(first) == "(2, 3) uint8"
    assert (graph.encoding, graph.label) == (Encoding.TENSORFLOWLITE, "passer")


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview, lambda data: np.frombuffer(data, np.float32)])
def test_any_contiguous_buffer_is_an_input(adder: LiteRtGraph, wrap: Callable[[bytes], Any]) -> None:
    context = adder.acquire()
    context.set_input(0, wrap(np.arange(4, dtype=np.float32).tobytes()))
    context.set_input(1, wrap(ONES.tobytes()))
    context.compute()
    assert values(context.output(0)) == [1.0, 2.0, 3.0, 4.0]


def test_the_callers_buffer_may_be_reused_at_once(adder: LiteRtGraph) -> None:
    context, buffer = adder.acquire(), bytearray(ONES.tobytes())
    context.set_input(0, buffer)
    context.set_input(1, buffer)
    buffer[:] = bytes(16)
    context.compute()
    assert values(context.output(0)) == [2.0] * 4


def test_an_unaligned_view_is_an_input(adder: LiteRtGraph) -> None:
    context, padded = adder.acquire(), b"\0" + ONES.tobytes()
    context.set_input(0, memoryview(padded)[1:])
    context.set_input(1, memoryview(padded)[1:])
    context.compute()
    assert values(context.output(0)) == [2.0] * 4


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_wrong_size_is_refused_with_both_sizes(adder: LiteRtGraph, size: int) -> None:
    with pytest.raises(InferenceError) as caught:
        adder.acquire().set_input(1, bytes(size))
    assert str(caught.value) == f"model `adder`: input 1: got {size} bytes, expected 16 bytes: (1, 4) float32"


def test_a_buffer_with_gaps_is_refused(adder: LiteRtGraph) -> None:
    with pytest.raises(InferenceError, match="gaps"):
        adder.acquire().set_input(0, memoryview(bytes(32))[::2])


@pytest.mark.parametrize("index", [-1, 2, 2**32 - 1])
def test_an_input_that_does_not_exist_is_refused(adder: LiteRtGraph, index: int) -> None:
    with pytest.raises(InferenceError, match=f"input index: got {index}, expected 0 to 1"):
        adder.acquire().set_input(index, bytes(16))


@pytest.mark.parametrize("index", [-1, 1])
def test_an_output_that_does_not_exist_is_refused(adder: LiteRtGraph, index: int) -> None:
    with pytest.raises(InferenceError, match=f"output index: got {index}, expected 0 to 0"):
        adder.acquire().output(index)


def test_compute_wants_every_input(adder: LiteRtGraph) -> None:
    context = adder.acquire()
    context.set_input(0, bytes(16))
    with pytest.raises(InferenceError, match="input 1: not set before compute"):
        context.compute()


def test_outputs_are_unreadable_before_the_first_compute(adder: LiteRtGraph) -> None:
    with pytest.raises(InferenceError, match="output 0: read before a successful compute"):
        adder.acquire().output(0)


def test_inputs_stay_set_for_a_second_compute(adder: LiteRtGraph) -> None:
    context = adder.acquire()
    context.set_input(0, ONES)
    context.set_input(1, ONES)
    context.compute()
    context.set_input(1, 5 * ONES)
    context.compute()
    assert values(context.output(0)) == [6.0] * 4


def test_a_context_from_the_pool_shows_nothing_of_its_last_user(adder: LiteRtGraph) -> None:
    first = adder.acquire()
    first.set_input(0, ONES)
    first.set_input(1, ONES)
    first.compute()
    first.close()
    second = adder.acquire()
    with pytest.raises(InferenceError, match="output 0"):
        second.output(0)
    with pytest.raises(InferenceError, match="input 0: not set"):
        second.compute()


def test_a_closed_context_refuses_everything_but_close(adder: LiteRtGraph) -> None:
    context = adder.acquire()
    context.close()
    context.close()
    for use in (lambda: context.set_input(0, bytes(16)), context.compute, lambda: context.output(0)):
        with pytest.raises(InferenceError, match="used after close"):
            use()


def test_closing_twice_does_not_lend_one_interpreter_to_two(adder: LiteRtGraph) -> None:
    context = adder.acquire()
    context.close()
    context.close()
    one, other = adder.acquire(), adder.acquire()
    for each, factor in ((one, 1), (other, 10)):
        each.set_input(0, factor * ONES)
        each.set_input(1, factor * ONES)
    one.compute()
    other.compute()
    assert (values(one.output(0)), values(other.output(0))) == ([2.0] * 4, [20.0] * 4)


def test_a_failed_compute_hides_earlier_outputs_and_the_graph_goes_on(tiny: Any) -> None:
    graph = LiteRtGraph(tiny.divider(), label="divider")
    context = graph.acquire()
    eights, twos = np.full(4, 8, np.int32), np.full(4, 2, np.int32)
    context.set_input(0, eights)
    context.set_input(1, twos)
    context.compute()
    context.set_input(1, bytes(16))
    with pytest.raises(InferenceError, match="model `divider`: compute failed: "):
        context.compute()
    with pytest.raises(InferenceError, match="read before a successful compute"):
        context.output(0)
    context.close()
    again = graph.acquire()
    again.set_input(0, eights)
    again.set_input(1, twos)
    again.compute()
    assert np.frombuffer(again.output(0), np.int32).tolist() == [4] * 4


def test_an_output_outlives_the_next_compute_and_the_context(adder: LiteRtGraph) -> None:
    context = adder.acquire()
    context.set_input(0, ONES)
    context.set_input(1, ONES)
    context.compute()
    kept = context.output(0)
    context.set_input(0, 9 * ONES)
    context.compute()
    context.close()
    assert values(kept) == [2.0] * 4


def test_contexts_of_one_graph_compute_in_parallel_without_mixing(adder: LiteRtGraph) -> None:
    mixed: list[tuple[int, list[float]]] = []

    def work(number: int) -> None:
        for _ in range(50):
            context = adder.acquire()
            context.set_input(0, number * ONES)
            context.set_input(1, number * ONES)
            context.compute()
            if values(context.output(0)) != [2.0 * number] * 4:
                mixed.append((number, values(context.output(0))))
            context.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert mixed == []


def test_a_cut_off_file_is_refused_with_its_fingerprint(tiny: Any) -> None:
    content = tiny.adder()[:200]
    with pytest.raises(ModelInvalid, match=r"model `cut`: content: got 200 bytes beginning .* sha256 [0-9a-f]{64}"):
        LiteRtGraph(content, label="cut")


def test_a_tensor_beyond_a_gibibyte_is_refused_before_memory_is_taken(tiny: Any) -> None:
    with pytest.raises(ModelInvalid, match="tensor `in0`: got 68719476736 bytes declared, expected at most 1073741824"):
        LiteRtGraph(tiny.adder((1 << 20, 1 << 14)), label="giant")


def test_text_tensors_are_refused(tiny: Any) -> None:
    with pytest.raises(ModelInvalid, match="model `text`: "):
        LiteRtGraph(tiny.adder(element=TensorType.STRING), label="text")


def test_the_delegate_line_stays_off_the_terminal_and_other_lines_do_not(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "adder.tflite"
    path.write_bytes(tiny.adder())
    script = (
        "import os, sys, threading\n"
        "from pathlib import Path\n"
        "from nearfield.inference.litert import LiteRtGraph\n"
        "os.write(2, b'INFO: before\\n')\n"
        "graph = LiteRtGraph(Path(sys.argv[1]).read_bytes(), label='a')\n"
        "contexts = [graph.acquire() for _ in range(3)]\n"
        "os.write(2, b'INFO: after\\n')\n"
    )
    source = str(Path(__file__).parents[3] / "src")
    ended = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (b"", b"INFO: before\nINFO: after\n")


def test_the_real_classifier_names_the_cat_class_for_a_cat(testdata: Callable[[str], Path]) -> None:
    from nearfield.media import decode_image

    graph = LiteRtGraph(testdata("mobilenet_v1_0.75_192_quant.tflite").read_bytes(), label="mobilenet")
    pixels = decode_image(testdata("cat_720p.jpg").read_bytes(), (192, 192))
    context = graph.acquire()
    context.set_input(0, pixels)
    context.compute()
    scores = np.frombuffer(context.output(0), np.uint8)
    # 282 to 286: tabby, tiger cat, Persian, Siamese, Egyptian.
    assert len(scores) == 1001
    assert scores.argmax() in range(282, 287)
