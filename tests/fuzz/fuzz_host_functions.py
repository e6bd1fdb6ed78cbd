"""Coverage-guided: any sequence of host calls with any arguments keeps what `tests/unit/sandbox/driver.py` checks.

make fuzz        or, for an hour:        make fuzz FUZZ_SECONDS=3600
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["nearfield"]):
    import nearfield.sandbox.hostcalls  # noqa: F401 - instrumented by being imported here first

from nearfield.inference.tensorflow_runtime import is_installed
from nearfield.sandbox.hostcalls.registry import FUNCTIONS
from tests.unit.inference.conftest import TinyModels
from tests.unit.inference.tensorflow_models import scaler
from tests.unit.sandbox.driver import INTERESTING, SIZE, U32, U64, Carried, Driver
from tests.unit.sandbox.hostcalls.formats import onnx_adder, openvino_scaler
from tests.unit.sandbox.kit import named_models

CALLED = [entry for entry in FUNCTIONS if entry.name != "proc_exit"]
MOST_CALLS = 24

_directory = Path(tempfile.mkdtemp(prefix="nearfield-fuzz-"))
_model = TinyModels().adder()
_models = named_models(_directory, {"adder": _model}, "sum\nb\nc\nd\n")
_models.load_all()
(_directory / "driven").mkdir()
# One handle of every kind is open at the beginning: of TensorFlow's only where it is installed.
_carried = Carried(onnx_adder(), openvino_scaler(_directory), scaler() if is_installed() else b"")
_driver = Driver(_models, _model, _directory / "driven", _carried)


def argument(source: atheris.FuzzedDataProvider, kind: str) -> int:
    """A small number, an interesting pointer, one inside memory, or anything."""
    choice = source.ConsumeIntInRange(0, 3)
    if choice == 0:
        return source.ConsumeIntInRange(0, 12)
    if choice == 1:
        return INTERESTING[source.ConsumeIntInRange(0, len(INTERESTING) - 1)]
    if choice == 2:
        return source.ConsumeIntInRange(0, SIZE)
    return source.ConsumeIntInRange(0, U32 if kind == "i32" else U64)


def one_input(data: bytes) -> None:
    """One sequence of calls, on a fresh instance."""
    source = atheris.FuzzedDataProvider(data)
    _driver.reset()
    for _ in range(MOST_CALLS):
        if not source.remaining_bytes():
            break
        entry = CALLED[source.ConsumeIntInRange(0, len(CALLED) - 1)]
        _driver.call(entry, tuple(argument(source, kind) for kind in entry.signature.params))
        if source.ConsumeIntInRange(0, 3) == 0:
            # Some bytes of the fuzzer's own, where pointers find them.
            _driver.first.memory.write(4096, source.ConsumeBytes(32))


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
