"""What a guest may use up: in one call, in one second, and in its worker's life."""

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
        host_time_s: seconds of one call inside inference, pictures and HTTP together; None: as `deadline_s`. One such
            function cannot be interrupted, so the limit is looked at before and after each.
        grace_s: seconds after its deadline after which a call that still runs, because a host function does not
            return, is given up: a `Watchdog` then ends the worker process.
        memory_bytes: size of the guest's linear memory, growth included.
        table_elements: elements of each of its tables, of which it may have `MAX_TABLES`; growth included.
        output_bytes: sum of the payloads it may emit for one frame; and of what it may write to files meanwhile.
        emitted_frames: how many frames it may emit for one frame.
        log_lines: lines it may log during one call; further ones are counted, not kept.
        log_bytes_per_s: bytes of log lines a second over its whole life; four seconds' worth may come at once.
        handles: graphs, execution contexts, sessions and tensors it may hold at once.
        files: files and directories it may hold open at once, granted directories included.
        model_bytes: size of all models together that it may load from its own bytes during one call.
        models_total_bytes: the same over its whole life, each content counted once.
        picture_bytes: size of a picture's file.
        picture_pixels: width times height of a picture, as its file declares it, and as the guest wants it.
        picture_scans: of a JPEG: passes over its pixels. Fewer where there are very many pixels.
        module_bytes: size of the module file.
        compile_s: seconds for compiling it. Wall-clock time; processor time is limited to that on every core.
        compile_memory_bytes: address space of the process that compiles it.
    """

    deadline_s: float = 1.0
    host_time_s: float | None = None
    grace_s: float = 5.0
    memory_bytes: int = 256 * MIB
    table_elements: int = 10_000
    output_bytes: int = 16 * MIB
    emitted_frames: int = 256
    log_lines: int = 100
    log_bytes_per_s: int = 64 * 1024
    handles: int = 64
    files: int = 32
    model_bytes: int = 64 * MIB
    models_total_bytes: int = 256 * MIB
    picture_bytes: int = 16 * MIB
    picture_pixels: int = 4096 * 4096
    picture_scans: int = 64
    module_bytes: int = 64 * MIB
    compile_s: float = 30.0
    compile_memory_bytes: int = 2048 * MIB

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f"limits.{field.name}: got {value!r}, expected a number greater than 0")

    @property
    def most_host_time_s(self) -> float:
        """`host_time_s`, or what stands for it."""
        return self.deadline_s if self.host_time_s is None else self.host_time_s
