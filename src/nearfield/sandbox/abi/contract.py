"""The contract of a guest ABI: whether a module speaks it, and how one frame is handled in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from nearfield.sandbox.callpath import Sandbox
from nearfield.sandbox.host import Host
from nearfield.sandbox.invocation import Invocation
from nearfield.sandbox.shape import ModuleShape
from nearfield.sandbox.signature import Signature


@dataclass(frozen=True, slots=True)
class AbiOptions:
    """What the operator said about a guest.

    Attributes:
        entry: name of the export to call, for ABIs that leave it open.
        result_tag: tag for results that carry none; only ABIs without one look at it.
        emit: tags that the guest may emit; None for every one that is not reserved.
        name: the function's name, which a command gets as its own.
        keeps_instance: whether one instance is to handle all frames.
    """

    entry: str | None = None
    result_tag: int | None = None
    emit: frozenset[int] | None = None
    name: str = ""
    keeps_instance: bool = False


class Speaker(Protocol):
    """One guest's ABI, bound to what it exports. Holds no state of a call."""

    #: Functions that this ABI will call, with the module's own signatures.
    exports: Mapping[str, Signature]

    def observe(self, sandbox: Sandbox, host: Host) -> tuple[int, ...]:
        """Ask a fresh, initialised instance which tags it wants. Called once, when the guest is loaded.

        Raises:
            Trapped: the guest trapped.
        """
        ...

    def start(self, sandbox: Sandbox, host: Host) -> None:
        """Initialise a fresh instance, before anything else is called in it.

        Raises:
            GuestFailed: the guest says that it cannot work.
            Trapped: the guest trapped.
        """
        ...

    def handle(self, sandbox: Sandbox, host: Host, invocation: Invocation) -> None:
        """Handle one frame; what the guest emits goes to `host.call`.

        Raises:
            GuestFailed: the guest says that it failed, or answered against the ABI's rules.
            GuestOutputExceeded: its result is larger than its limit.
            Trapped: the guest trapped.
        """
        ...


class Abi(Protocol):
    """One way in which guests and hosts talk."""

    name: str

    def why_not(self, shape: ModuleShape) -> str | None:
        """Why a module with these exports and imports does not speak this ABI; None when it does."""
        ...

    def bind(self, shape: ModuleShape, options: AbiOptions) -> Speaker:
        """Fix how this module is called.

        Raises:
            GuestAbiError: an export has the wrong signature, or it is not clear which one to call.
            ConfigError: the operator's options do not fit.
        """
        ...
