"""What a module imports and exports, as plain values: everything that detection and checks decide on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wasmtime import FuncType, GlobalType, MemoryType, Module, TableType

from nearfield.sandbox.limits import PAGE_BYTES, Limits
from nearfield.sandbox.signature import Signature


@dataclass(frozen=True, slots=True)
class Extern:
    """Type of an import or export.

    Attributes:
        kind: `function`, `memory`, `table`, `global` or `other`.
        signature: of a function, else None.
        minimum, maximum: pages of a memory, elements of a table; None where there is none.
    """

    kind: str
    signature: Signature | None = None
    minimum: int | None = None
    maximum: int | None = None

    def __str__(self) -> str:
        if self.signature is not None:
            return str(self.signature)
        return self.kind if self.minimum is None else f"{self.kind} of at least {self.minimum}"


@dataclass(frozen=True, slots=True)
class ImportShape:
    """One import."""

    module: str
    name: str
    extern: Extern

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """Imports in the module's order and exports by name."""

    imports: tuple[ImportShape, ...]
    exports: Mapping[str, Extern]

    @classmethod
    def of(cls, module: Module) -> ModuleShape:
        """Read a compiled module's types."""
        imports = tuple(ImportShape(i.module, i.name or "", _extern(i.type)) for i in module.imports)
        return cls(imports, {e.name: _extern(e.type) for e in module.exports})

    def function(self, name: str) -> Signature | None:
        """Signature of an exported function; None where there is no function of this name."""
        extern = self.exports.get(name)
        return None if extern is None else extern.signature

    def imported_modules(self) -> frozenset[str]:
        """Names of the modules that something is imported from."""
        return frozenset(entry.module for entry in self.imports)

    def memory(self) -> Extern | None:
        """The export `memory`, if it is one."""
        extern = self.exports.get("memory")
        return extern if extern is not None and extern.kind == "memory" else None

    def problems_with(self, limits: Limits) -> Iterator[str]:
        """Each declared minimum that can never fit. Sizes that are not exported show only on instantiation."""
        externs = [(f"export `{name}`", extern) for name, extern in self.exports.items()]
        externs += [(f"import `{entry}`", entry.extern) for entry in self.imports]
        for name, extern in externs:
            least = extern.minimum or 0
            if extern.kind == "memory" and least * PAGE_BYTES > limits.memory_bytes:
                yield f"{name}: got at least {least * PAGE_BYTES} bytes, expected at most {limits.memory_bytes} bytes"
            if extern.kind == "table" and least > limits.table_elements:
                yield f"{name}: got at least {least} elements, expected at most {limits.table_elements}"


def _extern(kind: object) -> Extern:
    if isinstance(kind, FuncType):
        return Extern("function", Signature(tuple(map(str, kind.params)), tuple(map(str, kind.results))))
    if isinstance(kind, MemoryType):
        return Extern("memory", None, kind.limits.min, kind.limits.max)
    if isinstance(kind, TableType):
        return Extern("table", None, kind.limits.min, kind.limits.max)
    return Extern("global" if isinstance(kind, GlobalType) else "other")
