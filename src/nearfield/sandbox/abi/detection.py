"""Tell a module's ABI from its exports and imports. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nearfield.sandbox.abi.contract import Abi
from nearfield.sandbox.abi.nearfield_v1 import NearfieldV1
from nearfield.sandbox.abi.wasi_command import WasiCommand
from nearfield.sandbox.abi.wasmedge_bindgen import WasmedgeBindgen
from nearfield.sandbox.shape import ModuleShape

ABIS: tuple[Abi, ...] = (NearfieldV1(), WasmedgeBindgen(), WasiCommand())


@dataclass(frozen=True, slots=True)
class Detection:
    """The ABI that fits, if any, and why each other one does not.

    Attributes:
        abi: the first that fits, in the order of `ABIS`.
        tried: name of each ABI and why it does not fit; None for the one that does.
        recognised: what the module is instead, where its shape is known but not supported.
    """

    abi: Abi | None
    tried: tuple[tuple[str, str | None], ...]
    recognised: str | None

    def why_none(self) -> str:
        """All reasons in one line."""
        reasons = ", ".join(f"{name}: {why}" for name, why in self.tried if why)
        return (
            f"{self.recognised}: not supported yet ({reasons})"
            if self.recognised
            else f"no known guest ABI fits ({reasons})"
        )


def detect(shape: ModuleShape) -> Detection:
    """Try every ABI."""
    tried = tuple((abi.name, abi.why_not(shape)) for abi in ABIS)
    fitting = next((abi for abi, (_, why) in zip(ABIS, tried, strict=True) if why is None), None)
    return Detection(fitting, tried, None if fitting is not None else _recognise(shape))


def _recognise(shape: ModuleShape) -> str | None:
    names = set(shape.exports) | {entry.name for entry in shape.imports if entry.module == "env"}
    if any(name.startswith("yomo_") for name in names):
        return "YoMo guest"
    if "wasmedge-bindgen" in shape.imported_modules():
        return "wasmedge-bindgen guest of a version before 0.4"
    if "_start" in shape.exports:
        return "plain WASI command"
    return None
