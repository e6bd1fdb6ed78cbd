from __future__ import annotations

import pytest

from nearfield.errors import InferenceError
from nearfield.inference import Encoding
from nearfield.sandbox.hostcalls import preparation
from nearfield.sandbox.shape import Extern, ImportShape, ModuleShape


class Runtime:
    """Notes that it was imported; cannot be when it is not installed."""

    def __init__(self, name: str, prepared: list[str], *, is_installed: bool = True) -> None:
        self.name = name
        self.prepared = prepared
        self.installed = is_installed

    def prepare(self) -> None:
        if not self.installed:
            raise InferenceError(f"{self.name} is not installed")
        self.prepared.append(self.name)

    def is_installed(self) -> bool:
        return self.installed


@pytest.mark.parametrize(
    ("imported", "tensorflow", "prepared"),
    [
        ([], True, []),
        ([("wasi_ephemeral_nn", "load_by_name")], True, []),
        ([("wasi_ephemeral_nn", "load")], True, ["litert", "onnx"]),
        ([("wasmedge_tensorflowlite", "create_session")], True, ["litert"]),
        ([("wasmedge_tensorflow", "run_session")], True, ["tensorflow"]),
        ([("wasmedge_tensorflow", "run_session")], False, []),
    ],
)
def test_runtimes_are_imported_that_a_guest_may_need_and_has(
    monkeypatch: pytest.MonkeyPatch, imported: list[tuple[str, str]], tensorflow: bool, prepared: list[str]
) -> None:
    found: list[str] = []
    backends = {
        Encoding.TENSORFLOWLITE: Runtime("litert", found),
        Encoding.ONNX: Runtime("onnx", found),
        Encoding.OPENVINO: Runtime("openvino", found, is_installed=False),
    }
    monkeypatch.setattr(preparation, "BACKENDS", backends)
    monkeypatch.setattr(preparation, "tensorflow_runtime", Runtime("tensorflow", found, is_installed=tensorflow))
    shape = ModuleShape(tuple(ImportShape(module, name, Extern("function")) for module, name in imported), {})
    preparation.prepare_host_modules(shape)
    assert found == prepared
