"""The files of the factory line, which ship with the package."""

from __future__ import annotations

from pathlib import Path

import nearfield

# The package is always installed as plain files: its engines are native libraries.
ASSETS = Path(nearfield.__file__).parent / "assets"
FACTORY_LINE = ASSETS / "factory_line"

GUEST = ASSETS / "recognise.wasm"
MODEL = FACTORY_LINE / "parts.tflite"
LABELS = FACTORY_LINE / "labels.txt"
VIDEO = FACTORY_LINE / "belt.mp4"
TRUTH = FACTORY_LINE / "truth.json"
