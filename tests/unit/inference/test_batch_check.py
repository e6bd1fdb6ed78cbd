"""Models whose frames would change each other's results are found out before a batch does it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nearfield.errors import InferenceError
from nearfield.inference import Encoding, Graph, ModelContent, backend_for
from nearfield.inference.batch_check import check_frames_stay_apart
from tests.unit.inference import batch_models


def graph_of(content: bytes) -> Graph:
    return backend_for(Encoding.ONNX).load(ModelContent((content,)), label="m")


@pytest.mark.parametrize("network", [batch_models.dense, batch_models.convolution, batch_models.picky])
def test_a_model_that_treats_frames_by_themselves_passes(network: Callable[[], bytes]) -> None:
    check_frames_stay_apart(graph_of(network()))


def test_a_model_that_averages_over_the_batch_is_refused() -> None:
    with pytest.raises(InferenceError, match=r"^model `m`: batch: output 0 of a frame is another one when it is comp"):
        check_frames_stay_apart(graph_of(batch_models.mixer()))


def test_a_model_that_fixes_the_batch_inside_is_refused() -> None:
    with pytest.raises(
        InferenceError, match=r"^model `m`: batch: two frames together: .*; leave `batch` out; or export"
    ):
        check_frames_stay_apart(graph_of(batch_models.single_minded()))
