from __future__ import annotations

import dataclasses

import pytest

from nearfield.errors import GuestTimeout, InferenceError
from nearfield.inference import Encoding, ModelStore
from nearfield.inference.batch_runner import ComputeLate
from nearfield.sandbox import Limits
from nearfield.sandbox.host import Host, ModelTooLarge
from nearfield.sandbox.memory import OutOfBounds
from tests.unit.inference.conftest import TinyModels
from tests.unit.sandbox.kit import FRAME, host_with


class Broken:
    def compute(self, by_s: float | None = None) -> None:
        raise InferenceError("broken")


def put(host: Host, content: bytes) -> tuple[int, int]:
    host.memory.write(0, content)
    return 0, len(content)


def test_a_part_that_takes_too_long_is_a_timeout_when_it_ends(models: ModelStore) -> None:
    host = host_with(models, limits=Limits(deadline_s=1000, host_time_s=1e-9))
    with pytest.raises(GuestTimeout, match=r"inside host functions \(inference"), host.timed("inference"):
        pass
    with pytest.raises(GuestTimeout), host.timed("pictures"):
        pytest.fail("entered with no time left")


def test_the_next_call_has_all_of_its_time_again(models: ModelStore) -> None:
    host = host_with(models, limits=Limits(deadline_s=1000, host_time_s=0.5))
    host.call.spend("inference", 10**9)
    host.begin(FRAME)
    with host.timed("inference"):
        pass


def test_the_error_of_a_part_is_not_hidden_by_a_timeout(models: ModelStore) -> None:
    host = host_with(models, limits=Limits(deadline_s=1000, host_time_s=1e-9))
    with pytest.raises(InferenceError, match="broken"):
        host.compute(Broken())  # type: ignore[arg-type]
    assert host.call.model_ns > 0


def test_models_of_one_call_are_limited_also_when_they_are_loaded_already(models: ModelStore, tiny: TinyModels) -> None:
    content = tiny.adder()
    host = host_with(models, limits=Limits(model_bytes=2 * len(content)))
    place = put(host, content)
    for _ in range(2):
        assert host.load_model([place], Encoding.TENSORFLOWLITE).inputs
    with pytest.raises(ModelTooLarge, match=f"got {3 * len(content)} bytes of models in one call, expected at most"):
        host.load_model([place], Encoding.TENSORFLOWLITE)
    host.begin(FRAME)
    host.load_model([place], Encoding.TENSORFLOWLITE)


def test_models_of_a_whole_life_count_each_content_once(models: ModelStore, tiny: TinyModels) -> None:
    content, other = tiny.adder(), tiny.divider()
    host = host_with(models, limits=Limits(models_total_bytes=len(content) + len(other) - 1))
    for _ in range(3):
        host.begin(FRAME)
        host.load_model([put(host, content)], Encoding.TENSORFLOWLITE)
    with pytest.raises(ModelTooLarge, match="bytes of models since its start, expected at most"):
        host.load_model([put(host, other)], Encoding.TENSORFLOWLITE)
    host.load_model([put(host, content)], Encoding.TENSORFLOWLITE)


def test_a_model_outside_memory_is_not_counted(models: ModelStore) -> None:
    host = host_with(models)
    with pytest.raises(OutOfBounds):
        host.load_model([(65536, 1)], Encoding.TENSORFLOWLITE)
    assert host.call.model_bytes == 0


class Late:
    """A context whose batch closed too late for it; keeps until when it was wanted."""

    def __init__(self) -> None:
        self.by_s: list[float | None] = []

    def compute(self, by_s: float | None = None) -> None:
        self.by_s.append(by_s)
        raise ComputeLate("not computed: its deadline passed before its turn came", where="model `m`")


def test_a_compute_that_came_too_late_ends_the_guest(models: ModelStore) -> None:
    host = host_with(models)
    with pytest.raises(GuestTimeout, match=r"^not computed: its deadline passed before its turn came$"):
        host.compute(Late())  # type: ignore[arg-type]


def test_a_compute_is_wanted_until_the_earlier_of_both_deadlines(models: ModelStore) -> None:
    host, late = host_with(models, limits=Limits(deadline_s=1000)), Late()
    begun = host.begin(FRAME)
    sooner, later = begun.ends_at_s - 500, begun.ends_at_s + 500
    for ends_at_s in (None, sooner, later):
        host.begin(dataclasses.replace(FRAME, ends_at_s=ends_at_s))
        with pytest.raises(GuestTimeout):
            host.compute(late)  # type: ignore[arg-type]
    without, early, generous = late.by_s
    assert early == sooner
    assert begun.ends_at_s <= without <= generous < later
