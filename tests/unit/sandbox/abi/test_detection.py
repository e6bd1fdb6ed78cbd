from __future__ import annotations

import pytest

from nearfield.sandbox.abi import ABIS, detect
from nearfield.sandbox.shape import Extern, ImportShape, ModuleShape
from nearfield.sandbox.signature import Signature

MEMORY = Extern("memory", None, 1, None)


def function(text: str) -> Extern:
    return Extern("function", Signature.of(text))


OWN = {"memory": MEMORY, "nearfield_handle": function("-> i32")}
BINDGEN = {
    "memory": MEMORY,
    "allocate": function("i32 -> i32"),
    "deallocate": function("i32 i32 ->"),
    "infer": function("i32 i32 -> i32"),
}


def imports(*names: str) -> tuple[ImportShape, ...]:
    return tuple(ImportShape(*name.split("."), function("->")) for name in names)


@pytest.mark.parametrize(
    ("exports", "name"), [(OWN, "nearfield-v1"), (BINDGEN, "wasmedge-bindgen-0.4"), (OWN | BINDGEN, "nearfield-v1")]
)
def test_the_abi_is_told_from_the_exports(exports: dict[str, Extern], name: str) -> None:
    found = detect(ModuleShape((), exports))
    assert found.abi is not None and found.abi.name == name
    assert dict(found.tried)[name] is None


def test_every_abi_says_why_it_does_not_fit() -> None:
    found = detect(ModuleShape((), {}))
    assert found.abi is None
    assert [name for name, _ in found.tried] == [abi.name for abi in ABIS]
    assert found.why_none() == (
        "no known guest ABI fits "
        "(nearfield-v1: no export `nearfield_handle`, wasmedge-bindgen-0.4: no export `allocate`)"
    )


@pytest.mark.parametrize(
    ("module", "recognised"),
    [
        (ModuleShape((), {"memory": MEMORY, "yomo_handler": function("->")}), "YoMo guest"),
        (ModuleShape(imports("env.yomo_write"), {"memory": MEMORY}), "YoMo guest"),
        (
            ModuleShape(imports("wasmedge-bindgen.return_result"), BINDGEN),
            "wasmedge-bindgen guest of a version before 0.4",
        ),
        (ModuleShape((), {"memory": MEMORY, "_start": function("->")}), "plain WASI command"),
    ],
)
def test_shapes_of_other_hosts_are_recognised(module: ModuleShape, recognised: str) -> None:
    found = detect(module)
    assert (found.abi, found.recognised) == (None, recognised)
    assert found.why_none().startswith(f"{recognised}: not supported yet (nearfield-v1: ")


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
