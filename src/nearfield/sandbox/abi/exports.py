"""Checks of a module's exports that several ABIs make. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from nearfield.errors import GuestAbiError
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature


def take_exports(shape: ModuleShape, expected: Mapping[str, Signature]) -> dict[str, Signature]:
    """Those of the `expected` functions that the module has.

    Raises:
        GuestAbiError: one has another type.
    """
    taken = {}
    for name, signature in expected.items():
        extern = shape.exports.get(name)
        if extern is None:
            continue
        if extern.signature != signature:
            raise GuestAbiError(f"export `{name}`: got {extern}, expected a function {signature}")
        taken[name] = signature
    return taken
