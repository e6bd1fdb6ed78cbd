"""What only ONNX Runtime does; the rest is in `tests/conformance/inference`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference import Device, Graph, ModelContent
from nearfield.inference import onnx_runtime as backend_module
from nearfield.inference.onnx_runtime import OnnxRuntimeBackend
from tests.conformance.inference.networks import FORMATS, onnx_finder, onnx_passer_of

SOURCE = str(Path(__file__).parents[3] / "src")
ADDER = next(each for each in FORMATS if str(each) == "onnxruntime").adder()


def load(parts: tuple[bytes, ...], device: Device = Device.CPU) -> Graph:
    return OnnxRuntimeBackend().load(ModelContent(parts), label="net", device=device)


def refusal(parts: tuple[bytes, ...]) -> str:
    with pytest.raises(ModelInvalid) as caught:
        load(parts)
    return str(caught.value)


@pytest.mark.parametrize(
    ("shape", "is_batchable"),
    [(["n", 4], True), ([None, 4], True), ([1, 4], False), ([], False)],
)
def test_a_free_first_dimension_is_the_batch_named_or_not(shape: list[Any], is_batchable: bool) -> None:
    assert load(onnx_passer_of(shape)).is_batchable is is_batchable


def test_another_free_dimension_is_refused_with_its_name_and_the_remedy() -> None:
    told = refusal(onnx_passer_of(["n", "height", 4]))
    assert "input 0 `x`: got free dimension 1 `height` of ('n', 'height', 4), expected none but the first" in told
    assert "make_dynamic_shape_fixed --dim_param height --dim_value SIZE" in told
    assert "free dimension 2 of" in refusal(onnx_passer_of([1, 4, None]))


@pytest.mark.parametrize("element", [onnx.TensorProto.BFLOAT16, onnx.TensorProto.STRING])
def test_elements_that_numpy_does_not_know_are_refused(element: int) -> None:
    assert "input 0 `x`: got elements of type `tensor(" in refusal(onnx_passer_of([1, 4], element))


def test_an_output_may_have_as_many_rows_as_there_are_results() -> None:
    graph = load(onnx_finder())
    assert not graph.is_batchable
    assert (graph.inputs[0].shape, graph.outputs[0].shape) == ((1, 4), (1, 2))
    context = graph.acquire()
    for row, found in (([0, 7, 0, 7], [[0, 1], [0, 3]]), ([0, 0, 0, 0], []), ([1, 1, 1, 0], [[0, 0], [0, 1], [0, 2]])):
        context.set_input(0, np.array([row], np.float32))
        context.compute()
        assert np.frombuffer(context.output(0), np.int64).reshape(-1, 2).tolist() == found


class FakeRuntime:
    """ONNX Runtime, but for what it says about CUDA."""

    def __init__(self, real: Any, *, starts: bool) -> None:
        self._real = real
        self._starts = starts
        self.wanted: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def preload_dlls(self) -> None:
        return None

    def InferenceSession(self, content: bytes, options: Any, providers: list[str]) -> Any:  # noqa: N802
        self.wanted.append(providers)
        session = self._real.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        if self._starts:
            session.get_providers = lambda: providers
        return session


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[FakeRuntime]:
    fake = FakeRuntime(backend_module._runtime(), starts=request.param)
    monkeypatch.setattr(backend_module, "_runtime", lambda: fake)
    yield fake


@pytest.mark.parametrize("with_cuda", [True], indirect=True)
@pytest.mark.parametrize("device", [Device.CUDA, Device.AUTO])
def test_cuda_is_taken_where_it_starts_with_the_cpu_behind_it(with_cuda: FakeRuntime, device: Device) -> None:
    graph = load(ADDER, device)
    assert graph.device is Device.CUDA
    assert with_cuda.wanted == [["CUDAExecutionProvider", "CPUExecutionProvider"]]


@pytest.mark.parametrize("with_cuda", [False], indirect=True)
def test_cuda_that_does_not_start_is_no_silent_cpu(with_cuda: FakeRuntime, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InferenceError, match="device: got cuda, expected cpu or auto: CUDA did not start"):
        load(ADDER, Device.CUDA)
    with caplog.at_level("INFO", logger="nearfield.inference"):
        assert load(ADDER, Device.AUTO).device is Device.CPU
    assert "model `net`: computes on the CPU: CUDA did not start" in caplog.text


SCRIPT = """
import os, sys
from pathlib import Path
from nearfield.inference.contract import ModelContent
from nearfield.inference.onnx_runtime import OnnxRuntimeBackend
graph = OnnxRuntimeBackend().load(ModelContent((Path(sys.argv[1]).read_bytes(),)), label="net")
context = graph.acquire()
for index in (0, 1):
    context.set_input(index, bytes(16))
context.compute()
try:
    OnnxRuntimeBackend().load(ModelContent((Path(sys.argv[1]).read_bytes()[:-40],)), label="cut")
except Exception as error:
    print(type(error).__name__)
"""


def test_the_runtime_writes_nothing_at_home_and_nothing_on_the_terminal(tmp_path: Path) -> None:
    """Its wheels keep a number for the machine in the home directory and report what they run, unless told not to."""
    model, home = tmp_path / "adder.onnx", tmp_path / "home"
    model.write_bytes(ADDER[0])
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model)],
        env={**environment, "PYTHONPATH": SOURCE, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
        capture_output=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (b"ModelInvalid\n", b"")
    assert list(home.rglob("*")) == []


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(backend_module, "_runtime", backend_module._runtime.__wrapped__)
    with pytest.raises(InferenceError, match=r"ONNX Runtime: not installed .*; pip install onnxruntime"):
        OnnxRuntimeBackend().prepare()
