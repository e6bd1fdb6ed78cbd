"""`BatchingGraph` keeps the contract of `Graph` too: the suite of all contexts, and every backend below it."""

from __future__ import annotations

import threading

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from nearfield.inference import BatchSettings, Encoding, Graph, ModelContent, backend_for
from nearfield.inference.batching import BatchingGraph
from tests.conformance.inference.networks import FORMATS, FREE, Format, dense
from tests.conformance.inference.test_backends import (  # noqa: F401 - collected here once more, with these graphs
    X,
    floats,
    test_a_buffer_with_gaps_is_refused,
    test_a_closed_context_refuses_everything_but_close,
    test_a_wrong_size_is_refused_with_both_sizes,
    test_an_input_that_does_not_exist_is_refused,
    test_an_output_outlives_the_next_compute_and_the_context,
    test_an_output_that_does_not_exist_is_refused,
    test_any_contiguous_buffer_is_an_input,
    test_closing_twice_does_not_lend_one_computation_to_two,
    test_compute_wants_every_input,
    test_contexts_of_one_graph_compute_in_parallel_without_mixing,
    test_inputs_stay_set_for_a_second_compute,
    test_outputs_are_unreadable_before_the_first_compute,
    test_the_callers_buffer_may_be_reused_at_once,
)

SETTINGS = BatchSettings(max_frames=4, wait_s=0.002)
PATIENCE_S = 30.0


@pytest.fixture
def adder() -> Graph:
    """`in0` + `in1` = `out0`, f32 (n, 4)."""
    kinds = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("in0", "in1", "out0")]
    graph = helper.make_graph([helper.make_node("Add", ["in0", "in1"], ["out0"])], "g", kinds[:2], kinds[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    content = ModelContent((model.SerializeToString(),))
    return BatchingGraph(backend_for(Encoding.ONNX).load(content, label="adder"), SETTINGS)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_frames_of_several_threads_get_what_they_would_get_alone(format: Format) -> None:
    graph = BatchingGraph(format.load(format.dense(FREE)), BatchSettings(len(X), 1000.0))
    contexts = [graph.acquire() for _ in X]
    got: dict[int, list[float]] = {}

    def compute(number: int) -> None:
        contexts[number].set_input(0, X[number])
        contexts[number].compute()
        got[number] = floats(contexts[number].output(0))
        contexts[number].close()

    threads = [threading.Thread(target=compute, args=(number,), daemon=True) for number in range(len(X))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert (graph.statistics().computes, graph.statistics().frames) == (1, len(X))
    np.testing.assert_allclose([got[number] for number in range(len(X))], dense(X), rtol=1e-5, atol=1e-5)
