"""Tables in the documents that repeat what the code says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from nearfield.cli.app import COMMANDS
from nearfield.config import Workflow, format_duration, format_size
from nearfield.frame.header import HEADER_BYTES
from nearfield.sandbox.abi.detection import ABIS
from nearfield.sandbox.hostcalls import nearfield_v1, wasi_nn, wasmedge_tensorflow_b, wasmedge_tensorflowlite_b
from nearfield.sandbox.hostcalls.tensors import number_fits
from tests.docs.reader import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
ABI = (ROOT / "docs" / "abi.md").read_text(encoding="utf-8")
VECTORS = json.loads((ROOT / "tests" / "conformance" / "wire" / "headers.json").read_text(encoding="utf-8"))
DELIVERIES = json.loads((ROOT / "tests" / "conformance" / "wire" / "deliveries.json").read_text(encoding="utf-8"))


def table_below(heading: str, text: str = README) -> list[list[str]]:
    """Cells of the first table after a heading, without its two head lines."""
    after = text.split(f"\n{heading}\n", 1)[1]
    table = next(part.strip() for part in after.split("\n\n") if part.strip().startswith("|"))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]


def code_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def documented_fields() -> Iterator[tuple[str, str]]:
    """(field, default as written) of the README's table; sections and fields as the file nests them."""
    prefix = ""
    for names, defaults, _ in table_below("## The workflow file"):
        section, *_ = [f"{name}." for name in code_in(names) if "[]" in name or "<" in name] or [""]
        if not names.startswith("·"):
            prefix = section
        group = ""
        fields = [name for name in code_in(names) if not name.endswith(("[]", ">"))]
        if fields[0] == "certificates":
            prefix = f"{fields.pop(0)}."
        for name, default in zip(fields, _spread(defaults, len(fields)), strict=True):
            group = name.partition(".")[0] if "." in name and not name.startswith(".") else group
            full = f"{group}{name}" if name.startswith(".") else name
            yield prefix + full, default


def _spread(defaults: str, count: int) -> list[str]:
    parts = re.split(r"[,;] ", defaults)
    return parts if len(parts) == count else [defaults] * count


def schema_fields(
    kind: Any = Workflow, prefix: str = "", described: frozenset[Any] = frozenset()
) -> Iterator[tuple[str, Any]]:
    """(field, its description) of every leaf of the schema; what was `described` further up is one."""
    for field in msgspec.structs.fields(kind):
        inner = next((t for t in _types(field.type) if isinstance(t, type) and issubclass(t, msgspec.Struct)), None)
        name = field.encode_name
        if inner is None or inner in described:
            yield prefix + name, field
        elif "dict" in str(field.type):
            yield from schema_fields(inner, f"{prefix}{name}.<name>.", described)
        elif "tuple" in str(field.type):
            yield from schema_fields(inner, f"{prefix}{name}[].", described)
        else:
            yield from schema_fields(inner, f"{prefix}{name}.", described)
        described |= {inner}


def _types(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _types(argument)


def written(field: Any) -> str | None:
    """A default as people write it; None where words say it."""
    default = field.default
    if default is None:
        return None
    if field.name.endswith(("_bytes", "_bytes_per_s")):
        return str(format_size(default))
    if field.name.endswith("_s"):
        return str(format_duration(default))
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) if isinstance(default, (int, str)) else None


def test_readme_lists_every_field_of_a_workflow() -> None:
    documented = {name for name, _ in documented_fields()}
    assert documented == {name for name, _ in schema_fields()}


def test_defaults_in_the_readme_are_those_of_the_schema() -> None:
    documented = dict(documented_fields())
    for name, field in schema_fields():
        expected = written(field)
        if expected is not None and name in documented:
            assert code_in(documented[name]) == [expected], name


def test_readme_lists_every_command() -> None:
    assert [code_in(row[0])[0] for row in table_below("## Commands")] == list(COMMANDS)


def test_readme_lists_every_guest_abi() -> None:
    documented = [name for row in table_below("## In one file, and in Python") for name in code_in(row[0])]
    assert sorted(documented) == sorted(abi.name for abi in ABIS)


def test_header_table_covers_all_bytes_in_order() -> None:
    rows = table_below("## Frames", PROTOCOL)
    offsets = [(int(row[0]), int(row[1])) for row in rows]
    assert [offset for offset, _ in offsets] == [sum(size for _, size in offsets[:n]) for n in range(len(offsets))]
    assert sum(size for _, size in offsets) == HEADER_BYTES


def test_header_example_is_a_golden_vector() -> None:
    (example,) = re.findall(r"^4e46 [0-9a-f ]+$", PROTOCOL, re.MULTILINE)
    assert example in {vector["hex"] for vector in VECTORS["valid"]}
    (tail,) = re.findall(r"^<the header above> ([0-9a-f ]+)$", PROTOCOL, re.MULTILINE)
    assert f"{example} {tail}" in {vector["hex"] for vector in DELIVERIES["valid"]}


@pytest.mark.parametrize("function", nearfield_v1.FUNCTIONS, ids=lambda function: function.name)
def test_every_import_of_the_guest_abi_is_documented(function: Any) -> None:
    documented = {code_in(row[0])[0]: row[1] for row in table_below("## Imports from `nearfield_v1`", ABI)}
    assert function.name in documented
    parameters = len(re.findall(r"\w+", documented[function.name].partition("->")[0]))
    assert parameters == len(function.signature.params)


def test_types_of_tensors_are_those_that_inputs_take() -> None:
    (types,) = [part for part in ABI.split("\n\n") if part.startswith("| | f16 |")]
    names, _, *rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in types.splitlines()]
    full = {"f": "float", "i": "int", "u": "uint"}
    for place, name in enumerate(names):
        dtype = np.dtype(name if name == "bool" else full[name[0]] + name[1:])
        written = {int(row[place]) for row in rows if row[place]}
        assert written == {number for number in range(256) if number_fits(number, dtype)}, name


@pytest.mark.parametrize("module", [wasi_nn, wasmedge_tensorflowlite_b, wasmedge_tensorflow_b])
def test_every_function_of_a_host_module_has_a_row(module: Any) -> None:
    section = ABI.split(f"\n## `{module.MODULE}`\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {name.partition("(")[0] for cell in rows for name in code_in(cell)}
    assert named == {entry.name for entry in module.FUNCTIONS}
