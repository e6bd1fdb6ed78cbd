"""Every host function with any arguments: an errno or a result, and no change but where it is declared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearfield.inference import ModelStore
from nearfield.inference.tensorflow_runtime import is_installed
from nearfield.sandbox.callpath import HostImport
from nearfield.sandbox.host import Host
from nearfield.sandbox.hostcalls import tensorflow_sessions, tflite_sessions
from nearfield.sandbox.hostcalls.registry import FUNCTIONS
from nearfield.sandbox.hostcalls.wasi_nn_types import OpenContext, OpenGraph
from nearfield.sandbox.memory import OutOfBounds
from nearfield.sandbox.signature import Signature
from tests.unit.inference.conftest import TinyModels
from tests.unit.inference.tensorflow_models import scaler
from tests.unit.sandbox.driver import INTERESTING, NAME_AT, SIZE, U32, U64, Carried, Driver, declared
from tests.unit.sandbox.hostcalls.formats import onnx_adder, openvino_scaler
from tests.unit.sandbox.kit import named_models

TENSORFLOW_MODULES = (tensorflow_sessions.MODULE, tflite_sessions.MODULE)
CALLED = [entry for entry in FUNCTIONS if entry.name != "proc_exit"]

i32s = st.one_of(
    st.integers(0, 12),
    st.sampled_from(INTERESTING),
    st.integers(0, SIZE),
    st.integers(0, U32),
)
i64s = st.one_of(i32s, st.sampled_from((2**32, 2**63 - 1, 2**63, U64)), st.integers(0, U64))


@st.composite
def steps(draw: st.DrawFn) -> tuple[HostImport, tuple[int, ...]]:
    entry = draw(st.sampled_from(CALLED))
    return entry, tuple(draw(i32s if kind == "i32" else i64s) for kind in entry.signature.params)


INFERENCE = [entry for entry in CALLED if entry.module in ("wasi_ephemeral_nn", *TENSORFLOW_MODULES)]


@st.composite
def inference_steps(draw: st.DrawFn) -> tuple[HostImport, tuple[int, ...]]:
    """A call of what works on handles; the first argument is often one that is open."""
    entry = draw(st.sampled_from(INFERENCE))
    first = st.one_of(st.integers(0, 10), i32s)
    kinds = entry.signature.params
    rest = tuple(draw(i32s if kind == "i32" else i64s) for kind in kinds[1:])
    return entry, (draw(first), *rest)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = named_models(tmp_path_factory.mktemp("models"), {"adder": TinyModels().adder()}, "sum\nb\nc\nd\n")
    store.load_all()
    return store


@pytest.fixture
def driver(models: ModelStore, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(models, TinyModels().adder(), tmp_path)
    yield driver
    driver.close()


def call(driver: Driver, module: str, name: str, *values: int) -> int | None:
    (entry,) = [entry for entry in FUNCTIONS if (entry.module, entry.name) == (module, name)]
    return driver.call(entry, values)


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Carried:
    """Models of every format that this environment can run."""
    graph = scaler() if is_installed() else b""
    return Carried(onnx_adder(), openvino_scaler(tmp_path_factory.mktemp("openvino")), graph)


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(steps(), max_size=12))
def test_any_sequence_of_calls_changes_only_what_it_may(
    models: ModelStore, tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[HostImport, tuple[int, ...]]]
) -> None:
    driver = Driver(models, TinyModels().adder(), tmp_path_factory.mktemp("driven"))
    try:
        for entry, values in calls:
            driver.call(entry, values)
    finally:
        driver.close()


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(inference_steps(), max_size=16))
def test_any_sequence_of_calls_with_models_of_every_format_changes_only_what_it_may(
    models: ModelStore,
    carried: Carried,
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[tuple[HostImport, tuple[int, ...]]],
) -> None:
    driver = Driver(models, TinyModels().adder(), tmp_path_factory.mktemp("driven"), carried)
    try:
        for entry, values in calls:
            driver.call(entry, values)
    finally:
        driver.close()


def test_with_models_of_every_format_the_first_instance_holds_all_kinds_of_handles(
    models: ModelStore, carried: Carried, tmp_path: Path
) -> None:
    driver = Driver(models, TinyModels().adder(), tmp_path, carried)
    try:
        kinds = [type(driver.first.handles.get(number, object)) for number in range(1, 10)]  # type: ignore[type-var]
        expected = [OpenGraph, OpenContext] * 3 + [tflite_sessions.Session]
        if carried.tensorflow:
            expected += [tensorflow_sessions.Session, tensorflow_sessions.OutputTensor]
        assert kinds[: len(expected)] == expected
        driver.reset()
        assert len(driver.first.handles) == len(expected)
    finally:
        driver.close()


@pytest.mark.parametrize("entry", CALLED, ids=lambda entry: f"{entry.module}.{entry.name}")
def test_every_function_takes_the_edges_of_memory_in_every_place(driver: Driver, entry: HostImport) -> None:
    count = len(entry.signature.params)
    for place in range(count):
        for edge in INTERESTING:
            for rest in (1, 4096):
                driver.call(entry, tuple(edge if index == place else rest for index in range(count)))
    for edge in INTERESTING:  # all the same: everything overlaps
        driver.call(entry, (edge,) * count)


def test_handles_of_another_instance_and_freed_ones_are_nothing(driver: Driver) -> None:
    nn = "wasi_ephemeral_nn"
    others = range(1, 6)  # the second instance holds 1 to 4
    for number in others:
        for name, more in (("unload", ()), ("compute", ()), ("finalize_execution_context", ())):
            assert call(driver, nn, name, number, *more) == 1
        assert call(driver, nn, "init_execution_context", number, 4096) == 1
        assert call(driver, "wasmedge_tensorflowlite", "run_session", number) == 1
        assert call(driver, "wasmedge_tensorflowlite", "wasmedge_tensorflowlite_run_session", number) == 1
    assert call(driver, nn, "load_by_name", NAME_AT, 5, 4096) == 0
    graph = driver.first.memory.read_u32(4096)
    assert call(driver, nn, "init_execution_context", graph, 4096) == 0
    context = driver.first.memory.read_u32(4096)
    assert call(driver, nn, "compute", graph) == 1
    assert call(driver, nn, "finalize_execution_context", context) == 0
    assert call(driver, nn, "unload", graph) == 0
    for number in (graph, context):
        assert call(driver, nn, "unload", number) == 1
        assert call(driver, nn, "compute", number) == 1
        assert call(driver, nn, "get_output", number, 0, 4096, 16, 5000) == 1
    assert len(driver.first.handles) == 0


def test_declared_ranges_belong_to_functions_that_exist() -> None:
    assert declared() <= {(entry.module, entry.name) for entry in FUNCTIONS}


# The driver itself ----------------------------------------------------------------------------------------------------


def wrong(body: object) -> HostImport:
    return HostImport("nearfield_v1", "frame_read", Signature.of("i32 i32 -> i32"), body, 0)  # type: ignore[arg-type]


def write_beside(host: Host, pointer: int, length: int) -> int:
    host.memory.write(pointer + length, b"x")
    return 0


def keep_a_handle(host: Host, pointer: int, length: int) -> int:
    host.handles.add(OpenGraph(host.models.by_name("adder")))
    raise OutOfBounds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (write_beside, r"nearfield_v1\.frame_read\(4096, 8\) wrote at \[4104\], not in \[\(4096, 8\)\]"),
        (keep_a_handle, "frame_read"),
        (lambda *_: "text", "frame_read"),
        (lambda *_: None, "frame_read"),
    ],
)
def test_the_driver_notices_what_is_wrong(driver: Driver, body: object, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        driver.call(wrong(body), (4096, 8))


def test_the_driver_notices_a_change_in_another_instance(driver: Driver) -> None:
    def write_elsewhere(host: Host, pointer: int, length: int) -> int:
        driver.hosts[1].memory.write(0, b"x")
        return 0

    with pytest.raises(AssertionError):
        driver.call(wrong(write_elsewhere), (4096, 8))
