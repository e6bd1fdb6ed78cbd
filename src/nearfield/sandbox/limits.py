"""What one call of a guest may use up."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

MIB = 1024 * 1024

# Bounds of a WebAssembly page (core specification, 4.2.8).
PAGE_BYTES = 65536

# Compilers make one table for indirect calls.
MAX_TABLES = 4


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one guest. Each must be greater than 0.

    Attributes:
        deadline_s: wall-clock seconds for instantiation, initialisation and handling of one frame together.
        memory_bytes: size of the guest's linear memory, growth included.
        table_elements: elements of each of its tables, of which it may have `MAX_TABLES`.
        output_bytes: sum of the payloads it may emit for one frame.
        emitted_frames: how many frames it may emit for one frame.
        log_lines: lines it may log during one call; further ones are counted, not kept.
        module_bytes: size of the module file.
        handles: graphs, execution contexts, sessions and tensors it may hold at once.
    """

    deadline_s: float = 1.0
    memory_bytes: int = 256 * MIB
    table_elements: int = 10_000
    output_bytes: int = 16 * MIB
    emitted_frames: int = 256
    log_lines: int = 100
    module_bytes: int = 64 * MIB
    handles: int = 64

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"limits.{field.name}: got {value!r}, expected a number greater than 0")
