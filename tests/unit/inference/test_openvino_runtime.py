"""What only OpenVINO does; the rest is in `tests/conformance/inference`."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nearfield.errors import InferenceError, ModelInvalid
from nearfield.inference import Graph, ModelContent, ModelSource, ModelStore
from nearfield.inference import openvino_runtime as backend_module
from nearfield.inference.openvino_runtime import OpenVinoBackend
from tests.conformance.inference.networks import FORMATS, openvino_counter, openvino_free

SOURCE = str(Path(__file__).parents[3] / "src")
FORMAT = next(each for each in FORMATS if str(each) == "openvino")


def load(parts: tuple[bytes, ...]) -> Graph:
    return OpenVinoBackend().load(ModelContent(parts), label="net")


def refusal(parts: tuple[bytes, ...]) -> str:
    with pytest.raises(ModelInvalid) as caught:
        load(parts)
    return str(caught.value)


def test_a_model_without_weights_is_the_xml_alone() -> None:
    parts = FORMAT.adder()
    assert len(parts) == 1
    assert len(load(parts).inputs) == 2


@pytest.mark.parametrize(("weights", "told"), [((), "weights: none"), ((b"short",), "weights: 5 bytes")])
def test_missing_weights_are_named(weights: tuple[bytes, ...], told: str) -> None:
    message = refusal((FORMAT.dense(1)[0], *weights))
    assert told in message
    assert message.endswith("; Incorrect weights in bin file!")


def test_another_free_dimension_than_the_first_is_refused() -> None:
    assert "got free dimension 1 of [?,?,4], expected none but the first to be free" in refusal(
        openvino_free([-1, -1, 4])
    )


def test_what_a_model_remembers_is_gone_with_the_context() -> None:
    graph, ones = load(openvino_counter()), np.ones((1, 4), np.float32)
    for _ in range(2):
        context = graph.acquire()
        context.set_input(0, ones)
        sums = []
        for _ in range(3):
            context.compute()
            sums.append(np.frombuffer(context.output(0), np.float32)[0])
        context.close()
        assert sums == [1.0, 2.0, 3.0]


def test_weights_beside_the_xml_belong_to_it(tmp_path: Path) -> None:
    xml, weights = FORMAT.dense(1)
    path = tmp_path / "net.xml"
    path.write_bytes(xml)
    path.with_suffix(".bin").write_bytes(weights)
    source = ModelSource(path)
    assert source.files() == (path, tmp_path / "net.bin")
    store = ModelStore({"net": source})
    store.load_all()
    assert store.by_name("net").outputs[0].shape == (1, 3)


SCRIPT = """
import sys
from pathlib import Path
from nearfield.inference.contract import ModelContent
from nearfield.inference.openvino_runtime import OpenVinoBackend
OpenVinoBackend().load(ModelContent((Path(sys.argv[1]).read_bytes(),)), label="net")
print([name for name in sys.modules if "telemetry" in name and not name.startswith("nearfield")])
import openvino.tools
"""


def test_the_runtime_comes_without_its_usage_statistics_and_writes_nothing_at_home(tmp_path: Path) -> None:
    model, home = tmp_path / "adder.xml", tmp_path / "home"
    model.write_bytes(FORMAT.adder()[0])
    home.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(model)],
        env={**os.environ, "PYTHONPATH": SOURCE, "HOME": str(home)},
        capture_output=True,
        check=True,
    )
    assert (ended.stdout, ended.stderr) == (b"[]\n", b"")
    assert list(home.rglob("*")) == []


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def absent(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    monkeypatch.setattr(backend_module, "_version", backend_module._version.__wrapped__)
    path = tmp_path / "net.xml"
    path.write_bytes(FORMAT.adder()[0])
    with pytest.raises(InferenceError) as caught:
        ModelStore({"net": ModelSource(path)}).load_all()
    assert str(caught.value) == (
        f"model `net` (`{path}`): OpenVINO: not installed, but wanted for OpenVINO models; "
        "pip install 'nearfield[openvino]'"
    )


def test_without_the_package_loading_names_the_extra_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(backend_module, "_openvino", backend_module._openvino.__wrapped__)
    monkeypatch.setattr(backend_module, "_core", backend_module._core.__wrapped__)
    with pytest.raises(InferenceError, match=r"pip install 'nearfield\[openvino\]'"):
        OpenVinoBackend().prepare()
