"""The seven labels of the factory line, in the order of the model's output."""

from typing import Final

EMPTY: Final = "empty"
LABELS: Final = (EMPTY, "bolt", "nut", "washer", "gear", "bearing", "bracket")
PART_LABELS: Final = LABELS[1:]
