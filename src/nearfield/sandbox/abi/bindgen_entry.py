"""Which function of a wasmedge-bindgen guest is called, and with which arguments. Pure.

A module does not tell the parameters of its functions: all have the type (table, count). Without a word of the operator
a function gets the payload as its only argument, which fits `Vec<u8>` and `String`. For every other one the operator
writes the parameters behind the name, as in `resize(u32, u32, Vec<u8>)`: the payload is then the arguments' bytes, one
after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from nearfield.errors import ConfigError, GuestAbiError, GuestFailed
from nearfield.sandbox.abi.bindgen_values import TYPES, ValueType, is_valid
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature

ALLOCATE, DEALLOCATE, INITIALIZE = "allocate", "deallocate", "_initialize"
DEFAULT_ENTRY = "infer"
RUNTIME = {ALLOCATE: Signature.of("i32 -> i32"), DEALLOCATE: Signature.of("i32 i32 ->")}

_BY_NAME = {known.name: kind for kind, known in TYPES.items()}
_ENTRY = re.compile(r"\s*(?P<name>[^()]*?)\s*(?:\((?P<parameters>[^()]*)\)\s*)?")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument as the guest gets it.

    Attributes:
        content: little-endian bytes.
        count: number of elements, 1 for a scalar; for a string its bytes.
    """

    content: bytes
    count: int


@dataclass(frozen=True, slots=True)
class Entry:
    """The function to call.

    Attributes:
        name: of the export.
        parameters: types as numbered in `TYPES`; None where the operator left them out.
    """

    name: str
    parameters: tuple[int, ...] | None = None

    def __str__(self) -> str:
        if self.parameters is None:
            return self.name
        return f"{self.name}({', '.join(TYPES[kind].name for kind in self.parameters)})"

    def arguments(self, payload: bytes) -> list[Argument]:
        """Cut a payload into arguments. At most one parameter has no fixed size: it gets what the others leave.

        Raises:
            GuestFailed: the payload's size does not fit the parameters, or a part is no value of its type.
        """
        if self.parameters is None:
            return [Argument(payload, len(payload))]
        types = [TYPES[kind] for kind in self.parameters]
        fixed = sum(known.width for known in types if not known.is_array)
        rest = len(payload) - fixed
        array = next((known for known in types if known.is_array), None)
        if rest < 0 or (rest % array.width if array is not None else rest):
            at_least = "" if array is None else f" and a multiple of {array.width} more"
            raise GuestFailed(f"payload: got {len(payload)} bytes, expected {fixed}{at_least} for `{self}`")
        arguments, at = [], 0
        for kind, known in zip(self.parameters, types, strict=True):
            size = rest if known.is_array else known.width
            content = payload[at : at + size]
            if not is_valid(kind, content):
                raise GuestFailed(
                    f"payload: got {content[:8].hex(' ')} from byte {at} on, expected a valid {known.name}"
                )
            arguments.append(Argument(content, size // known.width))
            at += size
        return arguments


def entries(shape: ModuleShape, signature: Signature) -> Iterator[str]:
    """Names of the functions that could be the guest's own."""
    return (name for name, extern in shape.exports.items() if extern.signature == signature and name not in RUNTIME)


def why_no_runtime(shape: ModuleShape) -> str | None:
    """Why a module lacks what every version needs; None when it has it."""
    for name, expected in RUNTIME.items():
        if name not in shape.exports:
            return f"no export `{name}`"
        if shape.function(name) != expected:
            return f"export `{name}`: got {shape.exports[name]}, expected a function {expected}"
    return None if shape.memory() is not None else "no exported memory named `memory`"


def choose_entry(shape: ModuleShape, wanted: str | None, signature: Signature) -> Entry:
    """The function asked for, else the only one, else `infer`.

    Args:
        wanted: `name` or `name(type, type)`; the name may be left out.

    Raises:
        ConfigError: the one asked for does not exist, is of another type, or its parameters make no sense.
        GuestAbiError: none was asked for, and there are several.
    """
    candidates = sorted(entries(shape, signature))
    listed = ", ".join(f"`{name}`" for name in candidates)
    asked = parse_entry(wanted or "")
    if asked.name:
        if asked.name not in candidates:
            raise ConfigError(f"entry: got `{asked.name}`, expected one of {listed}")
        return asked
    if len(candidates) == 1:
        return Entry(candidates[0], asked.parameters)
    if DEFAULT_ENTRY in candidates:
        return Entry(DEFAULT_ENTRY, asked.parameters)
    raise GuestAbiError(f"entry: got {len(candidates)} candidates: {listed}, expected one", hint="name it as `entry`")


def parse_entry(text: str) -> Entry:
    """Read `name` or `name(type, type)`.

    Raises:
        ConfigError: something else, an unknown type, or more than one parameter without a fixed size.
    """
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise ConfigError(f"entry: got `{text}`, expected a form such as `infer` or `resize(u32, u32, Vec<u8>)`")
    if match["parameters"] is None:
        return Entry(match["name"])
    names = [part.replace(" ", "") for part in match["parameters"].split(",")] if match["parameters"].strip() else []
    for name in names:
        if name not in _BY_NAME:
            raise ConfigError(f"entry: got parameter type `{name}`, expected one of {', '.join(_BY_NAME)}")
    entry = Entry(match["name"], tuple(_BY_NAME[name] for name in names))
    without_size = [known.name for known in _types(entry) if known.is_array]
    if len(without_size) > 1:
        raise ConfigError(
            f"entry: got parameters {', '.join(without_size)}, expected at most one without a fixed size",
            hint="a frame has one payload, and nothing in it says where the first ends",
        )
    return entry


def _types(entry: Entry) -> list[ValueType]:
    return [TYPES[kind] for kind in entry.parameters or ()]
