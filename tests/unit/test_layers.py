"""The architecture's layers, read from the imports themselves."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "nearfield"

# Third-party engines, and the packages of nearfield that may import each.
ENGINES = {
    "zenoh": {"transport"},
    # Certificates there, signatures of files here: different parts of it, and nothing in common.
    "cryptography": {"transport", "signing"},
    "wasmtime": {"sandbox"},
    "ai_edge_litert": {"inference"},
    "onnxruntime": {"inference"},
    "openvino": {"inference"},
    "tensorflow": {"inference"},
    "av": {"media"},
    "simplejpeg": {"media"},
    "PIL": {"media"},
    "yaml": {"config"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli"},
}
FORBIDDEN = {"zipper": {"sandbox", "inference", "media"}, "inference": {"sandbox"}}
# Above the layers: they only start the program.
ENTRIES = {"__main__", "__init__"}


def part_of(path: Path) -> str:
    """The package or module directly below `nearfield` that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything that a file imports, inside functions as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


IMPORTS = [(path, name) for path in sorted(PACKAGE.rglob("*.py")) for name in imports_of(path)]
OWN = [
    (path, part_of(path), name.split(".")[1])
    for path, name in IMPORTS
    if name.split(".")[0] == "nearfield" and "." in name and part_of(path) not in ENTRIES
]


def layers() -> list[set[str]]:
    """From the lowest to the highest, as import-linter's contract in pyproject.toml says."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (order,) = (entry["layers"] for entry in contract if entry["type"] == "layers")
    return [
        {name.strip().removeprefix("nearfield.") for name in layer.replace(":", "|").split("|")}
        for layer in reversed(order)
    ]


@pytest.mark.parametrize("engine", ENGINES)
def test_engine_is_imported_in_its_package_only(engine: str) -> None:
    importers = {part_of(path) for path, name in IMPORTS if name.split(".")[0] == engine}
    assert importers <= ENGINES[engine]


def test_every_import_is_below_its_importer_or_beside_it_in_the_same_package() -> None:
    rank = {part: number for number, layer in enumerate(layers()) for part in layer}
    lowest = layers()[0] | layers()[1]
    wrong = [
        f"{path.relative_to(ROOT)}: {importer} imports {imported}"
        for path, importer, imported in OWN
        if importer in rank
        and imported in rank
        and importer != imported
        and rank[imported] >= rank[importer]
        # The two lowest layers hold independent small modules that may use each other.
        and not (rank[imported] == rank[importer] and importer in lowest)
    ]
    assert wrong == []


def test_every_part_has_its_place_in_the_layers() -> None:
    parts = {part_of(path) for path in PACKAGE.rglob("*.py")} - ENTRIES
    # The demonstration stands beside the layers and may use all of them.
    assert parts - set().union(*layers()) == {"demo"}


@pytest.mark.parametrize("importer", FORBIDDEN)
def test_package_never_imports_what_it_must_not_know(importer: str) -> None:
    known = {imported for _, part, imported in OWN if part == importer}
    assert known & FORBIDDEN[importer] == set()


def test_only_the_command_line_and_the_demonstration_import_the_demonstration() -> None:
    assert {importer for _, importer, imported in OWN if imported == "demo"} <= {"cli", "demo"}


def test_only_the_command_line_imports_the_command_line() -> None:
    assert {importer for _, importer, imported in OWN if imported == "cli"} <= {"cli"}
