"""The host's side of one guest: what its host functions read and change."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nearfield.errors import InferenceError
from nearfield.sandbox.call import Call
from nearfield.sandbox.files import Files
from nearfield.sandbox.grants import Grants
from nearfield.sandbox.handles import Handles
from nearfield.sandbox.invocation import Invocation
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.log_budget import LogBudget
from nearfield.sandbox.memory import GuestMemory, OutOfBounds

if TYPE_CHECKING:
    from nearfield.inference import Encoding, ExecutionContext, Graph, ModelStore
    from nearfield.media import Resampling


class ModelTooLarge(InferenceError):
    """A guest has loaded as many bytes of models from its own memory as it may."""


class Timed:
    """One stay inside a host function that takes long (`Host.timed`)."""

    __slots__ = ("_call", "_started_ns", "_what")

    def __init__(self, call: Call, what: str) -> None:
        self._call = call
        self._what = what
        self._started_ns = 0

    def elapsed_ns(self) -> int:
        """Nanoseconds since it was entered."""
        return time.monotonic_ns() - self._started_ns

    def __enter__(self) -> Timed:
        self._call.check_host_time()
        self._started_ns = time.monotonic_ns()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._call.spend(self._what, self.elapsed_ns())
        if kind is None:
            self._call.check_host_time()


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

        Raises:
            ConfigError: a granted directory cannot be opened.
        """
        self.models = models
        self.limits = limits
        self.grants = grants or Grants()
        self.emit = emit
        self.resampling = resampling
        self.memory: GuestMemory = NoMemory()
        #: The guest's own allocator (bytes to address), for host functions with results of any size.
        self.allocate: Callable[[int], int] | None = None
        self.handles = Handles(limits.handles)
        self.files = Files(self.grants.directories, limits.files)
        self._log_budget = LogBudget(limits.log_bytes_per_s)
        self._models_bytes = 0
        self.call = Call(None, limits, emit, self._log_budget)

    def begin(self, invocation: Invocation | None) -> Call:
        """Start the record of a new call."""
        self.call = Call(invocation, self.limits, self.emit, self._log_budget)
        return self.call

    def stop(self, reason: BaseException) -> None:
        """Keep why the guest is being stopped (see `HostSide`)."""
        self.call.stop(reason)

    def timed(self, what: str) -> Timed:
        """Run a part that takes long and cannot be interrupted: `with host.timed("inference"):`.

        Entering and leaving raise `GuestTimeout` once the deadline has passed or the time for host functions is used
        up; leaving with an exception counts the time and raises nothing of its own.
        """
        return Timed(self.call, what)

    def compute(self, context: ExecutionContext) -> None:
        """Run a model, and count the time.

        Raises:
            InferenceError: the context's own.
            GuestTimeout: see `timed`.
        """
        with self.timed("inference") as timed:
            try:
                context.compute()
            finally:
                self.call.model_ns += timed.elapsed_ns()

    def load_model(self, pointer: int, length: int, encoding: Encoding) -> Graph:
        """The model in the guest's own memory.

        Raises:
            OutOfBounds: it is not inside the memory.
            ModelTooLarge: the guest has loaded as much as it may.
            ModelInvalid: no model that a backend can load.
            GuestTimeout: see `timed`.
        """
        limits, call = self.limits, self.call
        self.memory.check(pointer, length)
        if call.model_bytes + length > limits.model_bytes:
            raise ModelTooLarge(
                f"got {call.model_bytes + length} bytes of models in one call, expected at most {limits.model_bytes}"
            )
        call.model_bytes += length
        memory = self.memory
        with self.timed("loading models"):
            known = self.models.find_carried(length, lambda content: memory.holds(pointer, content), encoding)
            return known or self.models.from_bytes(memory.read(pointer, length), encoding, admit=self._admit_model)

    def _admit_model(self, size: int) -> None:
        """Count a model that is not loaded yet; one that still is costs nothing."""
        if self._models_bytes + size > self.limits.models_total_bytes:
            raise ModelTooLarge(
                f"got {self._models_bytes + size} bytes of models since its start, "
                f"expected at most {self.limits.models_total_bytes}"
            )
        self._models_bytes += size

    def random(self, length: int) -> bytes:
        """Random bytes for the guest; with a seed, the same for the same request of the same frame.

        Args:
            length: at most some thousand: they are made at once.
        """
        seed = self.grants.random_seed
        if seed is None:
            return os.urandom(length)
        call, frame = self.call, self.call.invocation
        call.random_requests += 1
        which = (seed, frame and (frame.origin, frame.tag, frame.sequence), call.random_requests)
        return hashlib.shake_256(repr(which).encode()).digest(length)

    def end_instance(self) -> None:
        """The instance is gone: give back everything it held."""
        self.memory = NoMemory()
        self.allocate = None
        self.handles.close()
        self.files.end_instance()

    def close(self) -> None:
        """The guest is gone. Idempotent."""
        self.end_instance()
        self.files.close()
