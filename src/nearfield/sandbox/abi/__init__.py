"""Guest ABIs, one to a file, and which of them a module speaks."""

from __future__ import annotations

from nearfield.sandbox.abi.contract import Abi, AbiOptions, Speaker
from nearfield.sandbox.abi.detection import ABIS, Detection, detect

__all__ = ["ABIS", "Abi", "AbiOptions", "Detection", "Speaker", "detect"]
