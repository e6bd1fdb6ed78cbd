"""The host's side of one guest: what its host functions read and change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nearfield.sandbox.call import Call
from nearfield.sandbox.grants import Grants
from nearfield.sandbox.handles import Handles
from nearfield.sandbox.invocation import Invocation
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.memory import GuestMemory, OutOfBounds

if TYPE_CHECKING:
    from nearfield.inference import ExecutionContext, ModelStore
    from nearfield.media import Resampling


class NoMemory(GuestMemory):
    """Stands in while no instance runs."""

    __slots__ = ()

    def locate(self) -> tuple[int, int]:
        raise OutOfBounds


class Host:
    """State of one guest: for its life (models, limits), for one instance (memory, handles), for one call.

    Host functions get it as their first argument. Used by one thread at a time.
    """

    def __init__(
        self,
        models: ModelStore,
        limits: Limits,
        emit: frozenset[int] | None,
        resampling: Resampling,
        grants: Grants | None = None,
    ) -> None:
        """Args:
        emit: tags that the guest may emit; None for every one that is not reserved.
        resampling: how generation B of `wasmedge_image` scales.
        grants: what it gets of this machine; None for the default.
        """
        self.models = models
        self.limits = limits
        self.grants = grants or Grants()
        self.emit = emit
        self.resampling = resampling
        self.memory: GuestMemory = NoMemory()
        self.handles = Handles(limits.handles)
        self.call = Call(None, limits, emit)

    def begin(self, invocation: Invocation | None) -> Call:
        """Start the record of a new call."""
        self.call = Call(invocation, self.limits, self.emit)
        return self.call

    def stop(self, reason: BaseException) -> None:
        """Keep why the guest is being stopped (see `HostSide`)."""
        self.call.stop(reason)

    def compute(self, context: ExecutionContext) -> None:
        """Run a model within the call's deadline, and count the time.

        Raises:
            InferenceError: the context's own.
            GuestTimeout: the deadline passed before or while it ran.
        """
        self.call.check_deadline()
        started_ns = time.monotonic_ns()
        try:
            context.compute()
        finally:
            self.call.model_ns += time.monotonic_ns() - started_ns
        self.call.check_deadline()

    def end_instance(self) -> None:
        """The instance is gone: give back everything it held."""
        self.memory = NoMemory()
        self.handles.close()
