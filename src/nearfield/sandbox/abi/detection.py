"""Tell a module's ABI from its exports and imports. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nearfield.sandbox.abi.contract import Abi
from nearfield.sandbox.abi.nearfield_v1 import NearfieldV1
from nearfield.sandbox.abi.wasi_command import WasiCommand
from nearfield.sandbox.abi.wasmedge_bindgen import WasmedgeBindgen
from nearfield.sandbox.abi.wasmedge_bindgen_imports import WasmedgeBindgenImports
from nearfield.sandbox.abi.yomo import Yomo
from nearfield.sandbox.shape import ModuleShape

# From the most particular to the least: every program has `_start`, so commands come last.
ABIS: tuple[Abi, ...] = (NearfieldV1(), Yomo(), WasmedgeBindgen(), WasmedgeBindgenImports(), WasiCommand())

# Marks of each ABI, in the same order: the beginning of an export's or import's name, and the ABI's name.
_MARKS = (
    ("nearfield_", NearfieldV1.name),
    ("yomo_", Yomo.name),
    ("return_result", WasmedgeBindgenImports.name),
    ("allocate", WasmedgeBindgen.name),
    ("_start", WasiCommand.name),
)

# Modules that only hosts of another kind offer, and what the guest was built for.
_FOREIGN = {
    "wbg": "built with wasm-bindgen, for JavaScript hosts",
    "__wbindgen_placeholder__": "built with wasm-bindgen, for JavaScript hosts",
    "gojs": "built by Go for JavaScript hosts; build it with GOOS=wasip1",
    "go": "built by Go for JavaScript hosts; build it with GOOS=wasip1",
    "wasi_unstable": "built for WASI before preview 1; build it with a newer compiler",
}


@dataclass(frozen=True, slots=True)
class Detection:
    """The ABI that fits, if any, and why each other one does not.

    Attributes:
        abi: the first that fits, in the order of `ABIS`.
        tried: name of each ABI and why it does not fit; None for the one that does.
        resembles: name of the ABI that the module bears marks of, where none fits.
        foreign: what the module was built for instead, where that shows.
    """

    abi: Abi | None
    tried: tuple[tuple[str, str | None], ...]
    resembles: str | None
    foreign: str | None

    def why_none(self) -> str:
        """The reason in one line: that of the ABI that it resembles, else all of them."""
        if self.foreign is not None:
            return f"no known guest ABI fits: {self.foreign}"
        if self.resembles is not None:
            return f"looks like {self.resembles}, but does not fit: {dict(self.tried)[self.resembles]}"
        reasons = ", ".join(f"{name}: {why}" for name, why in self.tried if why)
        return f"no known guest ABI fits ({reasons})"


def detect(shape: ModuleShape) -> Detection:
    """Try every ABI. Only the first that fits is one: the others then say so."""
    tried: list[tuple[str, str | None]] = []
    fitting: Abi | None = None
    for abi in ABIS:
        why = abi.why_not(shape)
        if why is None and fitting is not None:
            why = f"{fitting.name} comes first"
        elif why is None:
            fitting = abi
        tried.append((abi.name, why))
    if fitting is not None:
        return Detection(fitting, tuple(tried), None, None)
    foreign = next((_FOREIGN[entry.module] for entry in shape.imports if entry.module in _FOREIGN), None)
    return Detection(None, tuple(tried), _resembles(shape), foreign)


def _resembles(shape: ModuleShape) -> str | None:
    names = [*shape.exports, *(entry.name for entry in shape.imports)]
    return next((abi for mark, abi in _MARKS if any(name.startswith(mark) for name in names)), None)
