"""What a wish for a device comes to, for runtimes that only know the CPU."""

from __future__ import annotations

import logging

from nearfield.errors import InferenceError
from nearfield.inference.contract import Device

_logger = logging.getLogger(__name__)


def take_cpu(wanted: Device, *, label: str, runtime: str) -> Device:
    """The CPU, for a model of a runtime that has nothing else here.

    Raises:
        InferenceError: CUDA is wanted.
    """
    if wanted is Device.CUDA:
        raise InferenceError(
            f"device: got cuda, expected cpu or auto: {runtime} computes on the CPU only",
            where=f"model `{label}`",
            hint="convert the model to ONNX",
        )
    if wanted is Device.AUTO:
        log_fallback(label, f"{runtime} computes there only")
    return Device.CPU


def log_fallback(label: str, reason: str) -> None:
    """Say that `device: auto` came to the CPU."""
    _logger.info("model `%s`: computes on the CPU: %s", label, reason)
