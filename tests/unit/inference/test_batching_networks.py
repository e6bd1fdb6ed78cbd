"""Batches of real networks: each frame gets what it would get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nearfield.errors import ConfigError
from nearfield.inference import BatchSettings, ExecutionContext, ModelSource, ModelStore
from nearfield.inference.batching import BatchingGraph
from tests.unit.inference import batch_models
from tests.unit.inference.batch_kit import PATIENCE_S

FRAMES = 16
THREADS = 4

# ONNX Runtime 1.32 on x86-64 gave the same bits for batches of 1 to 8; other versions and processors may add up in
# another order. One unit in the last place of a float32 is 1.2e-7.
RELATIVE = 1e-5
ABSOLUTE = 1e-6


def store_of(tmp_path: Path, content: bytes, batch: BatchSettings | None) -> ModelStore:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    return ModelStore({"m": ModelSource(path, batch=batch)}, probe=False)


def answer(context: ExecutionContext, frame: bytes) -> bytes:
    context.set_input(0, frame)
    context.compute()
    content = context.output(0)
    context.close()
    return content


@pytest.mark.parametrize("network", [batch_models.dense, batch_models.convolution])
def test_frames_of_several_threads_get_what_they_would_get_alone(tmp_path: Path, network: Callable[[], bytes]) -> None:
    frames = batch_models.frames_for(batch_models.WIDTH, FRAMES)
    plain = store_of(tmp_path, network(), None).by_name("m")
    expected = [answer(plain.acquire(), frame) for frame in frames]
    batching = store_of(tmp_path, network(), BatchSettings(THREADS, 1000.0)).by_name("m")
    assert isinstance(batching, BatchingGraph)
    got: dict[int, bytes] = {}
    together = threading.Barrier(THREADS)

    def work(first: int) -> None:
        for number in range(first, FRAMES, THREADS):
            with batching.expecting():
                together.wait(PATIENCE_S)  # so that all are expected before the first computes
                got[number] = answer(batching.acquire(), frames[number])

    threads = [threading.Thread(target=work, args=(first,), daemon=True) for first in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(got) == list(range(FRAMES))
    statistics = batching.statistics()
    assert (statistics.computes, statistics.largest) == (FRAMES // THREADS, THREADS)
    for number in range(FRAMES):
        one, other = (np.frombuffer(content, np.float32) for content in (expected[number], got[number]))
        np.testing.assert_allclose(other, one, rtol=RELATIVE, atol=ABSOLUTE)


def test_a_model_whose_frames_mix_is_refused_with_its_file(tmp_path: Path) -> None:
    store = store_of(tmp_path, batch_models.mixer(), BatchSettings(4, 0.002))
    with pytest.raises(ConfigError, match=r"^model `m` \(`.*m.onnx`\): batch: output 0 of a frame is another one when"):
        store.by_name("m")
