from __future__ import annotations

import pytest

from nearfield.sandbox.abi import ABIS, detect
from nearfield.sandbox.shape import Extern, ImportShape, ModuleShape
from nearfield.sandbox.signature import Signature

MEMORY = Extern("memory", None, 1, None)


def function(text: str) -> Extern:
    return Extern("function", Signature.of(text))


OWN = {"memory": MEMORY, "nearfield_handle": function("-> i32")}
YOMO = {"memory": MEMORY, "yomo_handler": function("->"), "yomo_observe_datatags": function("->")}
RUNTIME = {"memory": MEMORY, "allocate": function("i32 -> i32"), "deallocate": function("i32 i32 ->")}
BINDGEN = {**RUNTIME, "infer": function("i32 i32 -> i32")}
OLD_BINDGEN = {**RUNTIME, "infer": function("i32 i32 ->")}
COMMAND = {"memory": MEMORY, "_start": function("->")}


def imports(*names: str) -> tuple[ImportShape, ...]:
    return tuple(ImportShape(*name.split("."), function("->")) for name in names)


RETURNS = imports("wasmedge-bindgen.return_result", "wasmedge-bindgen.return_error")
OLDEST_RETURNS = imports("env.return_result", "env.return_error")


@pytest.mark.parametrize(
    ("exports", "imported", "name"),
    [
        (OWN, (), "nearfield-v1"),
        (YOMO, (), "yomo"),
        (YOMO | COMMAND, (), "yomo"),
        (BINDGEN, (), "wasmedge-bindgen-0.4"),
        (OLD_BINDGEN, RETURNS, "wasmedge-bindgen-0.1"),
        (OLD_BINDGEN, OLDEST_RETURNS, "wasmedge-bindgen-0.1"),
        (COMMAND, (), "wasi-command"),
        (COMMAND | BINDGEN, (), "wasmedge-bindgen-0.4"),
        (OWN | YOMO | BINDGEN | COMMAND, (), "nearfield-v1"),
    ],
)
def test_the_abi_is_told_from_exports_and_imports(
    exports: dict[str, Extern], imported: tuple[ImportShape, ...], name: str
) -> None:
    found = detect(ModuleShape(imported, exports))
    assert found.abi is not None and found.abi.name == name
    assert [abi for abi, why in found.tried if why is None] == [name]
    assert (found.resembles, found.foreign) == (None, None)


def test_an_abi_that_comes_later_says_so() -> None:
    found = detect(ModuleShape((), OWN | YOMO))
    assert dict(found.tried)["yomo"] == "nearfield-v1 comes first"


def test_a_module_of_no_kind_is_told_why_each_abi_does_not_fit() -> None:
    found = detect(ModuleShape((), {}))
    assert found.abi is None
    assert [name for name, _ in found.tried] == [abi.name for abi in ABIS]
    assert found.why_none() == (
        "no known guest ABI fits (nearfield-v1: no export `nearfield_handle`, yomo: no export `yomo_handler`, "
        "wasmedge-bindgen-0.4: no export `allocate`, wasmedge-bindgen-0.1: no import `wasmedge-bindgen.return_result`, "
        "wasi-command: no export `_start`)"
    )


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (
            ModuleShape((), {"memory": MEMORY, "nearfield_observe": function("->")}),
            "nearfield-v1, but does not fit: no export `nearfield_handle`",
        ),
        (
            ModuleShape((), {"memory": MEMORY, "yomo_handler": function("->")}),
            "yomo, but does not fit: no export `yomo_observe_datatags`",
        ),
        (
            ModuleShape(imports("env.yomo_write"), COMMAND),
            "yomo, but does not fit: no export `yomo_handler`",
        ),
        (
            ModuleShape(RETURNS, {"memory": MEMORY}),
            "wasmedge-bindgen-0.1, but does not fit: no export `allocate`",
        ),
        (
            ModuleShape(RETURNS, BINDGEN),
            "wasmedge-bindgen-0.1, but does not fit: no exported function (i32, i32) -> ()",
        ),
        (
            ModuleShape((), OLD_BINDGEN),
            "wasmedge-bindgen-0.4, but does not fit: no exported function (i32, i32) -> i32",
        ),
        (
            ModuleShape((), {"_start": function("->")}),
            "wasi-command, but does not fit: no exported memory named `memory`",
        ),
    ],
)
def test_a_module_that_resembles_an_abi_is_told_why_that_one_does_not_fit(module: ModuleShape, why: str) -> None:
    found = detect(module)
    assert found.abi is None
    assert found.why_none() == f"looks like {why}"


@pytest.mark.parametrize(
    ("imported", "why"),
    [
        ("wbg.__wbindgen_throw", "built with wasm-bindgen, for JavaScript hosts"),
        ("gojs.runtime.wasmExit", "built by Go for JavaScript hosts; build it with GOOS=wasip1"),
        ("wasi_unstable.fd_write", "built for WASI before preview 1; build it with a newer compiler"),
    ],
)
def test_a_module_for_another_kind_of_host_is_named(imported: str, why: str) -> None:
    module, _, name = imported.partition(".")
    entry = ImportShape(module, name, function("->"))
    assert detect(ModuleShape((entry,), {})).why_none() == f"no known guest ABI fits: {why}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"allocate": function("->")}, r"export `allocate`: got () -> (), expected a function (i32) -> i32"),
        (
            {"deallocate": MEMORY},
            r"export `deallocate`: got memory of at least 1, expected a function (i32, i32) -> ()",
        ),
        ({"memory": function("->")}, "no exported memory named `memory`"),
        ({"infer": function("-> i32")}, "no exported function (i32, i32) -> i32"),
    ],
)
def test_a_bindgen_guest_with_a_defect_is_told_what_it_is(change: dict[str, Extern], why: str) -> None:
    assert dict(detect(ModuleShape((), BINDGEN | change)).tried)["wasmedge-bindgen-0.4"] == why


@pytest.mark.parametrize(
    ("exports", "imported", "why"),
    [
        ({"yomo_init": function("-> i32")}, (), "export `yomo_init` belongs to another ABI"),
        ({}, imports("env.yomo_write"), "import `env.yomo_write` belongs to another ABI"),
        ({"nearfield_init": function("-> i32")}, (), "export `nearfield_init` belongs to another ABI"),
        ({}, RETURNS, "import `wasmedge-bindgen.return_result` belongs to another ABI"),
    ],
)
def test_a_program_with_parts_of_another_abi_is_no_command(
    exports: dict[str, Extern], imported: tuple[ImportShape, ...], why: str
) -> None:
    assert dict(detect(ModuleShape(imported, COMMAND | exports)).tried)["wasi-command"] == why
