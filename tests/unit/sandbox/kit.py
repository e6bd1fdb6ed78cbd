"""Guests written as WebAssembly text, memory without a guest, and models small enough to build here."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wasmtime

from nearfield.inference import ModelSource, ModelStore
from nearfield.sandbox import Grants, Guest, Invocation, Limits, PictureRules
from nearfield.sandbox.host import Host
from nearfield.sandbox.memory import GuestMemory

ROOT = Path(__file__).parents[3]
TESTDATA = ROOT / ".." / "shared" / "testdata"

FRAME = Invocation(tag=0x10, payload=b"payload", origin="cam-1", sequence=1841, captured_ns=1_700_000_000_000_000_000)

SIGNATURES = {
    "frame_tag": "(result i32)",
    "frame_size": "(result i32)",
    "frame_read": "(param i32 i32) (result i32)",
    "frame_origin": "(param i32 i32) (result i32)",
    "frame_sequence": "(result i64)",
    "frame_captured_ns": "(result i64)",
    "emit": "(param i32 i32 i32) (result i32)",
    "emit_to": "(param i32 i32 i32 i32 i32) (result i32)",
    "fail": "(param i32 i32)",
    "log": "(param i32 i32 i32)",
    "observe": "(param i32)",
    "model_tensor": "(param i32 i32 i32 i32 i32) (result i32)",
    "model_label": "(param i32 i32 i32 i32 i32) (result i32)",
}

OWN_IMPORTS = "\n".join(
    f'(import "nearfield_v1" "{name}" (func ${name} {signature}))' for name, signature in SIGNATURES.items()
)


def own_guest(handle: str, more: str = "", memory: str = "2", imports: str = "") -> str:
    """A module that speaks nearfield-v1; `handle` is the body of its handler."""
    return f"""(module
      {OWN_IMPORTS}
      {imports}
      (memory (export "memory") {memory})
      {more}
      (func (export "nearfield_handle") (result i32) {handle}))"""


ECHO = own_guest(
    """(drop (call $frame_read (i32.const 0) (i32.const 131072)))
       (call $emit (i32.const 0x11) (i32.const 0) (call $frame_size))"""
)


def write(tmp_path: Path, text: str, name: str = "guest.wasm") -> Path:
    """Assemble WebAssembly text into a file."""
    path = tmp_path / name
    path.write_bytes(bytes(wasmtime.wat2wasm(text)))
    return path


def load(
    tmp_path: Path, text: str, *, limits: Limits | None = None, models: ModelStore | None = None, **options: Any
) -> Guest:
    """Assemble and load a guest called `f`."""
    store = ModelStore({}) if models is None else models
    return Guest.load(write(tmp_path, text), name="f", models=store, limits=limits, **options)


class Buffer(GuestMemory):
    """Memory without a guest."""

    def __init__(self, size: int) -> None:
        self.bytes = (ctypes.c_ubyte * size)()

    def locate(self) -> tuple[int, int]:
        return ctypes.addressof(self.bytes), len(self.bytes)


def named_models(tmp_path: Path, contents: Mapping[str, bytes], labels: str | None = None) -> ModelStore:
    """A store of models with these contents; the first has `labels`, one a line."""
    sources = {}
    for name, content in contents.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        text = tmp_path / "labels.txt"
        if labels is not None and not sources:
            text.write_text(labels)
        sources[name] = ModelSource(path, text if labels is not None and not sources else None)
    return ModelStore(sources, probe=False)


def host_with(
    models: ModelStore,
    *,
    size: int = 65536,
    limits: Limits | None = None,
    grants: Grants | None = None,
    pictures: PictureRules | None = None,
) -> Host:
    """The host's side with memory but no guest, in the middle of a call."""
    host = Host(models, limits or Limits(), None, pictures or PictureRules(), grants)
    host.memory = Buffer(size)
    host.begin(FRAME)
    return host


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
