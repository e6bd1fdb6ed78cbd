from __future__ import annotations

import pytest

from nearfield.errors import GuestAbiError
from nearfield.sandbox.abi.exports import take_exports
from nearfield.sandbox.shape import Extern, ModuleShape
from nearfield.sandbox.signature import Signature

STATUS = Signature.of("-> i32")


def test_only_what_is_there_is_taken() -> None:
    shape = ModuleShape((), {"init": Extern("function", STATUS), "other": Extern("function", STATUS)})
    assert take_exports(shape, {"init": STATUS, "absent": STATUS}) == {"init": STATUS}


@pytest.mark.parametrize(
    ("extern", "got"), [(Extern("function", Signature.of("->")), "() -> ()"), (Extern("global"), "global")]
)
def test_an_export_of_another_type_is_refused(extern: Extern, got: str) -> None:
    with pytest.raises(GuestAbiError) as caught:
        take_exports(ModuleShape((), {"init": extern}), {"init": STATUS})
    assert caught.value.what == f"export `init`: got {got}, expected a function () -> i32"
