"""The host's side of one guest: what its host functions read and change."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nearfield.errors import GuestTimeout, InferenceError
from nearfield.inference import Device
from nearfield.inference.batch_runner import ComputeLate
from nearfield.sandbox.call import Call
from nearfield.sandbox.carried_models import CarriedModels, Region
from nearfield.sandbox.files import Files
from nearfield.sandbox.grants import Grants
from nearfield.sandbox.handles import Handles
from nearfield.sandbox.invocation import Invocation
from nearfield.sandbox.limits import Limits
from nearfield.sandbox.log_budget import LogBudget
from nearfield.sandbox.memory import GuestMemory, OutOfBounds

if TYPE_CHECKING:
    from nearfield.inference import Encoding, ExecutionContext, Graph, ModelStore
    from nearfield.sandbox.pictures import PictureRules


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
        pictures: PictureRules,
        grants: Grants | None = None,
    ) -> None:
        """Args:
        emit: tags that the guest may emit; None for every one that is not reserved.
        pictures: how they become pixels.
        grants: what it gets of this machine; None for the default.

        Raises:
            ConfigError: a granted directory cannot be opened.
        """
        self.models = models
        self.limits = limits
        self.grants = grants or Grants()
        self.emit = emit
        self.pictures = pictures
        self.memory: GuestMemory = NoMemory()
        #: The guest's own allocator (bytes to address), for host functions with results of any size.
        self.allocate: Callable[[int], int] | None = None
        self.handles = Handles(limits.handles)
        self.files = Files(self.grants.directories, limits.files)
        self._log_budget = LogBudget(limits.log_bytes_per_s)
        self._models_bytes = 0
        self._carried = CarriedModels()
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
        """Run a model, and count the time; with it that of waiting for other frames, where they are batched.

        Raises:
            InferenceError: the context's own.
            GuestTimeout: see `timed`; and when the frame's time was over before the model could run.
        """
        with self.timed("inference") as timed:
            try:
                context.compute(self.call.ends_at_s)
            except ComputeLate as late:
                raise GuestTimeout(late.what) from late
            finally:
                self.call.model_ns += timed.elapsed_ns()

    def load_model(self, regions: Sequence[Region], encoding: Encoding, device: Device = Device.CPU) -> Graph:
        """The model in the guest's own memory.

        A model that lies where it lay in an earlier instance, unchanged, is found without reading it.

        Args:
            regions: pointer and length of each part of the model.
            encoding: what the guest says it is.
            device: where it wants to compute.

        Raises:
            OutOfBounds: a part is not inside the memory.
            ModelTooLarge: the guest has loaded as much as it may.
            ModelInvalid: no model that a backend can load.
            InferenceError: the backend or the device is not available.
            GuestTimeout: see `timed`.
        """
        memory, models = self.memory, self.models
        for pointer, length in regions:
            memory.check(pointer, length)
        self.count_model(sum(length for _, length in regions))
        with self.timed("loading models"):
            known = self._carried.find(memory, regions, encoding, device)
            if known is not None:
                return known
            graph = models.find_carried(
                [length for _, length in regions],
                lambda parts: all(memory.holds(at, part) for (at, _), part in zip(regions, parts, strict=True)),
                encoding,
                device=device,
            )
            if graph is None:
                parts = [memory.read(pointer, length) for pointer, length in regions]
                graph = models.from_parts(parts, encoding, device=device, admit=self.admit_model)
            contents = models.carried_content(graph)
            if contents is not None:
                self._carried.remember(memory, regions, encoding, device, graph, contents)
            return graph

    def count_model(self, size: int) -> None:
        """Count a model that the guest loads, also one that is loaded already. Raises `ModelTooLarge`."""
        call, limits = self.call, self.limits
        if call.model_bytes + size > limits.model_bytes:
            raise ModelTooLarge(
                f"got {call.model_bytes + size} bytes of models in one call, expected at most {limits.model_bytes}"
            )
        call.model_bytes += size

    def admit_model(self, size: int) -> None:
        """Count a model that is not loaded yet; one that still is costs nothing. Raises `ModelTooLarge`."""
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
