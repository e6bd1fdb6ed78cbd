"""Coverage-guided: whatever a file holds, it is a guest, or refused with an error that says why.

Half of the inputs are bytes as they come; the other half are valid modules with random imports and exports, which
detection, resolving and binding must take or refuse.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports(include=["nearfield"]):
    import nearfield.sandbox.module  # noqa: F401 - instrumented by being imported here first

from nearfield.errors import ConfigError, GuestError
from nearfield.sandbox.abi import ABIS, AbiOptions, detect
from nearfield.sandbox.compiler import MOST_BYTES_HERE, Refused, compile_code
from nearfield.sandbox.engine import engine
from nearfield.sandbox.hostcalls import resolve
from nearfield.sandbox.hostcalls.registry import FUNCTIONS
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.module import Module, check_beginning, one_line
from nearfield.sandbox.precompiled import Damaged, Precompiled, is_precompiled
from nearfield.sandbox.shape import ModuleShape

LIMITS = Limits()

_KINDS = (b"\x7f", b"\x7e", b"\x7d", b"\x7c")  # i32, i64, f32, f64
_EXPORTS = (
    "nearfield_handle", "nearfield_observe", "nearfield_init", "_initialize", "_start", "allocate", "deallocate",
    "infer", "yomo_init", "yomo_handler", "yomo_observe_datatags", "yomo_alloc", "memory", "malloc", "run", "é",
)  # fmt: skip
_IMPORTS = [*sorted({(entry.module, entry.name) for entry in FUNCTIONS}), ("env", "magic"), ("", "")]


def take(data: bytes) -> None:
    """Everything that loading does before a guest runs."""
    if is_precompiled(data):
        found = Precompiled.decode(data)
        assert found.encode() == data
        return
    check_beginning(data, "fuzz")
    if len(data) > MOST_BYTES_HERE:
        return  # compiling these takes a process, and finds nothing in ours
    shape = ModuleShape.of(Module.deserialize(engine(), compile_code(data, "fuzz", LIMITS)))
    list(shape.problems_with(LIMITS))
    detection = detect(shape)
    detection.why_none()
    resolve(shape.imports)
    for abi in ABIS:
        if abi.why_not(shape) is None:
            for options in (AbiOptions(), AbiOptions("infer", 0x11), AbiOptions(emit=frozenset({1, 2}))):
                try:
                    abi.bind(shape, options)
                except (GuestError, ConfigError) as refused:
                    assert str(refused)


def one_input(data: bytes) -> None:
    """One file."""
    source = atheris.FuzzedDataProvider(data)
    content = data[1:] if source.ConsumeBool() else make_module(source)
    try:
        take(content)
    except (GuestError, Damaged) as refused:
        assert str(refused)
    except Refused as refused:
        one_line(str(refused))


def make_module(source: atheris.FuzzedDataProvider) -> bytes:
    """A valid module: types, imported functions, functions, a memory, exports."""
    types = [_type(source) for _ in range(source.ConsumeIntInRange(1, 6))]
    any_type = lambda: bytes([source.ConsumeIntInRange(0, len(types) - 1)])  # noqa: E731
    imports = []
    for _ in range(source.ConsumeIntInRange(0, 6)):
        module, name = _IMPORTS[source.ConsumeIntInRange(0, len(_IMPORTS) - 1)]
        imports.append(_text(module) + _text(name) + b"\0" + any_type())
    functions = [any_type() for _ in range(source.ConsumeIntInRange(0, 6))]
    bodies = [b"\x03\0\0\x0b"] * len(functions)  # unreachable, end
    exports, used = [], set()
    for _ in range(source.ConsumeIntInRange(0, 8)):
        name = _EXPORTS[source.ConsumeIntInRange(0, len(_EXPORTS) - 1)]
        number = source.ConsumeIntInRange(0, len(imports) + len(functions))
        is_memory = number == len(imports) + len(functions)
        if name not in used:
            used.add(name)
            exports.append(_text(name) + (b"\x02\0" if is_memory else b"\0" + bytes([number])))
    return (
        b"\0asm\x01\0\0\0"
        + _section(1, types)
        + _section(2, imports)
        + _section(3, functions)
        + _section(5, [b"\0" + bytes([source.ConsumeIntInRange(0, 100)])])
        + _section(7, exports)
        + _section(10, bodies)
    )


def _type(source: atheris.FuzzedDataProvider) -> bytes:
    def some(most: int) -> bytes:
        count = source.ConsumeIntInRange(0, most)
        return bytes([count]) + b"".join(_KINDS[source.ConsumeIntInRange(0, 3)] for _ in range(count))

    return b"\x60" + some(9) + some(2)


def _text(text: str) -> bytes:
    return bytes([len(text.encode())]) + text.encode()


def _section(kind: int, entries: list[bytes]) -> bytes:
    content = bytes([len(entries)]) + b"".join(entries)
    size = len(content)
    return bytes([kind, size & 0x7F | 0x80, size >> 7]) + content if entries else b""


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
